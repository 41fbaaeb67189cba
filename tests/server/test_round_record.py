"""What a round's record says of the defence and of its clients, key by key."""

import numpy as np
import pytest
from small_federation import federation_of, step_of

from fedrobust.aggregation import Aggregation
from fedrobust.config import Experiment
from fedrobust.models.layout import Entry, Layout
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.record import to_json
from server.aggregation_step import AggregationStep
from server.detection import figures_of
from server.federation import Federation
from server.replies import Failure
from server.round_outcome import ReplyNote, RoundOutcome, outcome_of

FLIP = {"poisoning__attack": "sign-flip", "poisoning__malicious": [1, 2, 5]}


def step(rare=(), clients=8, **settings) -> AggregationStep:
    return step_of(Experiment.of(federation__clients=clients, **settings), None, rare)


# -- The defence ---------------------------------------------------------------------------------------------------

NOTHING = {
    "seconds": None,
    "bytes": None,
    "partitions": None,
    "accepted": None,
    "influence": None,
    "malicious-influence": None,
    "true-positive-rate": None,
    "false-positive-rate": None,
    "rare-false-positive-rate": None,
    "distance": None,
    "honest-norm": None,
}


def test_the_record_of_a_round_before_the_rule_is_asked():
    made = step(
        rare=[0, 2, 3, 4, 7],
        **FLIP,
        federation__aggregator="multi-krum",
        federation__pre_aggregators=["nnm"],
        federation__tolerate=2,
    )
    record = made.record(1, [0, 1, 2, 3, 4], [1, 3], [Failure(5, "KeyError: 7")])
    assert to_json(record) == {
        "rule": "multi-krum",
        "before": ["nnm"],
        "tolerated": 2,
        "attacked": True,
        "valid": False,
        "attack-failures": [{"partition": 5, "reason": "KeyError: 7"}],
        "malicious": [1, 2, 5],
        "refused": [1],
        # 2 attacks, 3 was refused, 7 was not asked.
        "rare": [0, 4],
        **NOTHING,
    }


def test_the_record_of_a_round_in_which_nobody_attacks():
    record = step(**FLIP, poisoning__first_round=2).record(1, [7, 5, 1], [], [])
    assert to_json(record) == {
        "rule": "mean",
        "before": [],
        "tolerated": None,
        "attacked": False,
        "valid": True,
        "attack-failures": [],
        "malicious": [1, 5],
        "refused": [],
        "rare": [],
        **NOTHING,
    }


def test_who_attacks():
    made = step(**FLIP, poisoning__first_round=2)
    assert made.attackers(1, [0, 1, 2]) == frozenset()
    assert made.attackers(2, [0, 1, 2]) == {1, 2}
    assert made.measured
    assert not step().measured


PARTITIONS = np.array([0, 1, 2, 3, 4, 6])
BAD = np.isin(PARTITIONS, [1, 2])


def figures(influence, caught=0, bad=BAD, rare=(), honest_mean=None, rule="multi-krum"):
    made = step(rare, 9, **FLIP, federation__aggregator=rule)
    shares = None if influence is None else np.array(influence, np.float64)
    aggregation = Aggregation(np.array([4.0, 1.0], np.float32), shares)
    honest = made.rare - made.malicious
    return figures_of(made.defence, aggregation, PARTITIONS, bad, caught, honest, honest_mean)


def test_the_figures_of_a_rule_that_chooses():
    """Attackers 1 (let in) and 2 (left out), of the honest 0, 3, 4 and 6 only 3 is left out; 0, 3 and 6 are rare."""
    shown = figures([0.25, 0.25, 0, 0, 0.25, 0.25], rare=[0, 1, 3, 6, 7], honest_mean=np.array([1.0, 5.0]))
    assert shown == {
        "distance": 5.0,
        "honest_norm": pytest.approx(np.sqrt(26)),
        "influence": (0.25, 0.25, 0.0, 0.0, 0.25, 0.25),
        "malicious_influence": 0.25,
        "accepted": (0, 1, 4, 6),
        "true_positive_rate": 0.5,
        "false_positive_rate": 0.25,
        "rare_false_positive_rate": pytest.approx(1 / 3),
    }


