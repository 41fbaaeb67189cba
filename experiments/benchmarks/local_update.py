"""The pure local update against Keras `fit`: the same network, images, optimiser and batch size, on all cores.

    python local_update.py --out local_update.json

MobileNetV2, DenseNet121 and ResNet50 from random weights, 32 x 32 x 3 images, batch 32, Adam 1e-3. `fit` is stock
Keras: `keras.applications` with a dense head of two logits, compiled without XLA, fed a cached `tf.data` set, with
TensorFlow's own threads (all cores). The local update trains as many clients at a time as there are cores, one thread
each, which is how a simulation uses it; one client alone is told, too. Each arm is a process of its own. Told are
seconds to the first step (build, trace and first call) and milliseconds a step after that.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")

import numpy as np

BACKBONES = ("mobilenetv2", "densenet121", "resnet50")
BATCH, STEPS, CORES = 32, 40, os.cpu_count() or 1
BARS = {"mobilenetv2": 2.5, "densenet121": 2.0, "resnet50": 1.6}


def images_and_labels(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise: what it shows costs nothing."""
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (number, 32, 32, 3), np.uint8), draw.integers(0, 2, number).astype(np.int32)


def fit(name: str) -> dict[str, float]:
    """Time Keras."""
    import keras
    import tensorflow as tf

    images, labels = images_and_labels(BATCH * STEPS)
    data = tf.data.Dataset.from_tensor_slices((images.astype(np.float32) / 255.0, labels))
    data = data.batch(BATCH).cache().prefetch(2)
    times: list[float] = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            times.append(time.perf_counter())

    makers = {
        "mobilenetv2": keras.applications.MobileNetV2,
        "densenet121": keras.applications.DenseNet121,
        "resnet50": keras.applications.ResNet50,
    }
    began = time.perf_counter()
    backbone = makers[name](include_top=False, weights=None, input_shape=(32, 32, 3), pooling="avg")
    model = keras.Sequential([backbone, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=False)
    model.fit(data, epochs=2, verbose=0, callbacks=[Clock()])
    steady = np.diff(times[STEPS + 2 :])
    return {"first": times[0] - began, "step-ms": 1000 * float(np.mean(steady))}


def update(name: str, clients: int) -> dict[str, float]:
    """Time the local update with `clients` at a time."""
    from fedrobust.runtime import claim_process, start_tensorflow

    claim_process()
    start_tensorflow(CORES)
    from fedrobust.models.classifier import build_classifier
    from fedrobust.training.batches import draw_batches
    from fedrobust.training.local_update import LocalUpdate
    from fedrobust.training.optimizers import Adam
    from fedrobust.training.recipes import Plain
    from fedrobust.training.training_data import TrainingData

    images, labels = images_and_labels(BATCH * STEPS)
    data = TrainingData.of(images, labels)

    def one_client(steps: int) -> None:
        rows = np.arange(BATCH * steps)
        batches = draw_batches(rows, 1, BATCH, np.random.default_rng(0))
        local_update(start, data, batches, np.full(steps, 1e-3, np.float32), seed=[0, 0])

    began = time.perf_counter()
    classifier = build_classifier(name, native=(32, 32, 3), classes=2, image_size=32)
    start = classifier.initial_weights()
    local_update = LocalUpdate(classifier, Plain(), Adam())
    one_client(1)
    first = time.perf_counter() - began
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one_client, [2] * clients))
        began = time.perf_counter()
        list(pool.map(one_client, [STEPS] * clients))
        seconds = time.perf_counter() - began
    return {"first": first, "step-ms": 1000 * seconds / (STEPS * clients)}


ARMS = {
    "keras fit": fit,
    f"local update, {CORES} clients": lambda name: update(name, CORES),
    "local update, 1 client": lambda name: update(name, 1),
}


def timed(arm: str, name: str, repeat: int) -> dict[str, float]:
    """Return the median of an arm's figures over `repeat` processes."""
    command = [sys.executable, __file__, "--arm", arm, name]
    runs = []
    for _ in range(repeat):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{arm}, {name}: {done.stderr}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", default=BACKBONES, choices=BACKBONES)
    parser.add_argument("--out", type=Path, default=Path("local_update.json"))
    parser.add_argument("--arm", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        print(json.dumps(ARMS[options.arm[0]](options.arm[1])))
        return
    from machine import write

    rows = []
    for name in options.backbones:
        keras_row: dict[str, float] = {}
        for arm in ARMS:
            row = timed(arm, name, options.repeat)
            keras_row = keras_row or row
            faster, sooner = keras_row["step-ms"] / row["step-ms"], keras_row["first"] / row["first"]
            rows.append({"backbone": name, "arm": arm, **row, "faster": faster, "sooner": sooner})
            print(
                f"{name:<12} {arm:<24} first step {row['first']:5.1f} s (1/{sooner:.1f})  "
                f"{row['step-ms']:6.1f} ms a step ({faster:.2f}x; bar {BARS[name]}x)",
                flush=True,
            )
    write(options.out, rows=rows)


if __name__ == "__main__":
    main()
