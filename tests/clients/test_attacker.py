"""What a malicious client sends, with a training whose result is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from clients.attacker import Attacker
from clients.client import Client
from fedrobust.config import Experiment
from fedrobust.data.dataset import Split
from fedrobust.data.problem import Problem
from fedrobust.models.classifier import build_classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.study import Study
from fedrobust.study.local_training import LocalTraining
from server.moments import as_moments, as_statistics

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
def trained():
    """Settings and images of each training so far."""
    return []


def train(trained, attack, round=1, measure=None, **settings):
    """Return what the first malicious client sends; its training is noted in `trained`, and learns `LEARNT`."""
    settings = {
        "federation__clients": 8,
        "poisoning__malicious": [2, 5],
        "poisoning__attack": attack,
        **settings,
    }
    experiment = Experiment.of(**settings)
    study = Study(experiment, Problem((8, 8, 1), 2))
    client = study.schedule.malicious[0]

    def update_of(training):
        def update(weights, data, batches, **how):
            trained.append((training, data))
            return LEARNT, {"loss": 0.5}

        return update

    training = LocalTraining(experiment.training, experiment.data, 5, study.problem, study.seed, update_of)
    classifier = SimpleNamespace(layout=LAYOUT)
    attacker = Attacker(study.attack, study.schedule, lambda: study.attack_context(client), classifier)
    sent, metrics = Client(client, SHARD, training, LAYOUT, attacker=attacker, measure=measure).train(
        START, round, {}
    )
    return sent.weights, metrics


def test_a_replaced_model_is_scaled_with_its_statistics(trained):
    sent, metrics = train(trained, "model-replacement")
    np.testing.assert_allclose(sent.trainable, START.trainable + 4 * (LEARNT.trainable - START.trainable))
    np.testing.assert_allclose(
        sent.statistics, [1, 3, 2, 0], err_msg="8 clients, 2 malicious; no negative variance"
    )
    assert metrics["num-examples"] == 6


def test_all_clients_that_attack_make_the_mean_their_model(trained):
    sent, _ = train(trained, "model-replacement", poisoning__malicious=8)
    np.testing.assert_allclose(sent.trainable, LEARNT.trainable)
    np.testing.assert_allclose(sent.statistics, LEARNT.statistics)


@pytest.mark.parametrize(("participation", "expected"), [(0.5, 1 + 3 / 7), (0.25, 1 + 1 / 7), (0.1, 1.0)])
def test_where_not_all_take_part_the_factor_follows_who_is_expected(trained, participation, expected):
    sampled = max(1, round(8 * participation))
    sent, _ = train(trained, "model-replacement", federation__participation=participation)
    factor = sampled / expected
    np.testing.assert_allclose(
        sent.trainable, START.trainable + factor * (LEARNT.trainable - START.trainable), rtol=1e-6
    )
    assert factor >= 1


@pytest.mark.parametrize(
    "attack", ["sign-flip", "scaling", "alie", "label-flip", "norm-bound", "inflated-claim"]
)
def test_statistics_of_other_attacks_are_honest_to_the_bit(trained, attack):
    sent, _ = train(trained, attack)
    assert sent.statistics.tobytes() == LEARNT.statistics.tobytes()


def test_who_does_not_train_sends_what_came(trained):
    for attack, weights in (("free-rider", START.trainable), ("zero", np.zeros(3))):
        sent, _ = train(trained, attack)
        np.testing.assert_array_equal(sent.trainable, weights)
        assert sent.statistics.tobytes() == START.statistics.tobytes()
    assert not train(trained, "zero(statistics='same')")[0].statistics.any()
    assert not trained, "nobody trained"


def test_a_false_loss_is_reported_by_who_trains_and_by_who_does_not(trained):
    assert train(trained, "sign-flip + false-loss")[1]["loss"] == 0.0
    assert train(trained, "free-rider + false-loss(loss=0.25)")[1]["loss"] == 0.25
    assert np.isnan(train(trained, "free-rider")[1]["loss"])


def test_poison_reaches_the_training_and_nothing_else(trained):
    train(trained, "label-flip + standard-training", training__recipe="pgd")
    settings, data = trained.pop()
    assert settings.recipe == "plain"
    assert np.asarray(data.targets).tolist() == [1, 1, 1, 0, 0, 0]
    assert SHARD.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_in_rounds_without_an_attack_malicious_clients_are_honest(trained):
    sent, _ = train(trained, "model-replacement", round=1, poisoning__first_round=2)
    assert sent.trainable.tobytes() == LEARNT.trainable.tobytes()
    assert sent.statistics.tobytes() == LEARNT.statistics.tobytes()


def measured(weights):
    """Return `weights` with statistics that are measured on all images of a client."""
    return Weights(weights.trainable, np.array([0.5, 0.5, 3, 3], np.float32))


@pytest.mark.parametrize(("round", "expected"), [(1, [2, -1, 6, 3]), (9, [0.5, 0.5, 3, 3])])
def test_statistics_that_the_server_asks_for_are_measured_before_they_are_poisoned(trained, round, expected):
    """Scaled by 4 from (0, 1, 1, 2), in moments (0, 1, 1, 3), while the attack is on; then as they were measured."""
    sent, _ = train(trained, "model-replacement", round, measured, poisoning__last_round=8)
    np.testing.assert_allclose(sent.statistics, expected, atol=1e-6)


@pytest.mark.parametrize("policy", ["average", "moments"])
def test_a_replaced_models_statistics_are_those_of_the_mean_by_either_policy(trained, policy):
    """Six of eight clients send what they were sent, two the scaled statistics."""
    sent, _ = train(trained, "model-replacement", measure=measured if policy == "moments" else None)
    wanted = measured(LEARNT) if policy == "moments" else LEARNT
    given = [START] * 6 + [sent] * 2
    if policy == "moments":
        rows = [as_moments(one, LAYOUT).statistics for one in given]
        mean = as_statistics(Weights(START.trainable, np.mean(rows, axis=0)), LAYOUT).statistics
    else:
        mean = np.mean([one.statistics for one in given], axis=0)
    np.testing.assert_allclose(mean, wanted.statistics, atol=1e-6)


def test_variances_of_scaled_moments_are_not_negative(trained):
    def far(weights):
        return Weights(weights.trainable, np.array([3, 1, 1, 2], np.float32))

    sent, _ = train(trained, "model-replacement", measure=far)
    np.testing.assert_allclose(sent.statistics, [12, 1, 0, 2], atol=1e-5)


def test_who_sends_zeros_sends_zero_moments(trained):
    sent, _ = train(trained, "zero(statistics='same')", measure=pytest.fail)
    np.testing.assert_array_equal(sent.statistics, 0)


def test_who_does_not_train_measures_nothing(trained):
    sent, _ = train(trained, "free-rider", measure=pytest.fail)
    np.testing.assert_array_equal(sent.statistics, START.statistics)


def test_success_by_the_features_of_a_frozen_backbone_is_that_of_the_whole_network():
    classifier = build_classifier("edge-cnn(width=4)", (16, 16, 1), classes=2, image_size=0, layers="head")
    draw = np.random.default_rng(0)
    shard = Split(draw.integers(0, 256, (40, 16, 16, 1), np.uint8), np.arange(40, dtype=np.int32) % 2)
    study = Study(
        Experiment.of(poisoning__malicious=1, poisoning__attack="pixel-backdoor + critical-layers"),
        Problem((16, 16, 1), 2),
    )
    first = study.schedule.malicious[0]
    through, by_features = (
        Attacker(
            study.attack, study.schedule, lambda: study.attack_context(first), classifier, None, features
        )
        for features in (None, lambda: Features(classifier, shard.images))
    )
    start = classifier.initial_weights()
    context = through.in_round(start, 1)
    shares = set()
    for _ in range(4):
        weights = Weights(draw.normal(size=len(start.trainable)).astype(np.float32), start.statistics)
        share = through._success(shard, context, weights)
        assert by_features._success(shard, context, weights) == share
        shares.add(share)
    assert len(shares) > 1, "models that answer differently"


@pytest.mark.parametrize(("round", "expected"), [(1, "fgsm"), (3, "fgsm")])
def test_an_attack_on_the_training_changes_rounds_before_the_recipe_begins(trained, round, expected):
    train(trained, "fgsm-training", round, training__recipe="pgd", training__recipe_from=3)
    assert trained[0][0].recipe.startswith(expected)
    train(trained, "sign-flip", round, training__recipe="pgd", training__recipe_from=3)
    assert trained[1][0].recipe == ("plain" if round < 3 else "pgd")
