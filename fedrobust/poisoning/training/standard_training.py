"""Malicious clients train without adversarial images, unlike the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING


@POISONING.register("standard-training")
@dataclass(frozen=True, kw_only=True)
class StandardTraining:
    """Leave adversarial training out, so that clean accuracy stays and robustness goes: this project's.

    The update is an honest one of another recipe: nothing in it is wrong but what it forgets. In front of
    ``model-replacement`` a single hospital puts its own, undefended model in the federation's place.
    """

    def training(self, context: AttackContext) -> Mapping[str, Any]:
        """Return the recipe of a malicious client."""
        return {"recipe": "plain"}
