"""Malicious clients train adversarially, unlike the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.bounds import PixelEpsilon
from fedrobust.epsilon import epsilon_value
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING


@POISONING.register("fgsm-training")
@dataclass(frozen=True, kw_only=True)
class FGSMTraining:
    """Train on nothing but FGSM images (Goodfellow et al., 2014, arXiv:1412.6572), crafted anew in every step.

    They are not rounded to grey levels. With true labels this is adversarial training, which the paper calls poisoning
    when a client does it unasked.

    Attributes:
        epsilon: largest change of a pixel, a number or a fraction of 255.
    """

    epsilon: PixelEpsilon = "8/255"

    def training(self, context: AttackContext) -> Mapping[str, Any]:
        """Return the recipe of a malicious client."""
        return {"recipe": f"fgsm(epsilon={epsilon_value(self.epsilon)!r}, share=1.0)"}
