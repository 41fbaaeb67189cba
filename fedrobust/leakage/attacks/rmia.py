"""The robust membership inference attack."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fedrobust.bounds import Count, Positive, Share
from fedrobust.leakage.confidence import Floats, probability
from fedrobust.leakage.contract import LEAKAGE, Evidence, MembershipAttack


@LEAKAGE.register("rmia")
@dataclass(frozen=True, kw_only=True)
class RMIA(MembershipAttack):
    """Count the images of the population that the target prefers less than this one (Zarifzadeh et al., 2024,
    arXiv:2312.03262, equations 2 to 4, offline form).

    An image's ratio is p(image | target) / p(image), with p(image) = ((1 + a) q + (1 - a)) / 2, where q is the mean
    probability of its label over shadows without it (appendix B.2.2). The score is the share of population images z
    with ratio(image) / ratio(z) >= gamma. Two shadows suffice for a useful attack.

    The population is the same for all images, so that the score orders those of one model by their ratio alone: the
    population sets how finely ratios are told apart, and the scale on which several models are compared. It is the
    validation split and all attacked images, of which it is not known whether they are members; with a validation
    split alone, which is small in medical data, many members share the highest score. The authors' code asks for a
    ratio above 1, whatever gamma the paper recommends (2); `gamma` is that threshold.

    Attributes:
        shadows: shadow federations.
        gamma: the ratio's threshold.
        a: how far p(image) lies towards q: 1 for q itself, 0 for (q + 1) / 2.
        population: "all", or "validation" for images alone that are known not to be members.

    Example:
        >>> logit = lambda p: np.log(p / (1 - p))
        >>> evidence = Evidence(
        ...     target=logit(np.array([[0.9, 0.3]])),
        ...     shadows=logit(np.array([[[0.5, 0.5]]])),
        ...     members=np.array([[False, False]]),
        ...     population=logit(np.array([0.8, 0.4, 0.2])),
        ...     shadow_population=logit(np.array([[0.8, 0.4, 0.1]])),
        ... )
        >>> RMIA(shadows=1, a=1.0, population="validation")(evidence).round(3).tolist()  # 1.8 and .6 beside 1, 1, 2
        [0.667, 0.0]
        >>> RMIA(shadows=1, a=1.0)(evidence).round(3).tolist()  # beside 1, 1, 2, 1.8 and .6
        [0.8, 0.2]
    """  # noqa: D205

    shadows: Count = 32
    gamma: Positive = 1.0
    a: Share = 0.3
    population: Literal["all", "validation"] = "all"

    @property
    def federations(self) -> int:
        """Number of shadow federations that it needs."""
        return self.shadows

    def __call__(self, evidence: Evidence) -> Floats:
        """Return the share of the population that each image dominates."""
        outside = ~evidence.members
        counts = outside.sum(axis=0)
        if counts.min() < 1:
            raise ValueError("rmia needs a shadow federation without each image: raise shadows")
        q = np.where(outside, probability(evidence.shadows[:, -1]), 0).sum(axis=0) / counts
        own = probability(evidence.target[-1]) / self._marginal(q)
        beside = probability(evidence.population) / self._marginal(
            probability(evidence.shadow_population).mean(axis=0)
        )
        if self.population == "all":
            beside = np.concatenate([beside, own])
        # ratio(image) / ratio(z) >= gamma without a division: a ratio may be 0.
        ordered = np.sort(beside * self.gamma)
        found: Floats = np.searchsorted(ordered, own, side="right") / len(ordered)
        return found

    def _marginal(self, q: Floats) -> Floats:
        return ((1 + self.a) * q + (1 - self.a)) / 2
