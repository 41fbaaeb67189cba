"""An ensemble of attacks in sequence, each on the images that are still unbroken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fedrobust.bounds import Count
from fedrobust.evasion.attacks.gradient.apgd import (
    AutoPGDCrossEntropy,
    AutoPGDFocused,
    AutoPGDRatio,
    AutoPGDTargeted,
)
from fedrobust.evasion.attacks.query.square import Square
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Norm


@ATTACKS.register("ensemble")
@dataclass(frozen=True, kw_only=True)
class Ensemble(Attack):
    """Auto-PGD on three losses, then Square, for any number of classes (Croce and Hein, 2020, arXiv:2003.01690).

    The parts are AutoAttack's without FAB (`fab-t`): Auto-PGD on cross-entropy, on DLR and on targeted DLR. Where DLR
    is undefined (below three classes; targeted below four) the margin replaces it, and there are at most as many
    targets as wrong classes.
    With two classes the targeted search is a second one on the margin, from another random start. Before Square,
    Auto-PGD is restarted on images of small margin (`apgd-focused`).

    Attributes:
        steps: gradient steps of each Auto-PGD search.
        targets: most target classes.
        queries: queries of Square for each image.
        restarts: restarts of AutoAttack's parts.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: Count = 100
    targets: Count = 9
    queries: Count = 5000
    restarts: Count = 1

    def parts(self, classes: int) -> Sequence[Attack]:
        """Return the attacks for a model of `classes` classes, in order."""
        again: dict[str, Any] = {"steps": self.steps, "restarts": self.restarts}
        return [
            AutoPGDCrossEntropy(**again),
            AutoPGDRatio(**again),
            AutoPGDTargeted(targets=min(self.targets, classes - 1), **again),
            AutoPGDFocused(steps=self.steps),
            Square(queries=self.queries, restarts=self.restarts),
        ]

    @property
    def passes(self) -> int:
        """The sum over all parts."""
        return sum(part.passes for part in self.parts(self.targets + 1))

    def run(self, state: SearchState) -> None:
        """Run the parts in sequence."""
        for part in self.parts(state.target.classes):
            state.begin_search()
            if not len(state):
                return
            part.run(state)
