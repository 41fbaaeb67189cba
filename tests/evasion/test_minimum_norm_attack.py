"""The ways of attacks that look for the nearest adversary: hyperplanes, stalls, pixels taken back."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import linprog

from fedrobust.evasion import BoundModel, CompiledModel, Threat, attack
from fedrobust.evasion.attacks.minimum_norm.hyperplane import onto_hyperplane, size
from fedrobust.evasion.models.protocol import Slopes


class Curved:
    """Calls an image bright from a mean of 0.5 on, by a concave score: a tangent never reaches as far as its root."""

    shape, classes = (4, 4, 1), 2

    def logits(self, images):
        score = np.log(images.mean(axis=(1, 2, 3), dtype=np.float32) / np.float32(0.5)) * np.float32(30)
        return np.stack([-score, score], axis=1).astype(np.float32) / 2

    def gradient(self, images, labels, loss, targets=None):
        logits = self.logits(images)
        steep = np.float32(30) / images.mean(axis=(1, 2, 3)) / np.float32(16)
        sign = np.where(targets == 1, 1, -1)
        gap = logits[np.arange(len(labels)), targets] - logits[np.arange(len(labels)), labels]
        return Slopes(logits, gap, np.ones_like(images) * (sign * steep)[:, None, None, None])


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("overshoot", [0.02, 0.0])
def test_deepfool_crosses_a_boundary_that_its_steps_only_near(norm, overshoot):
    images = np.linspace(0.05, 0.49, 60, dtype=np.float32)[:, None, None, None] * np.ones(
        (1, 4, 4, 1), np.float32
    )
    labels = np.zeros(60, np.int32)
    done = attack(Curved(), images, labels, f"deepfool(overshoot={overshoot})", Threat(norm=norm), [4.0])
    far = (0.5 - images[:, 0, 0, 0]) * (4 if norm == "l2" else 1)
    assert done.success.all()
    np.testing.assert_allclose(done.distance[0], far, rtol=2e-3, atol=2e-5)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_way_onto_a_hyperplane_is_the_shortest_in_the_box(draw, norm):
    """Against linear programming in linf; in l2 by the conditions of Karush, Kuhn and Tucker."""
    points, slopes = np.clip(draw.random((60, 7)) * 1.4 - 0.2, 0, 1), draw.normal(size=(60, 7))
    slopes[draw.random((60, 7)) < 0.2] = 0.0
    values = draw.normal(size=60) * draw.choice([0.1, 1.0, 3.0], 60)
    ways = onto_hyperplane(points, slopes, values, norm)
    towards = -np.sign(values)[:, None] * slopes
    room = np.where(towards > 0, 1 - points, points)
    reachable = (np.abs(slopes) * room).sum(1) >= np.abs(values)
    assert 5 < reachable.sum() < 60, "both kinds occur"
    assert ((points + ways >= -1e-12) & (points + ways <= 1 + 1e-12)).all()
    np.testing.assert_allclose((values + (slopes * ways).sum(1))[reachable], 0.0, atol=1e-9)
    corner = np.where(slopes != 0, np.sign(towards) * room, 0.0)
    np.testing.assert_allclose(ways[~reachable], corner[~reachable], atol=1e-12)
    for point, slope, value, way in zip(
        *(one[reachable] for one in (points, slopes, values, ways)), strict=True
    ):
        if norm == "linf":
            bounds = [*zip(-point, 1 - point, strict=True), (0, None)]
            within = np.block([[np.eye(7), -np.ones((7, 1))], [-np.eye(7), -np.ones((7, 1))]])
            best = linprog(
                [0] * 7 + [1],
                A_ub=within,
                b_ub=np.zeros(14),
                A_eq=[[*slope, 0]],
                b_eq=[-value],
                bounds=bounds,
            )
            assert np.abs(way).max() == pytest.approx(best.fun, abs=1e-8)
        else:
            free = (point + way > 1e-12) & (point + way < 1 - 1e-12) & (slope != 0)
            pace = way[free] / slope[free]
            assert np.ptp(pace) < 1e-9, "what is free moves along the slope"
            stuck = ~free & (slope != 0)
            if free.any() and stuck.any():
                assert (np.abs(way[stuck] / slope[stuck]) <= np.abs(pace).max() + 1e-9).all()


@pytest.fixture(scope="module")
def curved_network():
    """A network of one hidden layer, 20 images, and its answers to them as labels."""
    draw = np.random.default_rng(3)
    shape, hidden = (10, 10, 1), 24
    weights = [draw.normal(size=(100, hidden)) / 3, draw.normal(size=hidden), draw.normal(size=(hidden, 3))]
    weights = [one.astype(np.float32) for one in weights]
    compiled = CompiledModel(
        lambda held, x: tf.nn.softplus(tf.reshape(x - 0.5, [-1, 100]) @ held[0] + held[1]) @ held[2],
        [tf.TensorSpec(one.shape) for one in weights],
        shape,
        3,
    )
    target = BoundModel(compiled, tuple(tf.constant(one) for one in weights))
    images = draw.random((20, *shape)).astype(np.float32)
    return target, images, target.logits(images).argmax(1).astype(np.int32)


def test_sigma_zero_needs_fewer_pixels_than_saliency_maps(curved_network):
    target, images, labels = curved_network
    pixels = {
        name: attack(target, images, labels, name, Threat(norm="l0"), [100]).distance[0]
        for name in ("jsma(share=1.0)", "sigma-zero(steps=150)", "fmn(steps=100)")
    }
    jsma, sigma, fmn = pixels.values()
    assert (sigma <= jsma + 1).all()
    assert (fmn <= jsma + 1).all()
    assert sigma.mean() <= 0.8 * jsma.mean()


@pytest.mark.slow
def test_minimisers_agree_on_a_curved_network(curved_network):
    """Methods that have nothing in common but the model end at the same distance."""
    target, images, labels = curved_network
    names = ("carlini-wagner(steps=60, searches=6)", "fmn(steps=100)", "fab(steps=40)", "lbfgs(steps=30)")
    far = [attack(target, images, labels, name, Threat(norm="l2"), [10.0]).distance[0] for name in names]
    for name, other in zip(names, far, strict=True):
        assert (other > 0).all(), name
        assert np.median(other / far[0]) == pytest.approx(1, abs=0.01), name


def test_no_pixel_of_a_fewest_adversary_can_be_taken_back(curved_network):
    target, images, labels = curved_network
    done = attack(target, images, labels, "sigma-zero(steps=60)", Threat(norm="l0"), [50])
    for adversary, image, label in zip(done.images[0], images, labels, strict=True):
        for at in np.argwhere(adversary[..., 0] != image[..., 0])[:1]:
            less = adversary.copy()
            less[tuple(at)] = image[tuple(at)]
            changed = (adversary != image).sum()
            assert changed > 50 or target.logits(less[None]).argmax() == label


def test_no_way_is_needed_from_the_hyperplane_and_none_exists_without_a_slope():
    flat, tilted = np.zeros((1, 3)), np.ones((1, 3))
    half = np.full((1, 3), 0.5)
    for norm in ("linf", "l2"):
        assert not onto_hyperplane(half, tilted, np.zeros(1), norm).any()
        assert not onto_hyperplane(half, flat, np.ones(1), norm).any()
    assert size(np.array([[3.0, -4.0]]), "linf") == 4
    assert size(np.array([[3.0, -4.0]]), "l2") == 5
