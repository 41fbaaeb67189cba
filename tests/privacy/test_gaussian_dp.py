"""Client-level differential privacy: noise, sensitivity and adaptive clipping in closed form, and at the server."""

from types import SimpleNamespace

import numpy as np
import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict
from small_federation import FIRST_NODE, federation_of

from clients.client import Client
from fedrobust.config import Experiment
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import weights_record
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.privacy import AdaptiveGaussianDP, Cohort, Counted, GaussianDP
from fedrobust.study import Study

D = 20_000
COHORT = Cohort(clients=10, expected=5.0, sampling="poisson", rounds=20)
LAYOUT = Layout((Entry("kernel", (3,), "trainable"), Entry("norm/moving_mean", (1,), "statistic")))
CURRENT = Weights(np.full(3, 7.0, np.float32), np.array([2.0], np.float32))
UNIFORM = {"federation__aggregator": "mean(weighting='uniform')"}


def draw(seed=0):
    return np.random.default_rng(seed)


def test_the_servers_noise_has_its_deviation_and_the_sum_is_divided_by_the_expected_number():
    one = GaussianDP(clip=2.0, noise_multiplier=1.5).within(COHORT)
    mean, _ = one.release(np.full(D, 0.3), Counted(4), {}, draw())
    assert mean.mean() == pytest.approx(0.3 * 4 / 5, abs=0.02)
    assert mean.std() == pytest.approx(1.5 * 2.0 / 5, rel=0.02)


def test_the_shares_of_the_clients_add_up_to_the_servers_noise():
    one = GaussianDP(clip=2.0, noise_multiplier=1.5, noise="distributed").within(COHORT)
    total = sum(one.client(np.zeros(D, np.float32), draw(seed)) for seed in range(5))
    assert total.std() == pytest.approx(1.5 * 2.0, rel=0.02)


def test_local_noise_is_whole_at_every_client():
    one = GaussianDP(clip=2.0, noise_multiplier=1.5, noise="local").within(COHORT)
    assert one.client(np.zeros(D, np.float32), draw()).std() == pytest.approx(3.0, rel=0.02)
    assert not hasattr(one, "received"), "clipping what arrives would take the noise away"
    assert one.promise.releases.replace_one
    assert one.promise.releases.sampling == "all", "the server knows who took part"


@pytest.mark.parametrize("replies", [0, 1, 3, 7])
def test_one_client_more_changes_the_released_sum_by_at_most_the_clip(replies):
    """The sensitivity, on updates of any length: the noise is the same in both, so that it cancels."""
    one = GaussianDP(clip=1.0, noise_multiplier=1.0).within(COHORT)
    updates = [one.received(u, {})[0] for u in 100 * draw().standard_normal((replies + 1, 50))]

    def released(rows):
        mean = np.mean(rows, axis=0) if rows else np.zeros(50)
        return one.release(mean, Counted(len(rows)), {}, draw(1))[0] * COHORT.expected

    change = released(updates) - released(updates[:-1])
    assert np.linalg.norm(change) == pytest.approx(1.0, rel=1e-3)


def test_malicious_clients_keep_back_their_shares_of_the_noise():
    honest = Cohort(10, 10.0, "all", 5)
    attacked = Cohort(10, 10.0, "all", 5, malicious=3)
    promises = [
        GaussianDP(noise_multiplier=2.0, noise="distributed").within(each).promise
        for each in (honest, attacked)
    ]
    assert promises[0].releases.noise_multiplier == 2.0
    assert promises[1].releases.noise_multiplier == pytest.approx(2.0 * np.sqrt(0.7))


@pytest.mark.parametrize("quantile", [0.3, 0.5, 0.8])
def test_the_adaptive_clip_reaches_the_quantile_of_lengths(quantile):
    lengths = np.linspace(0.1, 10, 100)
    cohort = Cohort(100, 100.0, "all", 200)
    one = AdaptiveGaussianDP(clip=0.1, noise_multiplier=0.5, quantile=quantile).within(cohort)
    state, norms, draws = {}, [], draw()
    for _ in range(200):
        short = int((lengths <= one.norm(state)).sum())
        _, state = one.release(np.zeros(1), Counted(100, short), state, draws)
        norms.append(one.norm(state))
    assert np.mean(norms[100:]) == pytest.approx(np.quantile(lengths, quantile), rel=0.05)


def test_the_noise_of_updates_and_counts_costs_what_one_costs():
    one = AdaptiveGaussianDP(noise_multiplier=1.0, count_noise=0.8).within(COHORT)
    # Two Gaussian mechanisms of sensitivities 1 and 1/2 add their inverse variances.
    assert one.update_noise**-2 + (2 * 0.8) ** -2 == pytest.approx(1.0)
    assert one.promise.releases.noise_multiplier == 1.0
    with pytest.raises(ValueError, match=r"count_noise = 0\.5 with noise_multiplier = 1: .* above 0\.5"):
        AdaptiveGaussianDP(noise_multiplier=1.0, count_noise=0.5).within(COHORT)


# -- At the server and at the clients ------------------------------------------------------------------------------


@pytest.fixture
def identity():
    with server_identity():
        yield


