"""The time of each training recipe against its number of forward and backward passes.

    python experiments/benchmarks/recipes.py --out recipes.json

MobileNetV2 from random weights, 32 x 32 x 3 images, batch 32, Adam 1e-3, one thread. Passes are counted while a recipe
runs eagerly on a small network: forward, backward, and those through a backward pass (second order). A backward pass
counts as two forward passes, so that a step of plain training is one unit: (forward + 2 backward) / 3. Told are the
milliseconds of the processor of a step, in units of plain training, over the counted units: above 1 is overhead. Plain
training is timed before and after every recipe; the median of all rounds counts.
"""

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")

import numpy as np
import tensorflow as tf
from machine import write

from fedrobust.models.classifier import Classifier, build_classifier
from fedrobust.models.two_batchnorms import TwoBatchNorms
from fedrobust.spec import build
from fedrobust.training.batches import draw_batches
from fedrobust.training.bound_batch import BoundBatch
from fedrobust.training.drawn_batch import DrawnBatch
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import CrossEntropy
from fedrobust.training.optimizers import Adam
from fedrobust.training.recipes import RECIPES
from fedrobust.training.recipes.recipe import carries, two_batchnorms
from fedrobust.training.training_data import TrainingData

BATCH = 32
BAR = 1.15

SPECS = (
    "plain",
    "fgsm(epsilon='4/255', random_start=True, share=1.0)",
    "free(epsilon='4/255', replays=4)",
    "grad-align(epsilon='4/255')",
    "gradient-penalty",
    "gan-trainer(epsilon='4/255')",
    "pgd(epsilon='4/255', steps=5)",
    "pgd(epsilon='4/255', steps=5, warmup=0.5)",
    "logit-pairing(epsilon='4/255', steps=5)",
    "trades(epsilon='4/255', steps=5)",
    "mart(epsilon='4/255', steps=5)",
    "dbfat(epsilon='4/255', steps=5)",
    "fedrbn(epsilon='4/255', steps=5)",
    "awp(recipe='pgd(epsilon=0.016, steps=5)')",
    "awp(recipe='trades(epsilon=0.016, steps=5)')",
    "advprop(recipe='pgd(epsilon=0.016, steps=5)')",
)


@dataclass
class Passes:
    """Numbers of passes of a batch.

    Attributes:
        forward: through the network.
        backward: back through it.
        second: back through a backward pass.
    """

    forward: int = 0
    backward: int = 0
    second: int = 0

    @property
    def units(self) -> float:
        """In steps of plain training."""
        return (self.forward + 2 * (self.backward + self.second)) / 3

    def watched(self, logits: tf.Tensor) -> tf.Tensor:
        """Return `logits`, whose gradients are counted."""

        @tf.custom_gradient
        def through(upstream: tf.Tensor) -> Any:
            def again(other: tf.Tensor) -> tf.Tensor:
                self.second += 1
                return other

            return tf.identity(upstream), again

        @tf.custom_gradient
        def identity(given: tf.Tensor) -> Any:
            def back(upstream: tf.Tensor) -> tf.Tensor:
                self.backward += 1
                return through(upstream)

            return tf.identity(given), back

        return identity(logits)


def counted(spec: str) -> Passes:
    """Return the passes of one step of a recipe, run eagerly on a small network."""
    recipe, passes = build(RECIPES, spec), Passes()
    small = build_classifier("edge-cnn(width=4)", native=(16, 16, 1), classes=2, image_size=0)
    original = small.logits

    def logits(*given: Any, **more: Any) -> Any:
        passes.forward += 1
        found, after = original(*given, **more)
        return passes.watched(found), after

    vars(small)["logits"] = logits
    classifier: Classifier = TwoBatchNorms(small) if two_batchnorms(recipe) else small
    draw = np.random.default_rng(0)
    batch = DrawnBatch.of(
        tf.constant(draw.integers(0, 256, (8, 16, 16, 1), np.uint8)),
        tf.constant(draw.integers(0, 2, 8), tf.int32),
        tf.ones(2),
        tf.constant([0, 0]),
    )
    trainable, statistics = classifier.arrays(classifier.initial_weights())
    bind = BoundBatch(classifier, CrossEntropy(), "native", tf.constant([0.5, 0.5]), (trainable, statistics))
    vector = tf.concat([tf.reshape(each, [-1]) for each in statistics], 0)
    size, shape = tf.shape(batch.images)[0], tuple(batch.images.shape[1:])
    carried = recipe.carry(size, shape, tf.constant([0, 0])) if carries(recipe) else []
    with tf.GradientTape() as tape:
        tape.watch([trainable, carried])
        loss = recipe(bind(batch, trainable, vector, tf.constant(0.7), carried)).loss
    tape.gradient(loss, [trainable, carried])
    return passes


class Timed:
    """The local update of a recipe, and the seconds of a step."""

    def __init__(self, spec: str, classifier: Classifier, batches: int):
        recipe = build(RECIPES, spec)
        self.classifier = TwoBatchNorms(classifier) if two_batchnorms(recipe) else classifier
        self.update = LocalUpdate(self.classifier, recipe, Adam())
        self.start = self.classifier.initial_weights()
        draw = np.random.default_rng(0)
        images = draw.integers(0, 256, (BATCH * batches, 32, 32, 3), np.uint8)
        self.data = TrainingData.of(images, draw.integers(0, 2, len(images)).astype(np.int32))
        self.batches = draw_batches(np.arange(len(images)), 1, BATCH, draw)
        self.step()

    def step(self) -> float:
        """Return the processor's seconds of a step, over all batches."""
        began = time.process_time()
        rates = np.full(len(self.batches.sizes), 1e-3, np.float32)
        _, metrics = self.update(self.start, self.data, self.batches, rates, [0, 0], progress=0.7 + 0 * rates)
        return (time.process_time() - began) / float(metrics["steps"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--repeat", type=int, default=5, help="rounds of plain training and the recipe in turn"
    )
    parser.add_argument("--batches", type=int, default=4, help="batches of a round")
    parser.add_argument("--recipes", nargs="+", default=SPECS)
    parser.add_argument("--out", type=Path, default=Path("recipes.json"))
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    classifier = build_classifier("mobilenetv2", native=(32, 32, 3), classes=2, image_size=32)
    plain = Timed("plain", classifier, options.batches)
    rows = []
    print("| recipe | forward | backward | second order | units | plain steps | of the units |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for spec in options.recipes:
        passes, timed = counted(spec), Timed(spec, classifier, options.batches)
        ratios = []
        for _ in range(options.repeat):
            before, own, after = plain.step(), timed.step(), plain.step()
            ratios.append(2 * own / (before + after))
        steps = statistics.median(ratios)
        row = {"recipe": spec, **vars(passes), "units": passes.units, "plain-steps": steps, "ratios": ratios}
        rows.append({**row, "overhead": steps / passes.units, "holds": steps / passes.units <= BAR})
        print(
            f"| `{spec}` | {passes.forward} | {passes.backward} | {passes.second} | {passes.units:.2f} | {steps:.2f} "
            f"| {steps / passes.units:.2f} |",
            flush=True,
        )
        write(options.out, bar=BAR, rows=rows)


if __name__ == "__main__":
    main()
