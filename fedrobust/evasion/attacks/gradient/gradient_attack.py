"""Base class of gradient attacks: the loss, and the target class."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from fedrobust.bounds import ClassNumber
from fedrobust.evasion.contract import Attack
from fedrobust.evasion.models.protocol import Labels
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm

TARGETED = {
    "cross-entropy": "targeted-cross-entropy",
    "stable-cross-entropy": "targeted-cross-entropy",
    "margin": "targeted-margin",
    "dlr": "class-dlr",
}
"""The loss that is climbed towards one class, which is to be predicted."""

ANY_WRONG = TARGETED | {"margin": "difference", "dlr": "targeted-dlr"}
"""That is climbed where any wrong class counts: no other class has to stay below the one that is moved towards."""


@dataclass(frozen=True, kw_only=True)
class GradientAttack(Attack):
    """Base class of attacks by gradient ascent of a loss.

    Attributes:
        loss: "stable-cross-entropy" (the direction of cross-entropy's gradient, without underflow), "cross-entropy",
            "margin", or "dlr".
        target: "none": untargeted; "least-likely" or "second": move towards the least likely or the likeliest wrong
            class, where any wrong class counts as success; a number: a targeted attack on this class.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    ascends: ClassVar[bool] = True

    loss: Literal["stable-cross-entropy", "cross-entropy", "margin", "dlr"] = "stable-cross-entropy"
    target: ClassNumber | Literal["none", "least-likely", "second"] = "none"

    @property
    def target_class(self) -> int | None:
        """The target class, where it is the same for all images."""
        return None if isinstance(self.target, str) else self.target

    @property
    def climbed(self) -> str:
        """The name of the maximised loss in `losses.LOSSES`."""
        if self.target == "none":
            return self.loss
        return (ANY_WRONG if isinstance(self.target, str) else TARGETED)[self.loss]

    def aims(self, state: SearchState) -> Labels | None:
        """Return the class that each unbroken image is moved towards, (n,); None for an untargeted attack."""
        if self.target == "none":
            return None
        if not isinstance(self.target, str):
            return np.full(len(state), self.target, np.int32)
        answers = state.clean_logits()
        others = answers.astype(np.float64)
        away = np.inf if self.target == "least-likely" else -np.inf
        others[np.arange(len(state)), state.labels] = away
        chosen = others.argmin(axis=1) if self.target == "least-likely" else others.argmax(axis=1)
        return chosen.astype(np.int32)
