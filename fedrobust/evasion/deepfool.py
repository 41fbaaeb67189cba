"""DeepFool: the nearest adversary of a model taken for linear, again and again."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.bounds import Count, NonNegative
from fedrobust.evasion.attack import ATTACKS
from fedrobust.evasion.gradient_attack import kept
from fedrobust.evasion.hunt import Hunt
from fedrobust.evasion.nearest import Nearest, approach
from fedrobust.evasion.threat import Norm, column, lengths


@ATTACKS.register("deepfool")
@dataclass(frozen=True, kw_only=True)
class DeepFool(Nearest):
    """Step onto the nearest boundary of the model's linearisation (Moosavi-Dezfooli et al., 2015, arXiv:1511.04599).

    Their Algorithm 2, until the answer is wrong; in the norm linf with the dual norm's step (their
    section 3.3). The adversary found is then brought nearer along the line to the clean image.

    Attributes:
        steps: linearisations.
        overshoot: share by which the sum of steps is lengthened, to cross the boundary.
        candidates: wrong classes considered, the likeliest.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l2", "linf")

    steps: Count = 50
    overshoot: NonNegative = 0.02
    candidates: Count = 10

    @property
    def passes(self) -> int:
        """A gradient a candidate a step, and the way back."""
        return 2 * self.steps * self.candidates + 26

    def run(self, hunt: Hunt) -> None:
        """Walk over the boundary, then back towards the clean image."""
        linf = hunt.threat.norm == "linf"
        answers = hunt.answers.astype(np.float64)
        answers[np.arange(len(hunt)), hunt.labels] = -np.inf
        count = min(self.candidates, hunt.target.classes - 1)
        order = np.argsort(-answers, axis=1, kind="stable")[:, :count].astype(np.int32)
        change = np.zeros_like(hunt.clean)
        for _ in hunt.steps(self.steps):
            reached = hunt.clean + np.float32(1 + self.overshoot) * change
            nearest = np.full(len(hunt), np.inf)
            step = np.zeros_like(change)
            for place in range(count):
                seen = hunt.gradient(reached, "difference", order[:, place])
                slope = seen.gradients.astype(np.float64)
                gap = np.abs(seen.losses.astype(np.float64)) + 1e-9
                size = np.abs(slope).sum(axis=(1, 2, 3)) if linf else lengths(slope)
                far = gap / np.maximum(size, 1e-30)
                along = np.sign(slope) if linf else slope / np.maximum(size, 1e-30)[:, None, None, None]
                closer = (far < nearest) & (size > 0)
                nearest = np.where(closer, far, nearest)
                step = np.where(column(closer) > 0, along * far[:, None, None, None], step)
            change = change + step.astype(np.float32)
            hunt.look(hunt.clean + np.float32(1 + self.overshoot) * change)
            change, order = kept(hunt.drop(hunt.found | ~np.isfinite(nearest)), change, order)
        approach(hunt)
