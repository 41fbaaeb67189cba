"""Head-only local update on precomputed features, for many clients in one call of a graph."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.memoize import part
from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Weights
from fedrobust.training.batches import Batches
from fedrobust.training.head_job import HeadJob
from fedrobust.training.losses import Loss
from fedrobust.training.losses.binary_cross_entropy import answers, share_right
from fedrobust.training.optimizers import Optimizer, Step
from fedrobust.training.steering import Steered, Steering, Trained, steering_specs
from fedrobust.training.training_data import TrainingData

CLIENTS = (2, 8, 32)
"""Clients in one call of the graph; fewer are padded. With two or more, TensorFlow multiplies the clients' matrices one
by one, so that the bits of a client's result do not depend on the others."""


class HeadGraph:
    """The compiled update of a dense layer from features to logits, for several clients in parallel.

    Every array has the clients as its first axis. A client that has done all its steps keeps its weights; padding has
    no loss. Loss and optimiser must be elementwise along that axis, as this project's are; for others the graph takes
    one client.

    Args:
        features: number of features d.
        classes: number of classes k.
        loss: the loss.
        optimizer: the optimiser.
        proximal: mu of FedProx.
        steered: whether a federated algorithm corrects steps.
    """

    def __init__(
        self,
        features: int,
        classes: int,
        loss: Loss,
        optimizer: Optimizer,
        proximal: float = 0.0,
        steered: bool = False,
    ):
        self.features, self.classes, self.steered = features, classes, steered
        self.loss, self.optimizer, self.proximal = loss, optimizer, proximal
        self.multilabel = getattr(loss, "multilabel", False)
        own = all(type(each).__module__.startswith("fedrobust.") for each in (loss, optimizer))
        self.clients = CLIENTS if own else (1,)
        c, k, f32, i32 = None if own else 1, classes, tf.float32, tf.int32
        self._function = tf.function(
            self._run,
            input_signature=[
                tf.TensorSpec([None, features], f32),
                tf.TensorSpec([None], i32),
                tf.TensorSpec([c, (features + 1) * k], f32),
                tf.TensorSpec([c, k], f32),
                tf.TensorSpec([c, k], f32),
                tf.TensorSpec([c, None, None], i32),
                tf.TensorSpec([c, None], i32),
                tf.TensorSpec([c, None], f32),
                *(steering_specs((features + 1) * k, c) if steered else ()),
            ],
            autograph=False,
        )

    @part
    def compiled(self) -> Callable[..., tuple[tf.Tensor, ...]]:
        """The traced function; see `_run` for its arguments."""
        return self._function.get_concrete_function()

    def _run(
        self,
        features: tf.Tensor,
        targets: tf.Tensor,
        start: tf.Tensor,
        class_weights: tf.Tensor,
        prior: tf.Tensor,
        rows: tf.Tensor,
        sizes: tf.Tensor,
        learning_rates: tf.Tensor,
        *steering: tf.Tensor,
    ) -> tuple[tf.Tensor, ...]:
        alone, split = self.clients == (1,), [self.features * self.classes, self.classes]
        begin = tf.split(start, split, axis=1)
        # As in the update of the whole network, weight decay does not apply to the bias.
        decayed = [tf.ones([1, 1]), tf.zeros([1, 1])]

        def body(
            step: tf.Tensor,
            weights: list[tf.Tensor],
            slots: list[tf.Tensor],
            loss: tf.Tensor,
            hits: tf.Tensor,
            sums: list[tf.Tensor],
        ) -> tuple[Any, ...]:
            row, size = rows[:, step], sizes[:, step]
            if alone:
                row = row[:, : size[0]]  # a user's loss must not see padding
            counts = tf.range(tf.shape(row)[1])[None] < size[:, None]
            images = tf.where(counts[..., None], tf.gather(features, row), 0.0)
            labels = tf.gather(targets, row)
            shares = tf.cast(counts, tf.float32)
            if not self.multilabel:
                shares *= tf.gather(class_weights, labels, batch_dims=1)
            n = tf.cast(tf.maximum(size, 1), tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(weights)
                kernel = tf.reshape(weights[0], [-1, self.features, self.classes])
                logits = tf.matmul(images, kernel) + weights[1][:, None]
                losses = tf.where(counts, self._losses(logits, labels, prior), 0.0)
                means = tf.reduce_sum(losses * shares, axis=1) / n
                total = tf.reduce_sum(means)
            gradients = tape.gradient(total, weights)
            if self.proximal:
                pulls = zip(gradients, weights, begin, strict=True)
                gradients = [gradient + self.proximal * (here - there) for gradient, here, there in pulls]
            active = (size > 0)[:, None]
            if steered:
                sums = [
                    before + tf.where(active, one, 0.0) for before, one in zip(sums, gradients, strict=True)
                ]
                gradients = steered.gradients(gradients, weights, begin)
            at = Step(step + 1, learning_rates[:, step, None], decayed)
            stepped, slots = self.optimizer.step(at, weights, gradients, slots)
            stepped = steered.kept(stepped, weights) if steered else stepped
            weights = [tf.where(active, new, old) for new, old in zip(stepped, weights, strict=True)]
            right = tf.cast(counts, tf.float32) * self._right(logits, labels)
            seen = tf.cast(size, tf.float32)
            hits += tf.reduce_sum(right, axis=1)
            return step + 1, weights, slots, loss + seen * means, hits, sums

        def parts(whole: tf.Tensor) -> list[tf.Tensor]:
            return tf.split(whole, split, axis=1)

        steered = Steered.of((steering[0], steering[1][:, None], steering[2]), parts) if steering else None
        sums = [tf.zeros_like(weight) for weight in begin] if steered else []
        nothing = tf.zeros([tf.shape(start)[0]])
        _, weights, _, loss, hits, sums = tf.while_loop(
            lambda step, *_: step < tf.shape(rows)[1],
            body,
            (tf.constant(0), begin, self.optimizer.start(begin), nothing, nothing, sums),
            parallel_iterations=1,
        )
        found = tf.concat(weights, axis=1), loss, hits
        return (*found, tf.concat(sums, axis=1)) if steered else found

    def _right(self, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Return for each image whether its answer is right, or the share of its findings that are."""
        if not self.multilabel:
            return tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.float32)
        present = answers(tf.reshape(labels, [-1]), self.classes)
        return tf.reshape(share_right(tf.reshape(logits, [-1, self.classes]), present), tf.shape(labels))

    def _losses(self, logits: tf.Tensor, labels: tf.Tensor, prior: tf.Tensor) -> tf.Tensor:
        """Return the losses (clients, width)."""
        shape = tf.shape(labels)
        shares = prior[0]
        if self.clients != (1,):
            shares = tf.reshape(
                tf.broadcast_to(prior[:, None], [*tf.unstack(shape), self.classes]), [-1, self.classes]
            )
        losses = self.loss(tf.reshape(logits, [-1, self.classes]), tf.reshape(labels, [-1]), shares)
        return tf.reshape(losses, shape)


class HeadUpdate:
    """The local update of a classifier whose layers are frozen except the head; called as `LocalUpdate`.

    Args:
        classifier: a classifier whose layers are frozen except the head.
        features: its backbone's features.
        graph: the compiled update for this number of features and classes.
    """

    replays = 1

    def __init__(self, classifier: Classifier, features: Features, graph: HeadGraph):
        self.classifier, self.features, self.graph = classifier, features, graph

    @property
    def optimizer(self) -> Optimizer:
        """The local optimiser."""
        return self.graph.optimizer

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
        """Return the weights after training on `batches`, and metrics; see `LocalUpdate`.

        `seed` and `progress`, which recipes take, are not used.
        """
        rates = np.asarray(learning_rates, np.float32)
        job = HeadJob(weights, batches, rates, class_weights, prior, steering or Steering())
        features = tf.constant(self.features.of(data.images.numpy()))
        return self.together(features, data.targets, [job])[0]

    def together(
        self, features: tf.Tensor, targets: tf.Tensor, jobs: Sequence[HeadJob]
    ) -> list[tuple[Trained, Mapping[str, Any]]]:
        """Return the result of each of `jobs`, which does not depend on the other jobs.

        Args:
            features: (n, d) float32, indexed by the rows of batches.
            targets: (n,) int32.
            jobs: of clients.
        """
        found: dict[int, tuple[Trained, Mapping[str, Any]]] = {}
        # Clients with similar numbers of steps are grouped, so that little time is spent on finished ones.
        order = sorted(
            range(len(jobs)), key=lambda place: (jobs[place].width, len(jobs[place].batches.sizes))
        )
        for width in {job.width for job in jobs}:
            places = [place for place in order if jobs[place].width == width]
            for first in range(0, len(places), self.graph.clients[-1]):
                some = places[first : first + self.graph.clients[-1]]
                found.update(zip(some, self._group(features, targets, [jobs[i] for i in some]), strict=True))
        return [found[place] for place in range(len(jobs))]

    def _group(
        self, features: tf.Tensor, targets: tf.Tensor, jobs: Sequence[HeadJob]
    ) -> list[tuple[Trained, Mapping[str, Any]]]:
        clients = next(size for size in self.graph.clients if size >= len(jobs))
        width, k = jobs[0].width, self.classifier.classes
        steps = max(len(job.batches.sizes) for job in jobs)
        start = np.zeros((clients, self.classifier.layout.parameters), np.float32)
        class_weights, prior = np.ones((clients, k), np.float32), np.full((clients, k), 1 / k, np.float32)
        rows, sizes = np.zeros((clients, steps, width), np.int32), np.zeros((clients, steps), np.int32)
        rates = np.zeros((clients, steps), np.float32)
        for place, job in enumerate(jobs):
            own = len(job.batches.sizes)
            start[place] = job.start.trainable
            if job.class_weights is not None:
                class_weights[place] = job.class_weights
            if job.prior is not None:
                prior[place] = job.prior
            rows[place, :own], sizes[place, :own] = job.batches.rows[:, :width], job.batches.sizes
            rates[place, :own] = job.learning_rates
        more = self._steering(jobs, clients) if self.graph.steered else ()
        held = map(tf.constant, (start, class_weights, prior, rows, sizes, rates, *more))
        trained, loss, hits, *sums = (each.numpy() for each in self.graph.compiled(features, targets, *held))
        seen = sizes.sum(1)
        return [
            (
                Trained(
                    trained[place],
                    job.start.statistics,
                    np.asarray(job.learning_rates, np.float32),
                    self.graph.optimizer,
                    sums[0][place] / len(job.batches.sizes) if sums else None,
                ),
                {
                    "examples": int(seen[place]),
                    "steps": len(job.batches.sizes),
                    "loss": float(loss[place]) / int(seen[place]),
                    "accuracy": float(hits[place]) / int(seen[place]),
                },
            )
            for place, job in enumerate(jobs)
        ]

    def _steering(self, jobs: Sequence[HeadJob], clients: int) -> list[np.ndarray]:
        """Return the steering of `jobs` as the graph's arguments; padding has none."""
        parameters, others = self.classifier.layout.parameters, clients - len(jobs)
        each = [job.steering.arrays(parameters) for job in jobs]
        each += [Steering().arrays(parameters)] * others
        return [np.stack(one) for one in zip(*each, strict=True)]
