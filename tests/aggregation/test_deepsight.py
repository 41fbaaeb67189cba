"""DeepSight: its three features literally, its clusters by hand, and an attacker of one class."""

import numpy as np
import pytest
from linear_answers import LinearAnswers

from fedrobust.aggregation import AggregationContext, InfeasibleError, Updates, defence
from fedrobust.aggregation.rules.deepsight import (
    kept_clusters,
    normalised_energies,
    output_layer,
    probability_ratios,
    suspicious,
)
from fedrobust.models.layout import Entry, Layout

INPUTS, CLASSES = 6, 5
SHAPES = {"conv/kernel": (3, 3), "logits/kernel": (INPUTS, CLASSES), "logits/bias": (CLASSES,)}
LAYOUT = Layout(tuple(Entry(path, shape, "trainable") for path, shape in SHAPES.items()))
SIZE = LAYOUT.parameters


class Softmax:
    """A softmax of the update's biases and of the noise that the kernel sees."""

    def on_noise(self, update, statistics, images, seed):
        noise = np.random.default_rng(seed).random((images, INPUTS))
        logits = noise @ update[9:39].reshape(INPUTS, CLASSES).astype(np.float64) + update[39:]
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)


def context(n, model=None, layout=LAYOUT):
    return AggregationContext(
        np.arange(n),
        np.ones(n, int),
        layout=layout,
        statistics=np.zeros((n, 0), np.float32),
        current_statistics=np.zeros(0, np.float32),
        model=model or Softmax(),
    )


def drawn(draw, n=12, bad=4):
    """Return honest updates that move the biases of all classes, after `bad` ones that move only that of class 2."""
    x = 0.02 * draw.standard_normal((n, SIZE))
    x[bad:, 39:] += np.array([0.9, -1.1, 1.0, 0.8, -1.0])
    x[:bad, 39:] = np.array([0, 0, 2.0, 0, 0]) + 0.01 * draw.standard_normal((bad, 5))
    x[:bad, 9:39] *= np.tile(np.arange(5) == 2, 6)
    return x.astype(np.float32)


def test_energies_and_exceedings_are_the_papers(draw):
    """Rieger et al., 2022: |b| + sum |W| of each output, squared, normalised; those above 1 / P of the largest."""
    x = drawn(draw)
    kernel, bias = output_layer(Updates(x), LAYOUT)
    flags = []
    for i, update in enumerate(x.astype(np.float64)):
        w, b = update[9:39].reshape(INPUTS, CLASSES), update[39:]
        energy = np.array([abs(b[k]) + sum(abs(w[h, k]) for h in range(INPUTS)) for k in range(CLASSES)])
        expected = energy**2 / (energy**2).sum()
        np.testing.assert_allclose(normalised_energies(kernel, bias)[i], expected, rtol=1e-9)
        flags.append(sum(e >= max(0.01, 1 / CLASSES) * expected.max() for e in expected))
    assert flags == [1] * 4 + [5] * 8
    assert suspicious(normalised_energies(kernel, bias)).tolist() == [True] * 4 + [False] * 8


def test_ratios_are_the_papers(draw):
    x = drawn(draw, 4, 2)
    usual = Softmax().on_noise(np.zeros(SIZE), None, 50, 3)
    expected = [
        [
            np.mean([p[c] / g[c] for p, g in zip(Softmax().on_noise(u, None, 50, 3), usual, strict=True)])
            for c in range(5)
        ]
        for u in x
    ]
    zeros = np.zeros((4, 0), np.float32)
    found = probability_ratios(Updates(x), zeros, zeros[0], Softmax(), 50, 3)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(("bad", "smallest"), [(2, 2), (3, 3), (4, 3), (5, 3)])
def test_attackers_of_one_class_are_left_out(bad, smallest, draw):
    x = drawn(draw, 12, bad)
    result = defence(f"deepsight(images=50, smallest={smallest})")(x, context(12))
    assert np.flatnonzero(result.influence == 0).tolist() == list(range(bad))
    norms = np.linalg.norm(x.astype(np.float64), axis=1)
    clipped = x * np.minimum(1, np.median(norms) / norms)[:, None]
    np.testing.assert_allclose(result.update, clipped[bad:].mean(0), rtol=1e-5, atol=1e-6)


def test_the_order_of_clients_does_not_matter_where_distances_are_tied(draw):
    for _ in range(10):
        x = drawn(draw, 14, 4)
        x[4:9] *= -1
        order = draw.permutation(14)
        one, other = (defence("deepsight(images=20)")(rows, context(14)) for rows in (x, x[order]))
        np.testing.assert_allclose(other.influence, one.influence[order], atol=1e-12)


def test_a_cluster_is_dropped_from_its_share_of_suspicious_clients_on():
    labels = np.array([0, 0, 0, 1, 1, 1, 1, -1])
    flagged = np.array([1, 0, 0, 1, 0, 0, 0, 1], bool)
    assert np.flatnonzero(kept_clusters(labels, flagged, 1 / 3)).tolist() == [3, 4, 5, 6]
    assert np.flatnonzero(kept_clusters(labels, flagged, 0.5)).tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_a_head_that_does_not_change_divides_by_nothing(draw):
    x = drawn(draw)
    x[6, 9:] = 0
    result = defence("deepsight(images=20)")(x, context(12))
    assert np.isfinite(result.update).all()
    zeros = defence("deepsight(images=20)")(np.zeros((5, SIZE), np.float32), context(5))
    assert not zeros.update.any()
    assert np.isclose(zeros.influence.sum(), 1)


def test_if_all_are_suspicious_or_few_the_rest_decides(draw):
    few = defence("deepsight")(drawn(draw, 2, 0), context(2))
    assert (few.influence > 0).all()
    x = drawn(draw, 9, 4)
    x[4:] = x[0] + 0.01 * draw.standard_normal((5, SIZE)).astype(np.float32) * (x[0] != 0)
    alike = defence("deepsight(images=20, suspicious=0.001)")(x, context(9))
    assert np.isfinite(alike.update).all()


def test_it_asks_for_what_it_needs(draw):
    x = drawn(draw)
    bare = AggregationContext(np.arange(12), np.ones(12, int), layout=LAYOUT)
    with pytest.raises(InfeasibleError, match="DeepSight needs answers of models"):
        defence("deepsight")(x, bare)
    no_bias = Layout((Entry("conv/kernel", (3, 3), "trainable"), Entry("logits/kernel", (7, 5), "trainable")))
    with pytest.raises(InfeasibleError, match="the last layer that is trained, logits, is none with"):
        defence("deepsight").rule.fits_layout(no_bias)
    assert LinearAnswers(2, x[0]).class_losses(x[0], None, 1).tolist() == [0, 0]
