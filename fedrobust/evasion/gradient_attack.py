"""What attacks along a gradient have in common: the loss they climb, and the class they aim at."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from fedrobust.bounds import ClassNumber
from fedrobust.evasion.attack import Attack
from fedrobust.evasion.chance import Keys, normal, uniform
from fedrobust.evasion.hunt import Hunt
from fedrobust.evasion.target import Labels
from fedrobust.evasion.threat import Images, Norm, column, lengths

TARGETED = {
    "cross-entropy": "targeted-cross-entropy",
    "stable-cross-entropy": "targeted-cross-entropy",
    "margin": "difference",
    "dlr": "targeted-dlr",
}


@dataclass(frozen=True, kw_only=True)
class GradientAttack(Attack):
    """An attack that climbs a loss.

    Attributes:
        loss: "stable-cross-entropy" (cross-entropy, with a gradient that cannot vanish), "cross-entropy" (as in
            textbooks), "margin", or "dlr".
        target: "none": any wrong class; "least-likely" or "second": climb towards the class that the model finds
            least likely, or likeliest of the wrong ones, and take any wrong answer; a number: this class and no other.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "stable-cross-entropy"
    target: ClassNumber | Literal["none", "least-likely", "second"] = "none"

    @property
    def goal(self) -> int | None:
        """The class that it wants, where it is one for all images."""
        return None if isinstance(self.target, str) else self.target

    @property
    def climbed(self) -> str:
        """The name of the loss that is climbed, in `losses.LOSSES`."""
        return self.loss if self.target == "none" else TARGETED[self.loss]

    def aims(self, hunt: Hunt) -> Labels | None:
        """Return the class that each image that stands is moved towards."""
        if self.target == "none":
            return None
        if not isinstance(self.target, str):
            return np.full(len(hunt), self.target, np.int32)
        answers = hunt.once("clean logits", lambda: hunt.target.logits(hunt.clean))
        others = answers.astype(np.float64)
        away = np.inf if self.target == "least-likely" else -np.inf
        others[np.arange(len(hunt)), hunt.labels] = away
        chosen = others.argmin(axis=1) if self.target == "least-likely" else others.argmax(axis=1)
        return chosen.astype(np.int32)


def random_start(hunt: Hunt, keys: Keys, counter: int = 0) -> Images:
    """Return a random image of the threat for each that stands: uniform in the box or in the ball."""
    shape = hunt.clean.shape[1:]
    if hunt.threat.norm == "linf":
        change = hunt.epsilon * (2 * uniform(keys, counter, shape) - 1)
    else:
        change = normal(keys, counter, shape)
        radius = uniform(keys, counter + 1, (1,))[:, 0] ** (1.0 / np.prod(shape))
        change = change * column(hunt.epsilon * radius / np.maximum(lengths(change), 1e-12))
    return hunt.threat.project(hunt.clean + change.astype(np.float32), hunt.clean, hunt.epsilon)


def kept(mask: np.ndarray, *states: Any) -> tuple[Any, ...]:
    """Return each array of an attack's state for the images that stay; None stays None."""
    return tuple(None if state is None else state[mask] for state in states)


__all__ = ["TARGETED", "GradientAttack", "kept", "random_start"]
