"""LASA against a literal transcription, by hand, and where its official code divides by zero."""

import numpy as np
import pytest

from fedrobust.aggregation import AggregationContext, InfeasibleError, Updates, defence
from fedrobust.models.layout import Entry, Layout

SHAPES = [("conv/kernel", (3, 3, 1, 8)), ("conv/bias", (8,)), ("dense/kernel", (30, 9)), ("dense/bias", (9,))]
LAYOUT = Layout(tuple(Entry(path, shape, "trainable") for path, shape in SHAPES))
SIZE = LAYOUT.parameters


def context(n, layout=LAYOUT):
    return AggregationContext(np.arange(n), np.ones(n, int), layout=layout)


def literal(x, sparsity, lambda_m, lambda_d):
    """Xu et al., 2025, Algorithm 1, with the official code's choice of arrays; x in float64."""
    norms = np.linalg.norm(x, axis=1)
    clipped = x * np.minimum(1, np.median(norms) / norms)[:, None]
    kernels = np.concatenate([np.full(int(np.prod(shape)), len(shape) > 1) for _, shape in SHAPES])
    keep = int(kernels.sum() * (1 - sparsity))
    masks = np.ones_like(x)
    for row, mask in zip(x, masks, strict=True):
        places = np.flatnonzero(kernels)
        mask[places[np.argsort(-np.abs(row[places]), kind="stable")[keep:]]] = 0
    found, start, chosen = [], 0, []
    for _, shape in SHAPES:
        layer = slice(start, start + int(np.prod(shape)))
        start = layer.stop
        left = (x * masks)[:, layer]
        magnitude = np.linalg.norm(left, axis=1)
        purity = 0.5 * (1 + np.sign(left).sum(1) / np.abs(np.sign(left)).sum(1))
        scores = [np.abs(each - np.median(each)) / np.std(each) for each in (magnitude, purity)]
        kept = np.flatnonzero((scores[0] < lambda_m) & (scores[1] < lambda_d))
        kept = kept if len(kept) else np.arange(len(x))
        chosen.append(kept)
        found.append((clipped * masks)[kept][:, layer].mean(0))
    return np.concatenate(found), chosen


@pytest.mark.parametrize("settings", [(0.3, 1.0, 1.0), (0.5, 2.0, 1.0), (0.0, 0.8, 1.5)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_it_is_the_papers(settings, scale, draw):
    x = draw.standard_normal(SIZE) + draw.standard_normal((13, SIZE))
    x[0], x[1] = -x[0], 1e6 * x[1]
    x[2, 72:] *= -3
    x = (x * scale).astype(np.float32)
    sparsity, lambda_m, lambda_d = settings
    rule = f"lasa(sparsity={sparsity}, lengths={lambda_m}, signs={lambda_d})"
    result = defence(rule)(Updates(x), context(13))
    expected, chosen = literal(x.astype(np.float64), *settings)
    np.testing.assert_allclose(result.update, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert np.flatnonzero(result.influence).tolist() == sorted(set(np.concatenate(chosen)))
    assert result.update.any()


def test_layers_are_filtered_each_for_itself_by_hand():
    """A client that is far in the second layer only is rejected there only."""
    layout = Layout((Entry("a", (2,), "trainable"), Entry("b", (2,), "trainable")))
    x = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 9, 9]], np.float32)
    result = defence("lasa")(x, context(4, layout))
    far = 2 / np.sqrt(164)  # clipped to the median norm, 2
    np.testing.assert_allclose(result.update, [(3 + far) / 4, (3 + far) / 4, 1, 1], rtol=1e-6)
    shares = np.array([1, 1, 1, far]) / (3 + far)
    np.testing.assert_allclose(result.influence, (shares + np.array([1, 1, 1, 0]) / 3) / 2, rtol=1e-9)


def test_the_smallest_values_of_kernels_are_dropped_and_those_of_biases_are_not():
    layout = Layout((Entry("kernel", (2, 2), "trainable"), Entry("bias", (2,), "trainable")))
    x = np.repeat(np.array([[4, -3, 2, 1, 0.1, 0.2]], np.float32), 3, axis=0)
    result = defence("lasa(sparsity=0.5)")(x, context(3, layout))
    np.testing.assert_allclose(result.update, [4, -3, 0, 0, 0.1, 0.2], rtol=1e-6)


def test_an_empty_layer_or_equal_clients_divide_by_nothing():
    layout = Layout((Entry("kernel", (2, 2), "trainable"), Entry("bias", (2,), "trainable")))
    x = np.repeat(np.array([[4, -3, 2, 1, 1, 1]], np.float32), 5, axis=0)
    x[0, 4:] = 0
    result = defence("lasa(sparsity=0.0)")(x, context(5, layout))
    assert np.isfinite(result.update).all()
    assert result.influence[0] < result.influence[1], "who sends no bias is unusual there, and only there"
    zeros = defence("lasa")(np.zeros((5, 6), np.float32), context(5, layout))
    assert not zeros.update.any()
    np.testing.assert_allclose(zeros.influence, 0.2)


def test_it_asks_for_the_layers(draw):
    with pytest.raises(InfeasibleError, match="LASA needs the model's arrays"):
        defence("lasa")(draw.standard_normal((4, 5)).astype(np.float32))


def test_mixtures_are_filtered_as_their_sums(draw):
    x = draw.standard_normal((9, SIZE)).astype(np.float32)
    mixed = Updates.of(x).mixed(draw.random((9, 9)))
    rule = defence("lasa").rule
    one, other = rule(mixed, context(9)), rule(Updates(np.asarray(mixed)), context(9))
    np.testing.assert_allclose(one.influence, other.influence, rtol=1e-5)
    np.testing.assert_allclose(one.update, other.update, rtol=1e-4, atol=1e-5)
