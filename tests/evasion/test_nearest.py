"""The ways of attacks that look for the nearest adversary: hyperplanes, stalls, pixels taken back."""

import numpy as np
import pytest
from scipy.optimize import linprog

from fedrobust.evasion import Threat, attack
from fedrobust.evasion.hyperplane import onto_hyperplane, size
from fedrobust.evasion.target import Slopes


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


def test_no_way_is_needed_from_the_hyperplane_and_none_exists_without_a_slope():
    flat, tilted = np.zeros((1, 3)), np.ones((1, 3))
    half = np.full((1, 3), 0.5)
    for norm in ("linf", "l2"):
        assert not onto_hyperplane(half, tilted, np.zeros(1), norm).any()
        assert not onto_hyperplane(half, flat, np.ones(1), norm).any()
    assert size(np.array([[3.0, -4.0]]), "linf") == 4
    assert size(np.array([[3.0, -4.0]]), "l2") == 5
