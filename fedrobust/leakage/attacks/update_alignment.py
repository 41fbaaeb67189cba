"""Membership inference by a server that sees single updates."""

from dataclasses import dataclass
from typing import ClassVar

from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LEAKAGE, Evidence, MembershipAttack, Sees


@LEAKAGE.register("update-alignment")
@dataclass(frozen=True, kw_only=True)
class UpdateAlignment(MembershipAttack):
    """Compare a client's update with each image's own descent direction, as a server that sees updates can.

    The score is the cosine of the update and minus the gradient of the image's loss at the global model, averaged
    over the captured rounds (after Nasr et al., 2019, arXiv:1812.00910, whose passive server gives gradients to a
    network; the cosine is that of Li, Rezaei and Liu, 2022, Effective passive membership inference attacks in
    federated learning against overparameterized models). It asks which hospital has an image, not whether one has.

    Example:
        >>> import numpy as np
        >>> evidence = Evidence(np.zeros((1, 2)), alignments=np.array([[0.2, -0.1], [0.4, 0.1]]))
        >>> UpdateAlignment()(evidence).round(3).tolist()
        [0.3, 0.0]
    """

    sees: ClassVar[Sees] = "updates"

    def __call__(self, evidence: Evidence) -> Floats:
        """Return the mean cosine of each image."""
        found: Floats = evidence.alignments.mean(axis=0)
        return found
