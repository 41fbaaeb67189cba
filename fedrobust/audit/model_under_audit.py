"""The model under audit, its images and its companion models."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.evasion import TargetModel
from fedrobust.evasion.models.protocol import Labels, Logits
from fedrobust.evasion.threat import Images


@dataclass(frozen=True, eq=False)
class ModelUnderAudit:
    """A model under audit.

    Attributes:
        name: of the model.
        target: the model.
        images: (n, height, width, channels) float32 in [0, 1], in the target's space.
        labels: (n,) int32.
        digest: SHA-256 of the model, the key of stored results.
        data: on the images: ``name``, ``digest``, ``split``, ``labels``, ``disease``, and ``official``, the number of
            images in the published test split (None without one), and ``of``, that of the split at hand.
        output: "logits", "probabilities", or "unwrapped"; see `OpenedModel`.
        in_training_mode: returns logits of the first images as one batch in training mode; None if not available.
        control: the same architecture without the defence, and its name.
        teacher: the model that this one was distilled from, and its name.
        edge: the exported int8 file as a black-box target, and its name.
        trained_on: names of the attacks that the training used, such as "fgsm".
        history: accuracy under PGD-5 by round, if the training measured it.
        balanced_history: balanced accuracy under it, likewise; empty: not measured.
        notes: first notes of the card.
        reading: how the model and its companions are read, a part of the key of stored results.
    """

    name: str
    target: TargetModel
    images: Images
    labels: Labels
    digest: str
    data: dict[str, Any]
    output: str = "logits"
    in_training_mode: Callable[[], Logits] | None = None
    control: tuple[str, TargetModel] | None = None
    teacher: tuple[str, TargetModel] | None = None
    edge: tuple[str, TargetModel] | None = None
    trained_on: tuple[str, ...] = ()
    history: tuple[float, ...] = ()
    balanced_history: tuple[float, ...] = ()
    notes: tuple[str, ...] = field(default=())
    reading: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def disease(self) -> tuple[int, ...]:
        """The labels that mean disease."""
        return tuple(self.data.get("disease", ()))

    @property
    def majority(self) -> int:
        """The most frequent label."""
        return int(np.bincount(self.labels).argmax())

    @property
    def majority_rate(self) -> float:
        """Accuracy of always predicting the most frequent label."""
        return float((self.labels == self.majority).mean())
