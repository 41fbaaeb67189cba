"""Probes at all radii: what a model answers inside of the threat, and between grey levels."""

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
"""Directions: all values alike, some only upwards or downwards, some both ways."""


@ATTACKS.register("radial-probes")
@dataclass(frozen=True, kw_only=True)
class RadialProbes(Attack):
    """Ask along fixed and random directions at radii from epsilon / 2^octaves to epsilon, evenly spaced in logarithm.

    Other attacks go to the edge of the threat, and start from there. A model that errs for tiny changes only, in a
    ring, for values between the 256 grey levels, or for brighter pixels only, looks robust to them; a threat is
    everything within epsilon (Carlini et al., 2019, arXiv:1902.06705, section 2.2). Each direction and image has
    radii of its own, so that together they leave no gap.

    Attributes:
        radii: asked along each of eight directions.
        octaves: halvings of epsilon down to the smallest radius.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    white_box: ClassVar[bool] = False

    radii: Count = 9
    octaves: Whole = 8

    @property
    def passes(self) -> int:
        """One a direction and radius."""
        return len(PATTERNS) * self.radii

    def run(self, state: SearchState) -> None:
        """Ask at one radius after another, along all directions."""
        for probe in state.steps(self.passes):
            turn, which = divmod(probe, len(PATTERNS))
            shift = uniform(state.keys, 2 * probe, (1,))[:, 0]
            exponent = self.octaves * (turn + (which + shift) / len(PATTERNS)) / self.radii
            # The first round ends on epsilon itself, which random radii only come near.
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
        counter: another value, other random directions.
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
    """Return how long each direction is in the norm of the threat, (n,), above 0."""
    return np.maximum(threat.distance(direction, np.zeros_like(direction)), 1e-12)
