"""Membership inference by the loss."""

from dataclasses import dataclass

from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LEAKAGE, Evidence, MembershipAttack


@LEAKAGE.register("loss")
@dataclass(frozen=True, kw_only=True)
class Loss(MembershipAttack):
    """Take images with a low loss for members (Yeom et al., 2018, arXiv:1709.01604, adversary 2).

    One threshold for all images: it finds that a model overfits, not which images it remembers.

    Example:
        >>> import numpy as np
        >>> Loss()(Evidence(np.array([[0.1, 2.0, -1.0]]))).tolist()
        [0.1, 2.0, -1.0]
    """

    def __call__(self, evidence: Evidence) -> Floats:
        """Return the final model's confidences, which fall as the loss rises."""
        return evidence.target[-1]
