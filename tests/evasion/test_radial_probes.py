"""Models that err inside of the threat, where attacks that go to its edge do not look."""

from dataclasses import dataclass

import numpy as np
import pytest

from fedrobust.evasion import Threat, attack

EPSILON = 2 / 255


@dataclass
class Pinhole:
    """Errs where `hole` says so of the signed differences to the nearest grey levels; right everywhere else."""

    hole: object
    shape: tuple = (12, 12, 1)
    classes: int = 2

    def logits(self, images):
        levels = images.astype(np.float64) * 255
        wrong = np.where(self.hole(levels - np.rint(levels)), 1.0, -1.0)
        return np.stack([-wrong, wrong], axis=1).astype(np.float32)


def mean_size(off):
    return np.abs(off).mean(axis=(1, 2, 3))


HOLES = {
    "tiny": lambda off: (np.abs(off).max(axis=(1, 2, 3)) > 0.02) & (np.abs(off).max(axis=(1, 2, 3)) < 0.1),
    "brighter": lambda off: (
        (off.min(axis=(1, 2, 3)) > -1e-3) & (mean_size(off) > 0.02) & (mean_size(off) < 0.1)
    ),
    "darker": lambda off: (off.max(axis=(1, 2, 3)) < 1e-3) & (mean_size(off) > 0.02) & (mean_size(off) < 0.1),
    "both ways": lambda off: (
        (off.min(axis=(1, 2, 3)) < -0.02) & (off.max(axis=(1, 2, 3)) > 0.02) & (mean_size(off) < 0.1)
    ),
    "ring": lambda off: (np.abs(off).max(axis=(1, 2, 3)) > 0.4) & (mean_size(off) > 0.3),
    "off the grid": lambda off: np.abs(off).max(axis=(1, 2, 3)) > 1e-3,
}


@pytest.fixture(scope="module")
def images():
    levels = np.random.default_rng(0).integers(20, 230, (60, 12, 12, 1))
    return levels.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_inside_of_the_threat_is_found_on_every_image(images, hole):
    labels = np.zeros(len(images), np.int32)
    done = attack(Pinhole(HOLES[hole]), images, labels, "radial-probes", Threat(), [EPSILON])
    assert done.success.all()
    assert (done.distance[0] > 0).all(), "clean images are right"
    assert (done.distance[0] <= EPSILON + 1e-6).all()


def test_a_hole_is_missed_at_the_edge_and_nothing_is_found_where_there_is_none(images):
    labels = np.zeros(len(images), np.int32)
    edge = attack(Pinhole(HOLES["tiny"]), images, labels, "square(queries=50)", Threat(), [EPSILON])
    assert not edge.success.any()
    solid = Pinhole(lambda off: np.zeros(len(off), bool))
    assert not attack(solid, images, labels, "radial-probes", Threat(), [EPSILON]).success.any()
    between = Pinhole(HOLES["off the grid"])
    files = attack(between, images, labels, "radial-probes", Threat(bits=8), [EPSILON])
    assert not files.success.any(), "8-bit images lie on the grid"


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_radii_cover_the_octaves_below_epsilon(images, norm):
    """Each pattern asks at epsilon, and once in every stretch of a ninth of the eight octaves below."""
    seen = []

    class Watched(Pinhole):
        def logits(self, shown):
            seen.append(Threat(norm=norm).distance(shown, images))
            return super().logits(shown)

    solid = Watched(lambda off: np.zeros(len(off), bool))
    epsilon = EPSILON if norm == "linf" else 12 * EPSILON
    attack(solid, images, np.zeros(len(images), np.int32), "radial-probes", Threat(norm=norm), [epsilon])
    radii = np.array(seen[1:])
    np.testing.assert_allclose(radii[:8], epsilon, rtol=1e-4)
    octave = np.log2(epsilon / radii[8:])
    assert octave.min() >= 8 / 9 - 0.01
    assert octave.max() <= 8 + 0.05
    gaps = np.diff(np.sort(octave, axis=0), axis=0)
    assert gaps.max() < 0.25
