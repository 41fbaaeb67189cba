"""Secure aggregation: the same mean from sums alone, no check, figure or record of single updates, refusals by name."""

import numpy as np
import pytest
from flwr.app import Message, MessageType, MetricRecord, RecordDict
from small_federation import FIRST_NODE, federation_of

from fedrobust.checks.check import check_data
from fedrobust.config import ConfigError, Experiment
from fedrobust.flower.identity import server_identity
from fedrobust.flower.records import weights_record
from fedrobust.models.layout import Entry, Layout, Weights
from fedrobust.study import Study
from server.accumulators import StreamingMean, collector_for

LAYOUT = Layout((Entry("kernel", (3,), "trainable"),))
CURRENT = Weights(np.full(3, 7.0, np.float32), np.zeros(0, np.float32))
ATTACK = {"poisoning__attack": "sign-flip", "poisoning__malicious": [3]}


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def reply(client, update, examples=10):
    weights = Weights(CURRENT.trainable + np.asarray(update, np.float32), CURRENT.statistics)
    metrics = MetricRecord({"num-examples": examples, "loss": 0.5, "seconds": 1.0, "round": 1})
    content = RecordDict({"weights": weights_record(weights), "metrics": metrics})
    return Message(content, reply_to=Message(RecordDict(), FIRST_NODE + client, MessageType.TRAIN))


def federation(clients=4, sums=True, **settings):
    made = federation_of(LAYOUT, [50] * clients, federation__secure_aggregation=sums, **settings)
    object.__setattr__(made.step, "sums", sums)
    return made


def aggregated(one, updates):
    replies = [reply(*each) for each in enumerate(updates)]
    return one.aggregate(1, CURRENT, one.sampling.sample(1), replies, {})


def test_the_mean_is_the_same_and_only_a_running_sum_is_kept_even_with_attackers():
    updates = [[1, 0, 0], [0, 2, 0], [0, 0, 3], [4, 4, 4]]
    open_, closed = (aggregated(federation(sums=sums, **ATTACK), updates) for sums in (False, True))
    np.testing.assert_allclose(closed.weights.trainable, open_.weights.trainable, rtol=1e-6)
    one = federation(**ATTACK)
    collector = collector_for(one.step.defence, CURRENT, 0, [0, 1, 2, 3], 50.0, one.step.measured)
    assert isinstance(collector, StreamingMean)


def test_the_record_says_who_attacked_and_nothing_of_single_updates():
    open_, closed = (
        aggregated(federation(sums=sums, **ATTACK), np.eye(4, 3)).outcome.defence for sums in (False, True)
    )
    assert closed.attacked
    assert closed.malicious == (3,)
    assert (closed.influence, closed.accepted, closed.distance, closed.partitions) == (None,) * 4
    assert open_.influence is not None


def test_one_reply_with_nan_spoils_the_sum_and_is_not_found_out():
    updates = [[1, 0, 0], [np.nan, 0, 0], [0, 0, 1], [0, 0, 0]]
    made = aggregated(federation(sums=False), updates)
    assert [one.client_id for one in made.outcome.failures] == [1]
    assert np.isfinite(made.weights.trainable).all()
    made = aggregated(federation(), updates)
    assert made.outcome.failures == ()
    assert np.isnan(made.weights.trainable).any(), "the round is rejected: see `weights_fault`"


def test_claims_of_images_are_not_checked_one_by_one():
    replies = [reply(0, [1, 0, 0], examples=10_000), *(reply(client, [0, 0, 0]) for client in (1, 2, 3))]
    one = federation()
    made = one.aggregate(1, CURRENT, one.sampling.sample(1), replies, {})
    assert made.weights.trainable[0] == pytest.approx(7 + 10_000 / 10_030)
    assert federation(sums=False).aggregate(1, CURRENT, [0, 1, 2, 3], replies, {}).outcome.trained == 3


def test_the_sum_of_one_client_is_not_taken():
    one = federation(federation__min_replies=0.0)
    made = one.aggregate(1, CURRENT, one.sampling.sample(1), [reply(0, [1, 1, 1])], {})
    assert made.weights is None


MEAN = {"data__samples": 200, "federation__secure_aggregation": True}
REFUSED = {
    "robust rules": ({"federation__aggregator": "median"}, "median.*exclude each other"),
    "capped claims": ({"federation__aggregator": "mean(weighting='capped')"}, "capped"),
    "caps on shares": ({"federation__aggregator": "mean(max_share=0.5)"}, "max_share"),
    "pre-aggregators": ({"federation__pre_aggregators": ["nnm"]}, "federation.pre-aggregators"),
    "clipping at the server": (
        {
            "federation__postprocessors": ["gaussian-dp"],
            "federation__aggregator": "mean(weighting='uniform')",
        },
        "noise='distributed'",
    ),
    "collusion": ({"poisoning__attack": "alie", "poisoning__malicious": 2}, 'poisoning.attack = "alie"'),
    "models of clients": ({"distillation__teacher": "clients"}, "the models of single clients"),
    "answers of clients": ({"distillation__teacher": "local-models"}, "or what they answer"),
    "one client in a round": ({"federation__participation": 0.1}, "sample at least 2"),
}


@pytest.mark.parametrize(("settings", "said"), REFUSED.values(), ids=REFUSED)
def test_what_needs_single_updates_is_refused_by_name(settings, said):
    with pytest.raises(ConfigError, match=said):
        check_data(Study(Experiment.of(**{**MEAN, **settings})))


def test_sums_with_shares_of_noise_are_allowed_and_attacks_of_single_clients_too():
    check_data(Study(Experiment.of(**MEAN, poisoning__attack="sign-flip", poisoning__malicious=2)))
    noise = {
        "federation__postprocessors": ["gaussian-dp(noise='distributed')"],
        "federation__aggregator": "mean(weighting='uniform')",
        "federation__min_replies": 1.0,
    }
    check_data(Study(Experiment.of(**MEAN, **noise)))
