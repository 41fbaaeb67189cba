"""Which numbers of clients and of models are believed."""

import numpy as np
import pytest

from fedrobust.models.layout import Entry, Layout, Weights
from server.soundness import (
    LARGEST_MEAN,
    LARGEST_UPDATE,
    LARGEST_VARIANCE,
    beside_fault,
    memory_fault,
    statistics_fault,
    update_fault,
    weights_fault,
)

LAYOUT = Layout(
    (
        Entry("kernel", (3,), "trainable"),
        Entry("norm/moving_mean", (2,), "statistic"),
        Entry("norm/moving_variance", (2,), "statistic"),
        Entry("dropout/seed_state", (1,), "statistic"),
    )
)
GOOD = (0.5, -0.5, 1.0, 0.0, 4e9)
"""Means of either sign, a variance of 0 (a channel that is always 0), a counter of an own network."""


def test_a_model_must_be_of_finite_numbers_and_of_statistics_that_can_be():
    good = Weights(np.ones(3, np.float32), np.array(GOOD, np.float32))
    assert weights_fault(good, LAYOUT) == ""
    for trainable, statistics, fault in (
        ([1, np.inf, np.nan], GOOD, "2 of its weights are not finite"),
        ([1, 1, 1], [np.nan, *GOOD[1:]], "1 of its statistics are not finite"),
        ([1, 1, 1], [*GOOD[:3], -1, 0], "statistics: 1 of 2 moving variances are negative"),
    ):
        weights = Weights(np.array(trainable, np.float32), np.array(statistics, np.float32))
        said, _, layer = weights_fault(weights, LAYOUT).partition(", the first in ")
        assert (said, layer in {entry.path for entry in LAYOUT.entries}) == (fault, True)
    without = Layout((Entry("kernel", (3,), "trainable"),))
    assert weights_fault(Weights(np.ones(3, np.float32), np.zeros(0, np.float32)), without) == ""
    assert statistics_fault(np.zeros(0, np.float32), without) == ""


def test_updates_and_memory_of_either_kind():
    assert update_fault(np.array([1e6, -1e6], np.float32)) == ""
    assert update_fault(np.zeros(0, np.float32)) == ""
    assert "numbers of 1.1e+06" in update_fault(np.array([0, -1.1e6], np.float32))
    assert "numbers of nan" in update_fault(np.array([0, np.nan], np.float32))
    assert memory_fault({"a": np.array([1, 2]), "b": np.array([np.nan])}) == ""
    assert "remembered of it as b" in memory_fault({"a": np.array([1, 2]), "b": np.array([1, -np.inf])})


def test_the_limits_of_what_is_believed():
    assert (LARGEST_MEAN, LARGEST_VARIANCE, LARGEST_UPDATE) == (1e6, 1e12, 1e6)


def test_what_may_be_remembered():
    infinite, whole = np.array([1.0, -np.inf]), np.array([1, 2])
    assert memory_fault({}) == ""
    assert memory_fault({"a": np.array([np.nan, 3e38]), "count": whole, "names": np.array(["a", "b"])}) == ""
    assert (
        memory_fault({"a": whole, "b": infinite, "c": infinite})
        == "what is remembered of it as b is not finite"
    )
    assert memory_fault({"a": infinite.astype(np.float16)}) == "what is remembered of it as a is not finite"


@pytest.mark.parametrize("update", [[], [0.0], [1e6, -1e6]])
def test_updates_that_an_optimiser_may_see(update):
    assert update_fault(np.array(update, np.float32)) == ""


@pytest.mark.parametrize(
    ("update", "largest"), [([1.0, -1000001.0], "1e+06"), ([2.5e7, -1.0], "2.5e+07"), ([np.nan, 0.0], "nan")]
)
def test_updates_that_it_must_not_see(update, largest):
    assert update_fault(np.array(update)) == (
        f"the aggregated update has numbers of {largest}, more than 1e+06: the server optimiser would remember them"
    )


def test_what_is_sent_beside_weights_has_the_limit_of_updates():
    assert beside_fault(np.array([1e6, -1e6], np.float32)) == beside_fault(np.zeros(0, np.float32)) == ""
    assert beside_fault(np.array([0, -2e6], np.float32)) == (
        "beside its weights it sends a number of 2e+06, no more than 1e+06 is believed"
    )


def test_of_several_faults_variances_below_0_are_told_first_then_means():
    layout = Layout(
        (Entry("norm/moving_mean", (2,), "statistic"), Entry("norm/moving_variance", (2,), "statistic"))
    )
    for statistics, fault in (
        ((2e6, 0, -1, -1), "statistics: 2 of 2 moving variances are negative"),
        (
            (3, -2e6, 2e12, 0),
            "statistics: a moving mean of -2e+06, no more than 1e+06 either way is believed",
        ),
        ((3, 4, 1, 2e12), "statistics: a moving variance of 2e+12, no more than 1e+12 is believed"),
        ((1e6, -1e6, 0, 1e12), ""),
    ):
        said, _, layer = statistics_fault(np.array(statistics, np.float64), layout).partition(
            ", the first in "
        )
        assert said == fault
        assert layer == ("" if not fault else f"norm/moving_{'mean' if 'mean' in fault else 'variance'}")
