"""SFAT: hand-worked weights, and what a lie about the loss can gain."""

import numpy as np
import pytest

from fedrobust.aggregation import RULES, SFAT, AggregationContext, InfeasibleError, Updates, defence
from fedrobust.spec import SpecError, build


def shares(losses, examples=None, **settings):
    n = len(losses)
    claims = np.ones(n, int) if examples is None else np.asarray(examples)
    context = AggregationContext(np.arange(n), claims, losses=np.asarray(losses, float))
    return SFAT(**settings)(Updates.of(np.eye(n, dtype=np.float32)), context)


def test_five_clients_by_hand():
    """Alpha 1/6: the favoured one weighs 7/6, the others 5/6; 7 + 5 x 4 = 27."""
    found = shares([0.9, 0.4, 0.7, 1.3, 0.8])
    np.testing.assert_allclose(found.influence, np.array([5, 7, 5, 5, 5]) / 27)
    np.testing.assert_allclose(found.update, found.influence, rtol=1e-6)


def test_the_terms_of_the_objective_are_compared_images_times_loss():
    """30 x 0.2 = 6 is more than 10 x 0.5 = 5: the second is favoured (equation 5), though its loss is larger."""
    found = shares([0.2, 0.5], [30, 10], alpha=0.5, favoured=0.5)
    np.testing.assert_allclose(found.influence, [0.5, 0.5])


def test_images_count_as_in_federated_averaging():
    """(1 + 1/2) x 10 = 15 and (1 - 1/2) x 30 = 15: slack times images."""
    found = shares([0.1, 0.2], [10, 30], alpha=0.5, favoured=0.5)
    np.testing.assert_allclose(found.influence, [15 / 30, 15 / 30])
    without = shares([0.1, 0.2], [10, 30], alpha=0.0)
    np.testing.assert_allclose(without.influence, [0.25, 0.75])


@pytest.mark.parametrize(("favoured", "count"), [(0.01, 1), (0.2, 2), (0.25, 3), (0.5, 5)])
def test_a_share_of_the_clients_is_favoured(favoured, count):
    influence = shares(np.arange(10.0)[::-1], favoured=favoured).influence
    assert (influence > influence.min() * 1.2).sum() == count
    np.testing.assert_allclose(influence[-count:] / influence[0], 1.4)


def test_more_than_half_are_never_favoured():
    """Half of five would be rounded to three."""
    influence = shares(np.arange(5.0), favoured=0.5).influence
    assert (influence > influence.min() * 1.2).tolist() == [True, True, False, False, False]
    with pytest.raises(SpecError, match=r"favoured.*up to 0\.5"):
        build(RULES, "sfat(favoured=0.6)")


def test_equal_losses_are_favoured_alike_and_missing_ones_never():
    assert shares([1.0] * 4).influence.tolist() == [0.25] * 4
    influence = shares([0.5, np.nan, 0.5, 0.7], favoured=0.25).influence
    np.testing.assert_allclose(influence / influence[1], [1.4, 1.0, 1.4, 1.0])
    np.testing.assert_allclose(shares([np.nan] * 3).influence, 1 / 3)
    everyone = shares([np.nan, np.nan, 0.3], favoured=0.5).influence
    np.testing.assert_allclose(everyone / everyone[0], [1.0, 1.0, 1.4])


@pytest.mark.parametrize("lie", [0.0, -1e30, -1.0])
@pytest.mark.parametrize("alpha", [1 / 6, 0.5, 0.9])
def test_a_lie_gains_no_more_than_the_factor_and_the_size_of_the_lie_does_not_matter(alpha, lie, draw):
    losses, claims = draw.uniform(0.5, 2, 10), draw.integers(10, 50, 10)
    worst = int(np.argmax(losses * claims))
    honest = shares(losses, claims, alpha=alpha).influence
    losses[worst] = lie
    lied = shares(losses, claims, alpha=alpha).influence
    assert honest[worst] < lied[worst] <= claims[worst] / claims.sum() * (1 + alpha) / (1 - alpha)
    losses[worst] = 0.01
    np.testing.assert_array_equal(lied, shares(losses, claims, alpha=alpha).influence)


def test_the_gain_is_bounded_for_all_settings_and_sizes(draw):
    for _ in range(200):
        n = int(draw.integers(2, 12))
        losses, claims = draw.random(n), draw.integers(1, 100, n)
        alpha, favoured, liar = draw.uniform(0, 0.9), draw.uniform(0.05, 0.5), draw.integers(n)
        before = shares(losses, claims, alpha=alpha, favoured=favoured).influence[liar]
        losses[liar] = -1.0
        after = shares(losses, claims, alpha=alpha, favoured=favoured).influence[liar]
        plain = claims[liar] / claims.sum()
        factor = (1 + alpha) / (1 - alpha)
        assert after <= plain * factor * 1.000001
        assert before * 0.999999 <= after <= 1


def test_without_the_losses_of_each_client_there_is_no_slack_to_give():
    updates = Updates.of(np.eye(3, dtype=np.float32))
    with pytest.raises(InfeasibleError, match="weights clients by their training losses"):
        SFAT()(updates, AggregationContext(np.arange(3), np.ones(3, int)))
    for mixing in ("nnm", "bucketing"):
        with pytest.raises(InfeasibleError, match="SFAT weights every client by the loss that it reports"):
            defence("sfat", mixing).check(10)
    assert defence("sfat", "clipping").check(10) is None


def test_clients_whose_update_is_not_finite_leave_with_their_losses():
    matrix = np.eye(4, dtype=np.float32)
    matrix[0, 0] = np.nan
    context = AggregationContext(np.arange(4), np.ones(4, int), losses=np.array([0.1, 0.9, 0.2, 0.8]))
    influence = defence("sfat")(matrix, context).influence
    np.testing.assert_allclose(influence, np.array([0, 5, 7, 5]) / 17)
