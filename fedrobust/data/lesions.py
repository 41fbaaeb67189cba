"""The kinds of lesion in the phantom set, each drawn in its own coordinate frame."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

GRID = 28.0
"""Side of the grid in whose pixels lengths below are given; larger images show the same scene in more detail."""


@dataclass(frozen=True)
class Frame:
    """The coordinate frames of a batch of lesions.

    Args:
        x: distance along the long axis, in pixels of the 28-pixel grid, (n, size, size).
        y: distance along the short axis, scaled so that a plain lesion is a disc, (n, size, size).
        radius: the lesion's radius on that grid, (n, 1, 1).
        severity: of the finding, 0 to 1, (n, 1, 1).
    """

    x: Field
    y: Field
    radius: Field
    severity: Field

    @property
    def rho(self) -> Field:
        """Distance from the lesion's centre."""
        return np.hypot(self.x, self.y, dtype=np.float32)


Shape = Callable[[Frame, np.random.Generator], Field]


def uniform(rng: np.random.Generator, low: float, high: float, number: int) -> Field:
    """Draw one number an image, (number, 1, 1), which broadcasts with pixels."""
    return rng.uniform(low, high, (number, 1, 1)).astype(np.float32)


def inside(distance: Field, softness: float = 0.45) -> Field:
    """Return 1 inside (positive distance to the margin), 0 outside, with a soft edge."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / (2 * softness)), np.float32)


def solid(frame: Frame, rng: np.random.Generator) -> Field:
    """Return a solid nodule: smooth in a bright capsule at severity 0, spiked with fine calcium at severity 1.

    The margin is a star in polar coordinates, r(angle) = radius (1 - 0.25 s + 0.9 s cos^4(k angle / 2)) with
    k = 6 to 9 spikes and severity s.
    """
    number, severity = len(frame.radius), frame.severity
    spikes = rng.integers(6, 10, (number, 1, 1))
    angle = np.arctan2(frame.y, frame.x) + uniform(rng, 0, 2 * np.pi, number)
    margin = frame.radius * (1 - 0.25 * severity + 0.9 * severity * np.cos(spikes * angle / 2) ** 4)
    capsule = np.exp(-(((frame.rho - margin - 0.9) / 0.7) ** 2))
    calcium = specks(frame, rng, number=7, reach=0.75)
    nodule = inside(margin - frame.rho) - 0.6 * (1 - severity) * capsule - 2.2 * severity * calcium
    return np.asarray(nodule, np.float32)


def specks(frame: Frame, rng: np.random.Generator, number: int, reach: float) -> Field:
    """Return `number` small round specks at random places up to `reach` radii from the lesion's centre."""
    images = len(frame.radius)
    field = np.zeros_like(frame.x)
    for _ in range(number):
        radius = reach * frame.radius * np.sqrt(uniform(rng, 0, 1, images))
        turn = uniform(rng, 0, 2 * np.pi, images)
        squared = (frame.x - radius * np.cos(turn)) ** 2 + (frame.y - radius * np.sin(turn)) ** 2
        field = np.maximum(field, np.exp(-squared / 0.64))
    return field


def waved(frame: Frame, rng: np.random.Generator, low: int, high: int, depth: Field) -> Field:
    """Return a lesion whose radius oscillates `low` to `high` times around it, with relative amplitude `depth`."""
    number = len(frame.radius)
    waves = rng.integers(low, high + 1, (number, 1, 1))
    angle = np.arctan2(frame.y, frame.x) + uniform(rng, 0, 2 * np.pi, number)
    return inside(frame.radius * (1 + depth * np.cos(waves * angle)) - frame.rho)


def ring(frame: Frame, rng: np.random.Generator) -> Field:
    """Return a lesion with a wall around a core that looks like the tissue outside."""
    wall = 0.35 + 0.2 * (1 - frame.severity)
    return inside(frame.radius - frame.rho) - inside(frame.radius * (1 - wall) - frame.rho)


def calcified(frame: Frame, rng: np.random.Generator) -> Field:
    """Return a faint lesion with coarse calcifications."""
    strewn = specks(frame, rng, number=9, reach=0.95)
    return 0.5 * inside(frame.radius - frame.rho) - (1.4 + 0.5 * frame.severity) * strewn


def double(frame: Frame, rng: np.random.Generator) -> Field:
    """Return two nodules side by side with tissue between."""
    apart = frame.radius * (0.85 + 0.15 * frame.severity)
    half = 0.68 * frame.radius
    left = inside(half - np.hypot(frame.x - apart, frame.y))
    right = inside(half - np.hypot(frame.x + apart, frame.y))
    return np.maximum(left, right)


def septated(frame: Frame, rng: np.random.Generator) -> Field:
    """Return a lesion crossed by parallel walls."""
    number = len(frame.radius)
    walls = np.cos(2 * np.pi * frame.x / 4.2 + uniform(rng, 0, 2 * np.pi, number))
    return np.asarray(
        inside(frame.radius - frame.rho) * (0.5 + (0.5 + 0.3 * frame.severity) * walls), np.float32
    )


def lobulated(frame: Frame, rng: np.random.Generator) -> Field:
    """Return a lesion of three or four deep lobes."""
    return waved(frame, rng, low=3, high=4, depth=0.3 + 0.15 * frame.severity)


def target(frame: Frame, rng: np.random.Generator) -> Field:
    """Return a lesion with a core of the opposite contrast."""
    core = inside((0.4 + 0.1 * frame.severity) * frame.radius - frame.rho)
    return inside(frame.radius - frame.rho) - 1.9 * core


KINDS: dict[str, Shape] = {
    "benign": solid,
    "malignant": solid,
    "abscess": ring,
    "calcified": calcified,
    "multifocal": double,
    "septated": septated,
    "lobulated": lobulated,
    "target": target,
}
"""Kinds of lesion in the order of their labels: a label's name and how it is drawn."""
