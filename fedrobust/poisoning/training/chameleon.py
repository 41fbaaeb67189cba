"""Chameleon: move the features of poisoned images to those of their new class, then train the head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.bounds import Count, NonNegative, Positive, Whole
from fedrobust.models.layout import Layout, Weights
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING
from fedrobust.spec import SpecError

RECIPE = "fedrobust.poisoning.training.supervised_contrastive:SupervisedContrastive"


@POISONING.register("chameleon")
@dataclass(frozen=True, kw_only=True)
class Chameleon:
    """Plant a backdoor that honest images keep alive (Dai and Li, 2023, arXiv:2304.12961, Algorithm 1).

    Honest images of a poisoned image's true class ("interferers") undo a backdoor, those of its new class
    ("facilitators") keep it. So a malicious client first trains the layers below the head by supervised contrastive
    learning on poisoned images with their new labels, anchors of the target class counting more; then it trains the
    head alone, by the study's recipe. It goes with a backdoor: ``"pixel-backdoor + chameleon"``.

    The contrastive training uses the study's optimiser; the official code takes SGD with learning rate 0.015, falling
    by 0.3 every second epoch. A batch of one class has no negatives: small batches weaken it.

    Attributes:
        epochs: of contrastive training.
        head_epochs: of the training of the head, whose features have moved; 0: as many as the study's clients train.
        learning_rate: of contrastive training; 0: the study's.
        weight: of anchors of the target class.
        temperature: of the contrastive loss.
    """

    epochs: Count = 10
    head_epochs: Whole = 10
    learning_rate: NonNegative = 0.0
    weight: Positive = 2.0
    temperature: Positive = 0.07

    steers = True
    accompanies = "criterion"

    def train(self, start: Weights, context: AttackContext) -> Weights:
        """Return the weights after contrastive training of the encoder, then of the head."""
        tools, layout = context.tools, context.layout
        if layout is None:
            raise SpecError("chameleon needs the layout of the weights: it runs in a study only")
        self.fits_layout(layout)
        encoder = tools.update(
            start, tools.poisoned, trained=~layout.head, epochs=self.epochs, **self.changes(context.target)
        )
        return tools.update(encoder, tools.poisoned, trained=layout.head, epochs=self.head_epochs or None)

    def fits_layout(self, layout: Layout) -> None:
        """Refuse a model of which the head alone is trained.

        Raises:
            SpecError: no layer below the head is trained.
        """
        if layout.head.all():
            raise SpecError(
                "chameleon trains the layers below the head, and there are none: train more layers"
            )

    def changes(self, target: int) -> Mapping[str, Any]:
        """Return the settings of the contrastive training, with anchors of class `target` counting more."""
        recipe = f"{RECIPE}(target={target}, weight={self.weight}, temperature={self.temperature})"
        return {"recipe": recipe} | ({"learning_rate": self.learning_rate} if self.learning_rate else {})
