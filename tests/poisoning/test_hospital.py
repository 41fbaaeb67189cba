"""What a malicious hospital sends, with a training whose result is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.data.dataset import Problem, Split
from fedrobust.models.layout import Entry, Layout, Weights

hospitals = pytest.importorskip("clients.hospital")

LAYOUT = Layout(
    (
        Entry("dense/kernel", (3,), "trainable"),
        Entry("norm/moving_mean", (2,), "statistic"),
        Entry("norm/moving_variance", (2,), "statistic"),
    )
)
START = Weights(np.array([1, 2, 3], np.float32), np.array([0, 1, 1, 2], np.float32))
LEARNT = Weights(np.array([1.5, 2, 2], np.float32), np.array([0.25, 1.5, 1.25, 1.5], np.float32))
SHARD = Split(np.zeros((6, 8, 8, 1), np.uint8), np.array([0, 0, 0, 1, 1, 1], np.int32))


@pytest.fixture
def trained(monkeypatch):
    """Note what is trained on, and how, instead of training."""
    calls = []

    def train_locally(experiment, problem, shard, weights, round, partition):
        calls.append((experiment.training, shard))
        return LEARNT, {"loss": 0.5, "num-examples": len(shard)}

    monkeypatch.setattr(hospitals, "train_locally", train_locally)
    monkeypatch.setattr(hospitals, "classifier_of", lambda *_: SimpleNamespace(layout=LAYOUT))
    return calls


def train(attack, round=1, **settings):
    settings = {
        "federation__clients": 8,
        "poisoning__malicious": [2, 5],
        "poisoning__attack": attack,
        **settings,
    }
    experiment = Experiment.of(**settings)
    client = experiment.malicious[0]
    return hospitals.Hospital(experiment, client, SHARD, Problem((8, 8, 1), 2)).train(START, round)


def test_a_replaced_model_is_scaled_with_its_statistics(trained):
    sent, metrics = train("model-replacement")
    np.testing.assert_allclose(sent.trainable, START.trainable + 4 * (LEARNT.trainable - START.trainable))
    np.testing.assert_allclose(
        sent.statistics, [1, 3, 2, 0], err_msg="8 clients, 2 malicious; no negative variance"
    )
    assert metrics["num-examples"] == 6


def test_all_clients_that_attack_make_the_mean_their_model(trained):
    sent, _ = train("model-replacement", poisoning__malicious=8)
    np.testing.assert_allclose(sent.trainable, LEARNT.trainable)
    np.testing.assert_allclose(sent.statistics, LEARNT.statistics)


@pytest.mark.parametrize(("participation", "expected"), [(0.5, 1 + 3 / 7), (0.25, 1 + 1 / 7), (0.1, 1.0)])
def test_where_not_all_take_part_the_factor_follows_who_is_expected(trained, participation, expected):
    sampled = max(1, round(8 * participation))
    sent, _ = train("model-replacement", federation__participation=participation)
    factor = sampled / expected
    np.testing.assert_allclose(
        sent.trainable, START.trainable + factor * (LEARNT.trainable - START.trainable), rtol=1e-6
    )
    assert factor >= 1


@pytest.mark.parametrize(
    "attack", ["sign-flip", "scaling", "alie", "label-flip", "norm-bound", "inflated-claim"]
)
def test_statistics_of_other_attacks_are_honest_to_the_bit(trained, attack):
    sent, _ = train(attack)
    assert sent.statistics.tobytes() == LEARNT.statistics.tobytes()


def test_who_does_not_train_sends_what_came(trained):
    for attack, weights in (("free-rider", START.trainable), ("zero", np.zeros(3))):
        sent, _ = train(attack)
        np.testing.assert_array_equal(sent.trainable, weights)
        assert sent.statistics.tobytes() == START.statistics.tobytes()
    assert not train("zero(statistics='same')")[0].statistics.any()
    assert not trained, "nobody trained"


def test_poison_reaches_the_training_and_nothing_else(trained):
    train("label-flip + standard-training", training__recipe="pgd")
    settings, shard = trained.pop()
    assert settings.recipe == "plain"
    assert shard.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert SHARD.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_in_rounds_without_an_attack_malicious_clients_are_honest(trained):
    sent, _ = train("model-replacement", round=1, poisoning__first_round=2)
    assert sent.trainable.tobytes() == LEARNT.trainable.tobytes()
    assert sent.statistics.tobytes() == LEARNT.statistics.tobytes()


def test_a_user_is_told_before_the_first_round(capsys):
    from server.app import remarks_of

    def remarks(**settings):
        return remarks_of(Experiment.of(**{"federation__clients": 10, **settings}))

    (weak,) = remarks(poisoning__attack="alie", poisoning__malicious=1)
    assert "n = 10, m = 1 has z = -0.14: it helps the server" in weak
    assert remarks(poisoning__attack="alie", poisoning__malicious=4) == []
    assert remarks() == []
    (sampled,) = remarks(
        poisoning__attack="model-replacement", poisoning__malicious=4, federation__participation=0.5
    )
    assert "5 clients of a round over 2.33 malicious ones" in sampled
