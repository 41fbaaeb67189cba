"""AlignIns against a literal transcription, by hand, and where its official code divides by zero."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, InfeasibleError, Updates, defence
from fedrobust.aggregation.rules.alignins import sign_alignments
from fedrobust.aggregation.selection import SHORT, magnitude_threshold


def literal(x, weights, principal, lambda_c, lambda_s):
    """Xu et al., 2025, section 4: both metrics, their z-scores around the median, clipping, mean."""
    tda, mpsa = [], []
    principle = np.sign(np.sign(x).sum(0))
    for update in x:
        tda.append(update @ weights / np.linalg.norm(update) / np.linalg.norm(weights))
        largest = np.argsort(-np.abs(update), kind="stable")[: max(1, int(principal * len(update)))]
        mpsa.append((np.sign(update[largest]) == principle[largest]).mean())
    kept = []
    for i in range(len(x)):
        scores = [abs(each[i] - np.median(each)) / np.std(each) for each in (tda, mpsa)]
        if scores[0] < lambda_c and scores[1] < lambda_s:
            kept.append(i)
    if not kept:
        return np.zeros(x.shape[1]), kept
    norms = np.linalg.norm(x, axis=1)
    clipped = [x[i] * min(1, np.median(norms[kept]) / norms[i]) for i in kept]
    return np.mean(clipped, axis=0), kept


def hostile(draw, scale):
    """Honest updates around a direction, beside flipped, sparse, huge and tiny ones."""
    x = draw.standard_normal(400) + draw.standard_normal((15, 400))
    x[0] = -x[0]
    x[1] *= 1e6
    x[2, draw.permutation(400)[:380]] = 0
    x[3] *= 1e-6
    return (x * scale).astype(np.float32)


@pytest.mark.parametrize("settings", [(0.3, 1.0, 1.0), (0.05, 2.0, 0.5), (1.0, 0.7, 3.0)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_it_is_the_papers(settings, scale, draw):
    principal, lambda_c, lambda_s = settings
    x, weights = hostile(draw, scale), draw.standard_normal(400).astype(np.float32)
    context = AggregationContext(np.arange(15), np.ones(15, int), current=weights)
    rule = f"alignins(principal={principal}, directions={lambda_c}, signs={lambda_s})"
    result = defence(rule)(Updates(x), context)
    expected, kept = literal(x.astype(np.float64), weights.astype(np.float64), *settings)
    assert np.flatnonzero(result.influence).tolist() == kept
    assert 0 < len(kept) < 15
    np.testing.assert_allclose(result.update, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


def test_an_attacker_of_other_signs_is_left_out_by_hand():
    """All cosines with the weights (0, 0, 1) are 0; of the largest value the majority's sign is positive."""
    x = np.array([[2, 1, 0], [3, -1, 0], [2, 1, 0], [4, 1, 0], [-2, 1, 0]], np.float32)
    context = AggregationContext(np.arange(5), np.ones(5, int), current=np.array([0, 0, 1], np.float32))
    result = defence("alignins(principal=0.34)")(x, context)
    assert np.flatnonzero(result.influence == 0).tolist() == [4]
    assert sign_alignments(Updates.of(x), 1).tolist() == [1, 1, 1, 1, 0]
    typical = np.median(np.linalg.norm(x[:4], axis=1))
    clipped = x[:4] * np.minimum(1, typical / np.linalg.norm(x[:4], axis=1))[:, None]
    np.testing.assert_allclose(result.update, clipped.mean(0), rtol=1e-6)


def test_equal_clients_are_equally_usual_where_the_official_code_divides_by_zero():
    same = np.repeat(np.array([[1, 2, -3]], np.float32), 4, axis=0)
    context = AggregationContext(np.arange(4), np.ones(4, int), current=np.ones(3, np.float32))
    result = defence("alignins")(same, context)
    np.testing.assert_array_equal(result.update, same[0])
    assert result.influence.tolist() == [0.25] * 4
    zeros = defence("alignins")(np.zeros((4, 3), np.float32), context)
    assert not zeros.update.any()
    assert np.isfinite(zeros.influence).all()


def test_if_nobody_is_usual_the_model_stays(draw):
    x = draw.standard_normal((4, 50)).astype(np.float32)
    context = AggregationContext(np.arange(4), np.ones(4, int), current=np.ones(50, np.float32))
    result = defence("alignins(directions=0.001, signs=0.001)")(x, context)
    assert not result.update.any()
    assert not result.influence.any()


def test_it_asks_for_the_global_weights(draw):
    with pytest.raises(InfeasibleError, match="AlignIns needs the global weights"):
        defence("alignins")(draw.standard_normal((4, 5)).astype(np.float32))


@pytest.mark.parametrize("shape", ["normal", "ties", "sparse", "sorted", "one far"])
@pytest.mark.parametrize("share", [1e-6, 0.1, 0.3, 0.99, 1.0])
def test_the_threshold_is_that_of_sorting(shape, share, draw):
    x = draw.standard_normal(SHORT + 12345).astype(np.float32)
    if shape == "ties":
        x = np.round(x)
    elif shape == "sparse":
        x[draw.random(len(x)) < 0.9] = 0
    elif shape == "sorted":
        x.sort()
    elif shape == "one far":
        x[::8] *= 1e30  # the values that a sample of every eighth would see
    count = max(1, int(share * len(x)))
    expected = np.sort(np.abs(x))[::-1][count - 1]
    assert magnitude_threshold([x[:1000], x[1000:]], count) == expected
    assert (
        magnitude_threshold([x[:5000]], min(count, 5000))
        == np.sort(np.abs(x[:5000]))[::-1][min(count, 5000) - 1]
    )


def test_signs_count_in_mixtures_as_in_their_sums(draw):
    x = draw.standard_normal((7, 300)).astype(np.float32)
    mixed = Updates.of(x).mixed(draw.random((7, 7)))
    written = Updates(np.asarray(mixed))
    np.testing.assert_allclose(sign_alignments(mixed, 90), sign_alignments(written, 90), atol=1e-12)
