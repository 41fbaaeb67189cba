"""Paired tests over seeds: scipy's t test, Holm's correction by hand, differences that cannot be tested."""

import numpy as np
import pytest
import scipy.stats

from fedrobust.sweeps.paired import Paired, holm, paired, t_test


@pytest.mark.parametrize("seed", range(3))
def test_the_paired_test_is_scipys(seed):
    one, other = np.random.default_rng(seed).random((2, 6))
    assert t_test((one - other).tolist()) == pytest.approx(scipy.stats.ttest_rel(one, other).pvalue)
    assert t_test([0.0] * 3) == 1.0


@pytest.mark.parametrize("gain", [0.25, -0.1])
def test_equal_differences_do_not_tell_how_they_vary_and_are_not_tested(gain):
    # Sums of floats are apart by rounding: numpy's deviation of these is 1e-17, and p would be 1e-32.
    differences = [base + gain - base for base in (0.1, 0.3, 0.7)]
    assert t_test(differences) is None
    robust = {
        "a": {seed: base + gain for seed, base in enumerate((0.1, 0.3, 0.7))},
        "b": {0: 0.1, 1: 0.3, 2: 0.7},
    }
    one = paired("a", "b", {"": robust})
    assert (one.difference, one.p) == (pytest.approx(gain), None)
    assert holm([one, Paired("a", "c", 3, 0.0, None, None, 0.04)])[1].adjusted == pytest.approx(0.04), (
        "one test"
    )


def test_holm_by_hand():
    """0.01, 0.03, 0.04 of three tests: 3 x 0.01, 2 x 0.03, and no less than that."""
    pairs = [Paired("a", "b", 3, 0.0, None, None, p) for p in (0.04, None, 0.01, 0.03)]
    assert [one.adjusted for one in holm(pairs)] == [
        pytest.approx(0.06),
        None,
        pytest.approx(0.03),
        pytest.approx(0.06),
    ]
