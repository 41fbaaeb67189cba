"""The local update of some of the exchanged layers, in rounds before all layers are unfrozen."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Layout, Part, Weights
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import Optimizer
from fedrobust.training.steering import Steering, Trained
from fedrobust.training.training_data import TrainingData


class PartUpdate:
    """A local update of a part of the weights; called as `LocalUpdate`.

    Layers that are still frozen are both in the exchanged weights and constants of the update; both are the initial
    weights.

    Args:
        classifier: the classifier of all exchanged layers.
        update: the update of the classifier whose other layers are frozen.
    """

    def __init__(self, classifier: Classifier, update: LocalUpdate):
        self.classifier, self.update = classifier, update
        whole, part = classifier.layout, update.classifier.layout
        self.part = Part.of(whole, part)
        rest = Layout(tuple(entry for entry in whole.entries if entry not in set(part.entries)))
        self._rest, self._initial = Part.of(whole, rest), rest.flatten(_constants(update.classifier, rest))

    @property
    def optimizer(self) -> Optimizer:
        """The local optimiser."""
        return self.update.optimizer

    @property
    def replays(self) -> int:
        """How many steps in a row are made on each batch."""
        return self.update.replays

    def __call__(
        self,
        weights: Weights,
        data: TrainingData,
        batches: Batches,
        learning_rates: Any,
        seed: Any,
        class_weights: Any = None,
        prior: Any = None,
        steering: Steering | None = None,
        progress: Any = None,
    ) -> tuple[Trained, Mapping[str, Any]]:
        """Return the weights after training the part on `batches`, and metrics; see `LocalUpdate`.

        The gradient of frozen weights is 0.
        """
        places = self.part.trainable
        given = None if steering is None else steering.among(places)
        trained, metrics = self.update(
            self.part.take(weights),
            data,
            batches,
            learning_rates,
            seed,
            class_weights,
            prior,
            given,
            progress,
        )
        gradient = None
        if trained.gradient is not None:
            gradient = np.zeros(len(weights.trainable), np.float32)
            gradient[places] = trained.gradient
        whole = self.part.put(trained, weights)
        return Trained(
            whole.trainable, whole.statistics, trained.learning_rates, trained.optimizer, gradient
        ), metrics

    def check(self, weights: Weights) -> None:
        """Refuse weights whose still frozen layers are not the initial ones.

        Raises:
            ModelError: they differ from this client's initial weights.
        """
        if self._rest.take(weights).digest() != self._initial.digest():
            raise ModelError(
                "training.unfreeze: the layers that are still frozen have other weights here than at the server: "
                "install the same file of pretrained weights"
            )


def _constants(classifier: Classifier, layout: Layout) -> list[np.ndarray]:
    """Return the frozen arrays of `classifier` that `layout` names."""
    variables, frozen = classifier.network.non_trainable_variables, classifier.frozen
    paths = [variables[place].path for place in frozen.places]
    held = {path: array.numpy() for path, array in zip(paths, frozen.arrays, strict=True)}
    return [held[entry.path] for entry in layout.entries]
