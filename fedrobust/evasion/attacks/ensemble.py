"""Several attacks in turn, each on what the ones before left standing."""

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

    AutoAttack's parts: cross-entropy, DLR and targets. Where DLR is undefined (below three classes; its targeted form
    below four) the margin takes its place, and there are never more targets than wrong classes. With two classes the
    targeted search is a second one on the margin, from another random point. Before Square, Auto-PGD is restarted on
    images that are nearly broken (`apgd-focused`).

    Attributes:
        steps: of every gradient attack.
        targets: most classes aimed at.
        queries: of Square.
        restarts: of AutoAttack's parts.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")

    steps: Count = 100
    targets: Count = 9
    queries: Count = 5000
    restarts: Count = 1

    def parts(self, classes: int) -> Sequence[Attack]:
        """Return the attacks that are run on a model with so many classes, in order."""
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
        """All parts' together."""
        return sum(part.passes for part in self.parts(self.targets + 1))

    def run(self, state: SearchState) -> None:
        """Run one part after another."""
        for part in self.parts(state.target.classes):
            state.begin_search()
            if not len(state):
                return
            part.run(state)
