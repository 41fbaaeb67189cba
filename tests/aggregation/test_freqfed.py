"""FreqFed against a literal transcription, and the precision of its distances."""

import numpy as np
import pytest
from scipy.fft import dctn
from sklearn.cluster import HDBSCAN

from fedrobust.aggregation import AggregationContext, InfeasibleError, Updates, defence
from fedrobust.aggregation.rules.freqfed import cosine_distances, low_products
from fedrobust.models.layout import Entry, Layout

SHAPES = [
    ("conv/kernel", (3, 3, 2, 8)),
    ("conv/bias", (8,)),
    ("dense/kernel", (4, 30)),
    ("dense/bias", (30,)),
]
LAYOUT = Layout(tuple(Entry(path, shape, "trainable") for path, shape in SHAPES))
SIZE = LAYOUT.parameters


def context(n, current, layout=LAYOUT):
    return AggregationContext(np.arange(n), np.ones(n, int), current=current, layout=layout)


def literal_features(model, low=0.5):
    """Fereidooni et al., 2024: the transform of each array, of which i + j <= half of the longer side is kept."""
    kept, start = [], 0
    for _, shape in SHAPES:
        size = int(np.prod(shape))
        matrix = model[start : start + size].reshape(-1, shape[-1])
        start += size
        found = dctn(matrix, norm="ortho")
        for i in range(matrix.shape[0]):
            kept += [found[i, j] for j in range(matrix.shape[1]) if i + j <= int(low * max(matrix.shape))]
    return np.array(kept)


def literal_distances(models, low=0.5):
    rows = np.array([literal_features(model, low) for model in models])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return 1 - rows @ rows.T


@pytest.mark.parametrize("low", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_it_is_the_papers(low, scale, draw):
    u = draw.standard_normal(SIZE) + 0.3 * draw.standard_normal((13, SIZE))
    u[:4] *= -1
    u = (scale * u).astype(np.float32)
    w = (scale * draw.standard_normal(SIZE)).astype(np.float32)
    expected = literal_distances(w.astype(np.float64) + u, low)
    found = cosine_distances(low_products(Updates(u), w, LAYOUT, low))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    np.fill_diagonal(expected, 0)
    labels = HDBSCAN(
        min_cluster_size=7, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True
    ).fit_predict(np.maximum(expected, 0))
    members = np.flatnonzero(labels == 0)
    result = defence(f"freqfed(low={low})")(u, context(13, w))
    assert np.flatnonzero(result.influence).tolist() == members.tolist()
    assert not result.influence[:4].any()
    np.testing.assert_allclose(
        result.update, u[members].mean(0, dtype=np.float64), rtol=1e-5, atol=1e-6 * scale
    )


def test_all_frequencies_are_the_vectors_themselves(draw):
    u = draw.standard_normal((5, SIZE)).astype(np.float32)
    w = draw.standard_normal(SIZE).astype(np.float32)
    rows = np.concatenate([u, w[None]]).astype(np.float64)
    layout = Layout(tuple(Entry(path, (int(np.prod(shape)),), "trainable") for path, shape in SHAPES))
    np.testing.assert_allclose(low_products(Updates(u), w, layout, 1.0), rows @ rows.T, rtol=1e-5, atol=1e-3)


def test_small_updates_of_large_models_keep_their_distances(draw):
    """1 - cos in float64 loses all digits of updates that are 1e-9 of the model."""
    u = 1e-9 * draw.standard_normal((4, SIZE))
    w = draw.standard_normal(SIZE)
    rows = np.concatenate([u, w[None]])
    found = cosine_distances(rows @ rows.T)
    across = u - np.outer(u @ w, w) / (w @ w)
    expected = ((across[:, None] - across[None]) ** 2).sum(-1) / (2 * w @ w)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-22)


def test_an_attacker_in_high_frequencies_alone_is_not_seen(draw):
    """The 64th frequency of a vector of 64, the fastest one."""
    layout = Layout((Entry("a", (64,), "trainable"),))
    u = (1 + 0.01 * draw.standard_normal((7, 64))).astype(np.float32)
    w = np.ones(64, np.float32)
    before = low_products(Updates(u.copy()), w, layout, 0.5)
    u[0] += 0.5 * np.cos(np.pi * (2 * np.arange(64) + 1) * 63 / 128)
    np.testing.assert_allclose(low_products(Updates(u), w, layout, 0.5), before, rtol=1e-5)
    assert defence("freqfed(low=1.0)")(u, context(7, w, layout)).influence[0] == 0


def test_it_asks_for_what_it_needs(draw):
    x = draw.standard_normal((4, SIZE)).astype(np.float32)
    with pytest.raises(InfeasibleError, match="FreqFed needs the global weights"):
        defence("freqfed")(x)
    with pytest.raises(InfeasibleError, match="FreqFed needs the model's arrays"):
        defence("freqfed")(x, context(4, x[0], None))


def test_mixtures_are_clustered_as_their_sums(draw):
    x = draw.standard_normal((9, SIZE)).astype(np.float32)
    mixed = Updates.of(x).mixed(draw.random((9, 9)))
    one, other = (low_products(each, x[0], LAYOUT, 0.5) for each in (mixed, Updates(np.asarray(mixed))))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