def test_attackers_that_were_refused_were_caught():
    shown = figures([0.25, 0.25, 0, 0, 0.25, 0.25], caught=2)
    assert shown["true_positive_rate"] == 0.75
    assert shown["rare_false_positive_rate"] is None
    nobody = np.zeros(6, bool)
    every = figures([1 / 6] * 6, caught=1, bad=nobody)
    assert every == {
        "true_positive_rate": 1.0,
        "malicious_influence": 0.0,
        "influence": (0.166667,) * 6,
        "accepted": (0, 1, 2, 3, 4, 6),
        "false_positive_rate": 0.0,
        "rare_false_positive_rate": None,
    }
    calm = figures([1 / 6] * 6, bad=nobody)
    assert "true_positive_rate" not in calm
    assert "malicious_influence" not in calm
    assert "distance" not in calm


def test_the_figures_of_rules_that_do_not_choose():
    assert figures(None, caught=1) == {}
    assert figures(None, caught=1, bad=np.zeros(6, bool)) == {
        "true_positive_rate": 1.0,
        "malicious_influence": 0.0,
    }
    weighted = figures([0.5, 0.125, 0, 0.125, 0.125, 0.125], rule="mean")
    assert weighted == {"influence": (0.5, 0.125, 0.0, 0.125, 0.125, 0.125), "malicious_influence": 0.125}


@pytest.mark.parametrize("mean", [(np.inf, 0.0), (np.nan, 0.0)])
def test_figures_without_a_number_are_none(mean):
    shown = figures(None, honest_mean=np.array(mean))
    assert shown == {"distance": None, "honest_norm": None}


# -- Clients -------------------------------------------------------------------------------------------------------


def federation(partitions, **settings) -> Federation:
    layout, sizes = Layout((Entry("kernel", (3,), "trainable"),)), [5] * len(partitions)
    return federation_of(layout, sizes, partitions, federation__clients=40, **settings)


@pytest.mark.parametrize(("participation", "wanted"), [(1.0, 30), (0.5, 15), (0.25, 8), (0.01, 1)])
def test_who_takes_part_is_drawn_without_replacement_from_those_that_can_be_asked(participation, wanted):
    available = list(range(5, 35))
    made = federation(available, seed=3, federation__participation=participation)
    for round in (1, 2):
        drawn = made.sampling.sample(round)
        again = generator(3, Purpose.SAMPLING, round).choice(available, wanted, replace=False)
        assert drawn == sorted(again.tolist())
        assert len(set(drawn)) == wanted
        assert all(type(partition) is int for partition in drawn)


def test_rounds_draw_anew():
    made = federation(range(30), federation__participation=0.5)
    assert made.sampling.sample(1) == made.sampling.sample(1) != made.sampling.sample(2)


def test_a_rounds_clients_as_plain_data():
    failures = (Failure(3, "no reply in time"), Failure(5, "ValueError: 7"))
    for loss, shown in ((0.25, 0.25), (np.nan, None), (np.inf, None), (-np.inf, None)):
        assert to_json(RoundOutcome(6, 4, failures, loss, 12.5, {"rule": "mean"}).record()) == {
            "sampled": 6,
            "trained": 4,
            "failed": 2,
            "failures": [
                {"partition": 3, "reason": "no reply in time"},
                {"partition": 5, "reason": "ValueError: 7"},
            ],
            "loss": shown,
            "seconds": 12.5,
        }


def test_the_loss_weights_clients_by_their_images():
    notes = [ReplyNote(4, 30, 2.0, 1.5), ReplyNote(1, 10, 1.0, 2.0), ReplyNote(2, 50, np.inf, np.nan)]
    failures = [Failure(9, "late"), Failure(3, "nonsense")]
    found = outcome_of(5, notes, failures)
    assert (found.sampled, found.trained, found.loss, found.client_seconds) == (5, 3, 1.75, 3.5)
    assert [failure.client_id for failure in found.failures] == [3, 9]
    assert found.defence is None
    none = outcome_of(2, notes[2:], [])
    assert (none.trained, none.client_seconds) == (1, 0)
    assert np.isnan(none.loss)
