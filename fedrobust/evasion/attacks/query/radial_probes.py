"""Radial probes: queries at all radii within epsilon, also between grey levels."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, Whole
from fedrobust.evasion.attacks.query.directions import random_directions
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.rng import Keys, uniform
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, Threat, column

PATTERNS = (
    "brighter",
    "darker",
    "signs",
    "brighter-noise",
    "darker-noise",
    "noise",
    "checkerboard",
    "low-frequencies",
)
"""Names of the directions: uniform, brightening or darkening only, or of mixed signs."""


@ATTACKS.register("radial-probes")
@dataclass(frozen=True, kw_only=True)
class RadialProbes(Attack):
    """Query fixed and random directions at radii from epsilon / 2^octaves to epsilon, evenly spaced in logarithm.

    Other attacks concentrate on perturbations of norm epsilon. A model that is wrong only for tiny perturbations, in a
    ring of radii, for values between the 256 grey levels, or for brighter pixels seems robust to them, although the
    threat model contains everything within epsilon (Carlini et al., 2019, arXiv:1902.06705, section 2.2). The radii
    differ between directions and images, so that together they leave no gap.

    Attributes:
        radii: queries along each of eight directions.
        octaves: halvings of epsilon down to the smallest radius.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    white_box: ClassVar[bool] = False

    radii: Count = 9
    octaves: Whole = 8

    @property
    def passes(self) -> int:
        """One for each direction and radius."""
        return len(PATTERNS) * self.radii

    def run(self, state: SearchState) -> None:
        """Query one radius after another, along all directions."""
        for probe in state.steps(self.passes):
            turn, which = divmod(probe, len(PATTERNS))
            shift = uniform(state.keys, 2 * probe, (1,))[:, 0]
            exponent = self.octaves * (turn + (which + shift) / len(PATTERNS)) / self.radii
            # The first radius is exactly epsilon, which random radii only approach.
            exponent = np.where(probe < len(PATTERNS), 0.0, exponent)
            radius = state.epsilon * 0.5**exponent
            direction = pattern(PATTERNS[which], state.keys, 2 * probe + 1, state.clean.shape[1:])
            state.query(state.clean + column(radius / size_of(direction, state.threat)) * direction)
            state.keep()


def pattern(name: str, keys: Keys, counter: int, shape: tuple[int, ...]) -> Images:
    """Return a direction, (n, height, width, channels) float32.

    Args:
        name: one of `PATTERNS`.
        keys: (n,) one an image.
        counter: distinguishes random directions of one image.
        shape: (height, width, channels).
    """
    if name in ("brighter", "darker"):
        return np.full((len(keys), *shape), 1.0 if name == "brighter" else -1.0, np.float32)
    if name == "signs":
        return random_directions(keys, counter, shape)
    if name == "low-frequencies":
        return random_directions(keys, counter, shape, "dct")
    if name == "checkerboard":
        rows, columns = np.indices(shape[:2])
        squares = np.where((rows + columns) % 2, 1.0, -1.0).astype(np.float32)
        return np.broadcast_to(squares[None, :, :, None], (len(keys), *shape))
    noise = uniform(keys, counter, shape)
    return {"brighter-noise": noise, "darker-noise": -noise, "noise": 2 * noise - 1}[name]


def size_of(direction: Images, threat: Threat) -> np.ndarray:
    """Return the norm of each direction, (n,), above 0."""
    return np.maximum(threat.distance(direction, np.zeros_like(direction)), 1e-12)
