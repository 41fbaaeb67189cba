"""Super-fine-tuning: fine-tune on clean images with a learning rate that rises and falls."""

from dataclasses import dataclass

import numpy as np

from fedrobust.bounds import Count, NonNegative, Positive
from fedrobust.removal.contract import REMOVALS, Removed, Suspect
from fedrobust.removal.fine_tuning import fine_tuned, steps_of


@REMOVALS.register("super-fine-tuning")
@dataclass(frozen=True, kw_only=True)
class SuperFineTuning:
    """Fine-tune on the server's images with a cyclic learning rate (Sha et al., 2022, arXiv:2212.09067).

    The rate rises from `base` to a peak and falls back, again and again: in the first half of the epochs to `first`,
    which makes the model forget what clean images do not need, a backdoor among it, in the second half to `second`,
    which restores its accuracy. With `clip` the gradient of each step is clipped; a clipped variant is the removal half
    of Fenaux et al. (2025, arXiv:2509.08089), whose clipping may differ. Momentum is 0.9, without weight decay.

    Attributes:
        base: the smallest learning rate.
        first: largest learning rate in the first half.
        second: largest learning rate in the second half.
        epochs: passes over the server's images.
        cycle: passes from `base` to the peak and back.
        clip: largest norm of a step's gradient; 0: any.
    """

    base: Positive = 0.0003
    first: Positive = 0.1
    second: Positive = 0.001
    epochs: Count = 12
    cycle: Count = 2
    clip: NonNegative = 1.0

    def __call__(self, suspect: Suspect) -> Removed:
        """Return the fine-tuned model."""
        rates = self.rates(steps_of(suspect, 1))
        return Removed(
            fine_tuned(suspect, suspect.weights, rates.tolist(), self.clip), {"steps": float(len(rates))}
        )

    def rates(self, steps: int) -> np.ndarray:
        """Return the learning rate of every step, (epochs * steps,), for so many `steps` an epoch.

        Example:
            >>> SuperFineTuning(base=0.1, first=0.5, second=0.3, epochs=4).rates(2).round(2).tolist()
            [0.1, 0.3, 0.5, 0.3, 0.1, 0.2, 0.3, 0.2]
        """
        number = np.arange(self.epochs * steps)
        # A new cycle begins with the second half.
        first = number < (self.epochs * steps + 1) // 2
        place = np.where(first, number, number - (self.epochs * steps + 1) // 2)
        length = self.cycle * steps
        height = 1 - np.abs(2 * (place % length) / length - 1)
        return np.asarray(self.base + (np.where(first, self.first, self.second) - self.base) * height)