def reply(client, update):
    weights = Weights(CURRENT.trainable + np.asarray(update, np.float32), np.array([9.0], np.float32))
    claims = {"num-examples": 10 + client, "loss": 0.5, "seconds": 1.0, "round": 1}
    metrics = MetricRecord(claims)
    content = RecordDict({"weights": weights_record(weights), "metrics": metrics})
    return Message(content, reply_to=Message(RecordDict(), FIRST_NODE + client, MessageType.TRAIN))


def federation(clients=4, **settings):
    made = federation_of(LAYOUT, [50] * clients, **{**UNIFORM, **settings})
    study = Study(Experiment.of(**{"federation__clients": clients, **UNIFORM, **settings}))
    object.__setattr__(made.step, "postprocessors", study.postprocessors)
    return made


@pytest.mark.parametrize("attacked", [False, True], ids=["streamed", "matrix"])
def test_a_long_update_is_clipped_as_it_arrives_and_statistics_are_not_looked_at(identity, attacked):
    malicious = {"poisoning__attack": "sign-flip", "poisoning__malicious": [3]} if attacked else {}
    spec = "gaussian-dp(clip=1.0, noise-multiplier=0.0)"
    one = federation(federation__postprocessors=[spec], **malicious)
    updates = [[0.3, 0, 0], [0, 0.4, 0], [0, 0, 0], [300, 0, 400]]
    made = one.aggregate(
        1, CURRENT, one.sampling.sample(1), [reply(*each) for each in enumerate(updates)], {}
    )
    change = made.weights.trainable - CURRENT.trainable
    np.testing.assert_allclose(change, np.array([0.3 + 0.6, 0.4, 0.8]) / 4, atol=1e-6)
    assert made.weights.statistics.tolist() == CURRENT.statistics.tolist()
    assert made.outcome.record().loss is None, "honest clients tell none"


@pytest.mark.parametrize("attacked", [False, True], ids=["streamed", "matrix"])
def test_the_adaptive_clip_counts_short_updates_and_is_kept_for_the_next_round(identity, attacked):
    malicious = {"poisoning__attack": "sign-flip", "poisoning__malicious": [3]} if attacked else {}
    spec = "adaptive-gaussian-dp(clip=1.0, noise-multiplier=0.0, quantile=0.25)"
    one = federation(federation__postprocessors=[spec], **malicious)
    updates = [[0.3, 0, 0], [0, 0.4, 0], [0, 0, 0], [300, 0, 400]]
    made = one.aggregate(
        1, CURRENT, one.sampling.sample(1), [reply(*each) for each in enumerate(updates)], {}
    )
    norm = float(made.memory["privacy/clip"])
    assert norm == pytest.approx(np.exp(-0.2 * (0.75 - 0.25)))
    again = one.aggregate(1, CURRENT, one.sampling.sample(1), [reply(3, [300, 0, 400])] * 1, made.memory)
    assert again.weights is None, "three of four clients are missing"
    once_more = one.aggregate(
        1, CURRENT, one.sampling.sample(1), [reply(c, [3, 0, 4]) for c in range(4)], made.memory
    )
    np.testing.assert_allclose(
        np.linalg.norm(once_more.weights.trainable - CURRENT.trainable), norm, rtol=1e-5
    )


def test_a_round_for_which_nobody_is_drawn_still_has_its_noise(identity):
    spec = "gaussian-dp(clip=1.0, noise-multiplier=1.0)"
    settings = {"federation__sampling": "poisson", "federation__participation": 0.01}
    one = federation(federation__postprocessors=[spec], **settings)
    assert one.sampling.sample(1) == []
    made = one.aggregate(1, CURRENT, [], [], {})
    assert made.fault == ""
    assert np.abs(made.weights.trainable - CURRENT.trainable).min() > 0


def test_poisson_sampling_draws_each_client_with_its_probability(identity):
    one = federation(clients=20, federation__sampling="poisson", federation__participation=0.3)
    rounds = np.array([[c in one.sampling.sample(r) for c in range(20)] for r in range(1, 401)])
    assert rounds.mean() == pytest.approx(0.3, abs=0.02)
    assert np.abs(rounds.mean(0) - 0.3).max() < 0.1
    # The number in a round is binomial; drawn without replacement it would be 6 each time.
    assert rounds.sum(1).var() == pytest.approx(20 * 0.3 * 0.7, rel=0.25)
    assert [len(one.sampling.typical(r)) for r in (1, 2)] == [6, 6]


def test_a_client_sends_neither_statistics_nor_metrics_of_its_images():
    def train(shard, weights, round, number, changed, steering, work, attacked):
        after = Weights(weights.trainable + np.array([3, 4, 0], np.float32), weights.statistics + 1)
        return after, {"num-examples": 5, "loss": 0.2, "accuracy": 1.0, "round": round, "seconds": 0.5}

    training = SimpleNamespace(seed=0)
    training = type("T", (), {"seed": 0, "noise_seed": 0, "__call__": staticmethod(train)})()
    mechanism = GaussianDP(clip=1.0, noise_multiplier=0.0).within(COHORT)
    sent, metrics = Client(0, range(5), training, LAYOUT, postprocessors=(mechanism,)).train(CURRENT, 1, {})
    np.testing.assert_allclose(sent.weights.trainable - CURRENT.trainable, [0.6, 0.8, 0], atol=1e-6)
    assert sent.weights.statistics.tolist() == CURRENT.statistics.tolist()
    assert set(metrics) == {"num-examples", "round", "seconds"}
