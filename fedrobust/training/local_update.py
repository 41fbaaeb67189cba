"""The local update: a pure function from weights, images and a seed to new weights.

One compiled function serves all clients of a study. A loop inside the graph gathers each batch, computes the recipe's
loss, and steps an optimiser whose slots are loop variables. No model is rebuilt, no optimiser is reset, and no state
can leak from one client to the next. The call releases Python's lock, so that threads train clients in parallel. The
result depends only on the arguments: the same seed gives the same bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import tensorflow as tf

from fedrobust.graphs.function import GraphFunction
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.training.augmentations.contract import Augmentation
from fedrobust.training.batches import Batches
from fedrobust.training.bound_batch import BoundBatch
from fedrobust.training.buckets import Buckets, joined
from fedrobust.training.drawn_batch import DrawnBatch
from fedrobust.training.losses import CrossEntropy, Loss
from fedrobust.training.optimizers import Optimizer, Step
from fedrobust.training.recipes.recipe import Recipe, carries, replays_of
from fedrobust.training.steering import Steered, Steering, Trained, steering_specs
from fedrobust.training.training_data import TrainingData


class LocalUpdate:
    """A compiled local update.

    Args:
        classifier: the model as a function of its weights.
        recipe: the loss of a batch.
        optimizer: the local optimiser.
        loss: function from logits, targets and the client's class shares to losses.
        space: "native": the recipe perturbs stored pixels; "prepared": the network's prepared input.
        targets: dtype and shape of the targets without the first axis; None: labels, or label sets.
        proximal: mu of FedProx: adds mu / 2 times the squared distance to the initial weights to the objective (Li et
            al., 2018, arXiv:1812.06127, equation 2). The reported loss is without it.
        augmentations: random transformations of every batch, in order, before the recipe. With one that mixes labels,
            the reported accuracy counts the label with the largest share.
        backbone_rate: factor of the update below the head: discriminative learning rates (Howard and Ruder, 2018,
            arXiv:1801.06146, section 3.2).
        steered: whether a federated algorithm corrects steps (`Steering`); otherwise the graph has no inputs for it.

    Example:
        >>> from fedrobust.models.classifier import build_classifier
        >>> from fedrobust.training.batches import draw_batches
        >>> from fedrobust.training.optimizers import SGD
        >>> from fedrobust.training.recipes import Plain
        >>> classifier = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)
        >>> update = LocalUpdate(classifier, Plain(), SGD())
        >>> draw = np.random.default_rng(0)
        >>> data = TrainingData.of(draw.integers(0, 256, (8, 16, 16, 1)), np.array([0, 1] * 4, np.int32))
        >>> batches = draw_batches(np.arange(8), epochs=1, batch_size=4, generator=draw)
        >>> start = classifier.initial_weights()
        >>> weights, metrics = update(start, data, batches, learning_rates=[0.01, 0.01], seed=[0, 0])
        >>> metrics["examples"], weights.digest() != start.digest()
        (8, True)
    """

    def __init__(
        self,
        classifier: Classifier,
        recipe: Recipe,
        optimizer: Optimizer,
        loss: Loss = CrossEntropy(),  # noqa: B008 - frozen
        space: str = "native",
        targets: tf.TensorSpec | None = None,
        proximal: float = 0.0,
        augmentations: Sequence[Augmentation] = (),
        backbone_rate: float = 1.0,
        steered: bool = False,
    ):
        self.classifier = classifier
        self.recipe = recipe
        self.optimizer = optimizer
        self.loss = loss
        self.space = space
        self.proximal = proximal
        self.augmentations = tuple(augmentations)
        self.backbone_rate = backbone_rate
        self.steered = steered
        # Targets that are given are a teacher's logits, not labels.
        self.multilabel = classifier.multilabel and targets is None
        target_spec = tf.TensorSpec([None], tf.int32) if targets is None else targets
        self._function = GraphFunction(
            self._run,
            [
                tf.TensorSpec([classifier.layout.parameters], tf.float32),
                tf.TensorSpec([classifier.layout.statistics], tf.float32),
                tf.TensorSpec([None, *classifier.preparation.native], tf.uint8),
                target_spec,
                tf.TensorSpec([classifier.classes], tf.float32),
                tf.TensorSpec([classifier.classes], tf.float32),
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([2], tf.int32),
                *(steering_specs(classifier.layout.parameters) if steered else ()),
            ],
            classifier.origin
            and classifier.origin.and_of(
                recipe=recipe,
                optimizer=optimizer,
                loss=loss,
                space=space,
                targets=str(target_spec),
                proximal=proximal,
                augmentations=self.augmentations,
                backbone_rate=backbone_rate,
                steered=steered,
            ),
            "local update",
        )

    @property
    def replays(self) -> int:
        """How many steps in a row are made on each batch."""
        return replays_of(self.recipe)

    def compiled(self) -> "LocalUpdate":
        """Trace or read, and optimise, the graph now rather than at the first call; return this update."""
        self._function.rehearsed(0)
        return self

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
        """Return the weights after training on `batches`, and metrics.

        Args:
            weights: initial weights.
            data: the images that the batches index.
            batches: (steps, batch) rows and their sizes.
            learning_rates: (steps,).
            seed: (2,) int32, of the recipe's and the augmentations' random numbers.
            class_weights: (classes,) factors of the losses by label; None: 1.
            prior: (classes,) shares of the classes among the client's images, for losses that adjust logits; None:
                equal shares.
            steering: correction, proximal term and mask, where the update is steered; None: none.
            progress: (steps,) shares of the training with the recipe that are over, for schedules of the recipe; None:
                it is over, so that epsilon is full.

        Returns:
            The new weights, and ``examples`` (images seen), ``steps``, ``loss`` (mean over images and steps) and
            ``accuracy`` (share of images given their label while training; of findings answered right). A recipe that
            replays batches makes as many steps of each, all of which count.
        """
        replays = self.replays
        rates = np.repeat(np.asarray(learning_rates, np.float32), replays)
        if class_weights is None:
            class_weights = np.ones(self.classifier.classes)
        if prior is None:
            prior = np.full(self.classifier.classes, 1 / self.classifier.classes)
        more = (steering or Steering()).arrays(self.classifier.layout.parameters) if self.steered else ()
        trainable, statistics, loss, correct, *gradient = self._function(
            tf.constant(weights.trainable, tf.float32),
            tf.constant(weights.statistics, tf.float32),
            data.images,
            data.targets,
            tf.constant(class_weights, tf.float32),
            tf.constant(prior, tf.float32),
            tf.constant(batches.rows, tf.int32),
            tf.constant(batches.sizes, tf.int32),
            tf.constant(learning_rates, tf.float32),
            tf.constant(np.ones(len(batches.sizes)) if progress is None else progress, tf.float32),
            tf.constant(seed, tf.int32),
            *map(tf.constant, more),
        )
        seen = int(batches.sizes.sum()) * replays
        metrics = {
            "examples": seen,
            "steps": len(rates),
            "loss": float(loss) / seen,
            "accuracy": float(correct) / seen,
        }
        own = gradient[0].numpy() if gradient else None
        return Trained(trainable.numpy(), statistics.numpy(), rates, self.optimizer, own), metrics

    def _run(
        self,
        trainable: tf.Tensor,
        statistics: tf.Tensor,
        images: tf.Tensor,
        targets: tf.Tensor,
        class_weights: tf.Tensor,
        prior: tf.Tensor,
        rows: tf.Tensor,
        sizes: tf.Tensor,
        learning_rates: tf.Tensor,
        progress: tf.Tensor,
        seed: tf.Tensor,
        *steering: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        buckets = Buckets(self.classifier.layout.of("trainable"))

        def body(
            step: tf.Tensor,
            weights: list[tf.Tensor],
            statistics: tf.Tensor,
            slots: list[tf.Tensor],
            loss: tf.Tensor,
            correct: tf.Tensor,
            total: list[tf.Tensor],
            carried: list[tf.Tensor],
        ) -> tuple[Any, ...]:
            turn = step if replays == 1 else step // replays
            size = sizes[turn]
            row = rows[turn, :size]
            batch = DrawnBatch.of(
                tf.gather(images, row),
                tf.gather(targets, row),
                class_weights,
                seed + tf.stack([0, turn]),
                self.augmentations,
                self.multilabel,
            )
            with tf.GradientTape() as tape:
                tape.watch([weights, carried])
                outcome = self.recipe(
                    bind(batch, buckets.arrays(weights), statistics, progress[turn], carried)
                )
            gradients, slopes = tape.gradient(outcome.loss, (weights, carried), unconnected_gradients="zero")
            if carried:
                carried = stateful.moved(carried, slopes)
            if self.proximal:
                pulls = zip(gradients, weights, start, strict=True)
                gradients = [gradient + self.proximal * (here - there) for gradient, here, there in pulls]
            if steered:
                total = [before + gradient for before, gradient in zip(total, gradients, strict=True)]
                gradients = steered.gradients(gradients, weights, start)
            stepped, slots = self.optimizer.step(
                Step(step + 1, learning_rates[turn], decayed), weights, gradients, slots
            )
            if rates is not None:
                moves = zip(weights, stepped, rates, strict=True)
                stepped = [before + rate * (after - before) for before, after, rate in moves]
            weights = steered.kept(stepped, weights) if steered else stepped
            seen = tf.cast(size, tf.float32)
            statistics = joined(outcome.statistics)
            return (
                step + 1,
                weights,
                statistics,
                slots,
                loss + seen * outcome.loss,
                correct + batch.hits(outcome.logits),
                total,
                carried,
            )

        steered = Steered.of(steering, buckets.split) if steering else None
        start = weights = buckets.split(trainable)
        received = buckets.arrays(start), self.classifier.layout.split(statistics, "statistic")
        bind = BoundBatch(self.classifier, self.loss, self.space, prior, received)
        replays, stateful = self.replays, cast(Any, self.recipe)
        decayed, rates = buckets.matrices(), None
        if self.backbone_rate != 1:
            head = f"{self.classifier.network.layers[-1].name}/"
            rates = buckets.factors(lambda entry: 1.0 if entry.path.startswith(head) else self.backbone_rate)
        slots = self.optimizer.start(weights)
        total = [tf.zeros_like(weight) for weight in weights] if steered else []
        carried = (
            stateful.carry(tf.shape(rows)[1], bind.shape, seed) if carries(self.recipe) else list[tf.Tensor]()
        )
        steps = tf.shape(rows)[0] * replays
        _, weights, statistics, _, loss, correct, total, _ = tf.while_loop(
            lambda step, *_: step < steps,
            body,
            (tf.constant(0), weights, statistics, slots, tf.constant(0.0), tf.constant(0.0), total, carried),
            parallel_iterations=1,
        )
        found = buckets.join(weights), statistics, loss, correct
        if not steered:
            return found
        return *found, buckets.join(total) / tf.cast(steps, tf.float32)
