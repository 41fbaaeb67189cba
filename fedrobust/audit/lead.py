"""The share of a model's lead over a constant classifier that is kept under attack."""

import math
from dataclasses import dataclass

import numpy as np

from fedrobust.evaluation.intervals import mean_of_proportions


@dataclass(frozen=True)
class Lead:
    """A model's lead in balanced accuracy over a constant classifier, and the share kept under attack.

    Attributes:
        clean: balanced accuracy of the clean images.
        attacked: balanced accuracy under attack.
        kept: share of the lead that is left, 0 to 1.
        interval: its 95 % interval: the loss and the lead each by MOVER over the classes' Wilson intervals, their ratio
            by MOVER-R (Donner and Zou, 2012, Statistical Methods in Medical Research 21(4)).
    """

    clean: float
    attacked: float
    kept: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, labels: np.ndarray, right: np.ndarray, standing: np.ndarray) -> "Lead":
        """Return the lead of a model: `right` (n,) are classified correctly, `standing` (n,) also under every attack.

        Example:
            >>> labels = np.repeat([0, 1], 300)
            >>> right, standing = np.arange(600) % 10 > 0, np.arange(600) % 10 > 1
            >>> lead = Lead.of(labels, right, standing)
            >>> round(lead.kept, 3), [round(limit, 2) for limit in lead.interval]
            (0.75, [0.68, 0.8])
        """
        present = [labels == label for label in np.unique(labels)]
        counts = [int(rows.sum()) for rows in present]
        of_right, of_lost = (
            [int((one & rows).sum()) for rows in present] for one in (right, right & ~standing)
        )
        constant = 1 / len(present)
        clean, lost = (float(np.mean(np.divide(some, counts))) for some in (of_right, of_lost))
        lead = clean - constant
        low, high = (limit - constant for limit in mean_of_proportions(of_right, counts))
        if low <= 0:
            return cls(clean, clean - lost, max(0.0, 1 - lost / lead) if lead > 0 else 0.0, (0.0, 1.0))
        least, most = _ratio(lost, mean_of_proportions(of_lost, counts), lead, (low, high))
        # An attack may cost more than the lead, down to accuracy 0: the kept share is clipped to [0, 1].
        kept, lower, upper = (min(1.0, max(0.0, 1 - share)) for share in (lost / lead, most, least))
        return cls(clean, clean - lost, kept, (lower, upper))


def _ratio(
    above: float, about_above: tuple[float, float], below: float, about_below: tuple[float, float]
) -> tuple[float, float]:
    """Return the limits of a ratio of two estimates, from the limits of each (MOVER-R)."""
    (l1, u1), (l2, u2), product = about_above, about_below, above * below
    least = product - math.sqrt(max(0.0, product**2 - l1 * u2 * (2 * above - l1) * (2 * below - u2)))
    most = product + math.sqrt(max(0.0, product**2 - u1 * l2 * (2 * above - u1) * (2 * below - l2)))
    return max(0.0, least / (u2 * (2 * below - u2))) if 2 * below > u2 else 0.0, most / (
        l2 * (2 * below - l2)
    )
