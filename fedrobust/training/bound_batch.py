"""A batch of training images bound to the model at one step of a local update, as recipes get it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import tensorflow as tf

from fedrobust.models.classifier import Classifier
from fedrobust.models.encoder import encoded
from fedrobust.models.preparation import Shape
from fedrobust.models.two_batchnorms import TwoBatchNorms
from fedrobust.training.drawn_batch import DrawnBatch
from fedrobust.training.losses import Loss
from fedrobust.training.losses.contract import adjusted, without_shares
from fedrobust.training.recipes.recipe import Batch

Logits = Callable[..., tuple["tf.Tensor", "list[tf.Tensor]"]]
"""`Classifier.logits`."""


@dataclass(frozen=True, eq=False)
class BoundBatch:
    """What binds the batches of a local update to the model, inside the graph.

    Attributes:
        classifier: the model as a function of its weights.
        loss: function from logits, targets and the client's class shares to losses.
        space: "native": recipes perturb stored pixels; "prepared": the network's prepared input.
        prior: (classes,) shares of the classes among the client's images.
        received: weights and statistics at the start of the local update.
    """

    classifier: Classifier
    loss: Loss
    space: str
    prior: tf.Tensor
    received: tuple[list[tf.Tensor], list[tf.Tensor]]

    @property
    def shape(self) -> Shape:
        """(height, width, channels) of the images that recipes perturb."""
        preparation = self.classifier.preparation
        return preparation.prepared if self.space == "prepared" else preparation.native

    def __call__(
        self,
        drawn: DrawnBatch,
        weights: list[tf.Tensor],
        statistics: tf.Tensor,
        progress: tf.Tensor,
        carried: Sequence[tf.Tensor] = (),
    ) -> Batch:
        """Return the batch of one step.

        Args:
            drawn: images and targets.
            weights: the trained arrays, in the layout's order.
            statistics: vector of BatchNorm's statistics.
            progress: () share of the training with the recipe that is over.
            carried: the tensors that the recipe carries from step to step.
        """
        first = self.classifier.layout.split(statistics, "statistic")
        images, prepare = drawn.images, self.classifier.preparation
        if self.space == "prepared":
            images, prepare = prepare(images), tf.identity

        def bound(arrays: Sequence[tf.Tensor], moving: list[tf.Tensor], logits: Logits) -> Batch:
            held = list(arrays)
            batch = Batch(
                images=images,
                targets=drawn.targets,
                example_weights=drawn.example_weights,
                seed=drawn.seed,
                objective=lambda scores, targets: self.loss(scores, targets, self.prior),
                adjusted=lambda scores: adjusted(self.loss, scores, self.prior),
                without_shares=lambda scores: without_shares(self.loss, scores, self.prior),
                infer=lambda x: logits(held, moving, prepare(x))[0],
                train=lambda x: logits(held, moving, prepare(x), training=True),
                weights=held,
                at=lambda others: bound(others, moving, logits),
                statistics=moving,
                start=lambda x: self.classifier.logits(*self.received, prepare(x))[0],
                progress=progress,
                carried=carried,
                encode=lambda x: encoded(self.classifier, held, moving, prepare(x), training=True),
                classes=self.classifier.classes,
            )
            if not isinstance(self.classifier, TwoBatchNorms):
                return batch
            second = partial(self.classifier.logits, auxiliary=True)
            return batch._replace(auxiliary=lambda after: bound(held, after, second))

        return bound(weights, first, self.classifier.logits)
