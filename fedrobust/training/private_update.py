"""The local update by DP-SGD: a pure function from weights, images, batches and a seed to new weights."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features
from fedrobust.models.layout import Weights
from fedrobust.training.batches import Batches
from fedrobust.training.buckets import Buckets
from fedrobust.training.clipped_sums import HeadSums, NetworkSums
from fedrobust.training.optimizers import Optimizer, Step
from fedrobust.training.steering import Steering, Trained
from fedrobust.training.training_data import TrainingData


class PrivateUpdate:
    """A compiled local update by DP-SGD (Abadi et al., 2016, arXiv:1607.00133, Algorithm 1); called as `LocalUpdate`.

    In each step the gradient of every image of the batch is clipped, their sum gets Gaussian noise, and is divided by
    the expected size of a batch; the optimiser steps with that. Batches of any size are computed in parts that fit into
    memory. Everything but the sums only sees what has noise.

    Args:
        classifier: the model as a function of its weights, without statistics.
        sums: the sums of clipped gradients.
        optimizer: the local optimiser.
        proximal: mu of FedProx, whose term has no images in it and is added after the noise.
        backbone_rate: factor of the update below the head.
        features: of the images, for the gradients of a head; None: the images themselves.
    """

    replays = 1

    def __init__(
        self,
        classifier: Classifier,
        sums: NetworkSums | HeadSums,
        optimizer: Optimizer,
        proximal: float = 0.0,
        backbone_rate: float = 1.0,
        features: Features | None = None,
    ):
        self.classifier, self.sums, self.optimizer = classifier, sums, optimizer
        self.proximal, self.backbone_rate, self.features = proximal, backbone_rate, features
        self._function = tf.function(
            self._run,
            input_signature=[
                tf.TensorSpec([classifier.layout.parameters], tf.float32),
                sums.images(),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None, None], tf.int32),
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([2], tf.int32),
            ],
            autograph=False,
        )

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
        noise: float = 0.0,
        expected: float | None = None,
    ) -> tuple[Trained, Mapping[str, Any]]:
        """Return the weights after training on `batches`, and no metric of the images.

        Class weights, class shares, steering and progress are not used: they would depend on the images, or are of
        recipes and algorithms that are refused.

        Args:
            weights: initial weights.
            data: the images that the batches index.
            batches: (steps, batch) rows and their sizes, which may be 0.
            learning_rates: (steps,).
            seed: (2,) int32, of noise and augmentations.
            class_weights: not used.
            prior: not used.
            steering: not used.
            progress: not used.
            noise: noise multiplier.
            expected: size of a batch by which sums are divided; None: the largest of these batches.
        """
        inputs = data.images
        if self.features is not None:
            inputs = tf.constant(self.features.of(data.images.numpy()))
        rates = np.asarray(learning_rates, np.float32)
        part = self.sums.at_once
        missing = -batches.rows.shape[1] % part
        trained = self._function(
            tf.constant(weights.trainable, tf.float32),
            inputs,
            data.targets,
            tf.constant(np.pad(batches.rows, ((0, 0), (0, missing))), tf.int32),
            tf.constant(batches.sizes, tf.int32),
            tf.constant(rates),
            tf.constant(noise * self.sums.clip, tf.float32),
            tf.constant(expected or float(max(1, batches.sizes.max(initial=1))), tf.float32),
            tf.constant(seed, tf.int32),
        )
        return Trained(trained.numpy(), weights.statistics, rates, self.optimizer, None), {
            "steps": len(rates)
        }

    def _run(
        self,
        trainable: tf.Tensor,
        images: tf.Tensor,
        targets: tf.Tensor,
        rows: tf.Tensor,
        sizes: tf.Tensor,
        learning_rates: tf.Tensor,
        deviation: tf.Tensor,
        expected: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        buckets, part = Buckets(self.classifier.layout.of("trainable")), self.sums.at_once
        start = buckets.split(trainable)
        decayed, rates = buckets.matrices(), None
        if self.backbone_rate != 1:
            head = f"{self.classifier.network.layers[-1].name}/"
            rates = buckets.factors(lambda entry: 1.0 if entry.path.startswith(head) else self.backbone_rate)

        def summed(weights: list[tf.Tensor], step: tf.Tensor) -> list[tf.Tensor]:
            size = sizes[step]

            def add(number: tf.Tensor, total: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
                places = number * part + tf.range(part)
                row = tf.gather(rows[step], places)
                of = seed + tf.stack([number + 1, step])
                found = self.sums(
                    buckets, weights, tf.gather(images, row), tf.gather(targets, row), places < size, of
                )
                return number + 1, [one + more for one, more in zip(total, found, strict=True)]

            zeros = [tf.zeros_like(weight) for weight in weights]
            loop = tf.while_loop(
                lambda number, _: number * part < size, add, (tf.constant(0), zeros), parallel_iterations=1
            )
            return list(loop[1])

        def body(step: tf.Tensor, weights: list[tf.Tensor], slots: list[tf.Tensor]) -> tuple[Any, ...]:
            total = summed(weights, step)
            drawn = tf.random.stateless_normal(
                [self.classifier.layout.parameters], seed + tf.stack([0, step])
            )
            noise = buckets.split(deviation * drawn)
            gradients = [(one + more) / expected for one, more in zip(total, noise, strict=True)]
            if self.proximal:
                pulls = zip(gradients, weights, start, strict=True)
                gradients = [gradient + self.proximal * (here - there) for gradient, here, there in pulls]
            at = Step(step + 1, learning_rates[step], decayed)
            stepped, slots = self.optimizer.step(at, weights, gradients, slots)
            if rates is not None:
                moves = zip(weights, stepped, rates, strict=True)
                stepped = [before + rate * (after - before) for before, after, rate in moves]
            return step + 1, stepped, slots

        _, weights, _ = tf.while_loop(
            lambda step, *_: step < tf.shape(rows)[0],
            body,
            (tf.constant(0), start, self.optimizer.start(start)),
            parallel_iterations=1,
        )
        return buckets.join(weights)
