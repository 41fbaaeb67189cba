"""FGSM over nine epsilons and PGD-20 on one model: this project beside ART and Foolbox, on the same images, in one run.

    python experiments/benchmarks/evasion.py MODEL.keras --data pneumoniamnist

Every library gets the model once, attacks all test images, and is timed from the call to the attacked accuracy, the
compilation of its graphs included (a second, warmed-up time is printed beside it). What is compared image by image is
whether the image is still classified right: by this project's attacks as they come, and by the same attack as theirs
(cross-entropy, equal steps, from the image, every epsilon on its own). Attacks with random starts are compared with
themselves: what two seeds of one library differ by, two libraries cannot but differ by.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fedrobust.data.load import load

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
EPSILONS = [0.001, 0.002, 0.003, 0.004, 0.005, 1 / 255, 2 / 255, 4 / 255, 8 / 255]
STEPS, PGD_EPSILON = 20, 4 / 255
SHARE = 2.5 / STEPS
STEP_SIZE = SHARE * PGD_EPSILON
FGSM, PGD, STILL = "fgsm, 9 epsilons", "pgd-20 at 4/255", "pgd-20 at 4/255, from the image"
TEXTBOOK = "loss='cross-entropy'"
SAME = {"fgsm, the same attack": FGSM, "pgd-20 from the image, the same attack": STILL}
"""Jobs of this project alone that are compared with a job of the others."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--data", default="pneumoniamnist")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--only", choices=list(CONTESTANTS), help="run one in this process, into --out")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.only:
        dataset = load(arguments.data)
        images = dataset.test.images.astype(np.float32) / np.float32(255)
        labels = dataset.test.labels
        run = CONTESTANTS[arguments.only]
        arguments.out.write_text(
            json.dumps(run(arguments.model, images, labels, dataset.classes, arguments.repeat))
        )
        return
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in CONTESTANTS:
            out = Path(folder) / f"{name}.json"
            # A process each: the others get TensorFlow's own choice of threads.
            own = [sys.executable, __file__, arguments.model, "--data", arguments.data, "--only", name]
            own += ["--repeat", str(arguments.repeat), "--out", str(out)]
            subprocess.run(own, check=True, stderr=subprocess.DEVNULL)
            results[name] = json.loads(out.read_text())
            for job, (seconds, right) in results[name].items():
                shown = ", ".join(f"{second:.2f}" for second in seconds)
                share = np.mean(right[-1], axis=1).round(4).tolist()
                print(f"{name:8} {job:40} {shown:>14} s   right: {share}", flush=True)
    compare(results)
    if arguments.out:
        arguments.out.write_text(json.dumps(results))


def timed(repeat: int, job: Callable[[int], np.ndarray]) -> tuple[list[float], list]:
    """Return seconds and results (repeat, E, n) of a job that is called with seed 0, 1, ..."""
    seconds, rights = [], []
    for seed in range(repeat):
        began = time.perf_counter()
        rights.append(np.asarray(job(seed)).tolist())
        seconds.append(time.perf_counter() - began)
    return seconds, rights


def ours(path: str, images: np.ndarray, labels: np.ndarray, classes: int, repeat: int) -> dict:
    from concurrent.futures import ThreadPoolExecutor

    from fedrobust.runtime import start_tensorflow

    start_tensorflow(workers=2)
    from fedrobust.evasion import Threat, attack
    from fedrobust.evasion.models.model_file import open_model

    target = open_model(path, images.shape[1:], classes).target
    with ThreadPoolExecutor(2) as pool:

        def right(spec: str, epsilons: list[float], seed: int = 0, nested: bool = True) -> np.ndarray:
            done = attack(
                target,
                images,
                labels,
                spec,
                Threat(),
                epsilons,
                seed,
                nested=nested,
                keep_images=False,
                map=pool.map,
                chunk=312,
            )
            return ~done.success

        at, still = [PGD_EPSILON], f"steps={STEPS}, random_start=False"
        same_pgd = f"pgd({still}, step_size={SHARE}, {TEXTBOOK})"
        same_fgsm, same_pgd_job = SAME
        return {
            FGSM: timed(repeat, lambda seed: right("fgsm", EPSILONS)),
            PGD: timed(repeat, lambda seed: right(f"pgd(steps={STEPS})", at, seed)),
            STILL: timed(1, lambda seed: right(f"pgd({still})", at)),
            same_fgsm: timed(1, lambda seed: right(f"fgsm({TEXTBOOK})", EPSILONS, nested=False)),
            same_pgd_job: timed(1, lambda seed: right(same_pgd, at)),
        }


def art(path: str, images: np.ndarray, labels: np.ndarray, classes: int, repeat: int) -> dict:
    import keras
    import tensorflow as tf

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
        from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model=keras.models.load_model(path, compile=False),
        nb_classes=classes,
        input_shape=images.shape[1:],
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
    truth = np.eye(classes, dtype=np.float32)[labels]

    def right(adversaries: np.ndarray) -> np.ndarray:
        return classifier.predict(adversaries, batch_size=128).argmax(1) == labels

    def fgsm(seed: int) -> np.ndarray:
        attackers = [
            FastGradientMethod(classifier, eps=epsilon, batch_size=128) for epsilon in sorted(EPSILONS)
        ]
        return np.array([right(attacker.generate(images, y=truth)) for attacker in attackers])

    def pgd(starts: int, seed: int = 0) -> np.ndarray:
        np.random.seed(seed)  # noqa: NPY002 (what ART draws from)
        attacker = ProjectedGradientDescent(
            classifier,
            eps=PGD_EPSILON,
            eps_step=STEP_SIZE,
            max_iter=STEPS,
            num_random_init=starts,
            batch_size=128,
            verbose=False,
        )
        return right(attacker.generate(images, y=truth))[None]

    return {
        FGSM: timed(repeat, fgsm),
        PGD: timed(repeat, lambda seed: pgd(1, seed)),
        STILL: timed(1, lambda seed: pgd(0)),
    }


def foolbox(path: str, images: np.ndarray, labels: np.ndarray, classes: int, repeat: int) -> dict:
    import foolbox as fb
    import keras
    import tensorflow as tf

    model = keras.models.load_model(path, compile=False)
    fmodel = fb.TensorFlowModel(tf.function(lambda x: model(x, training=False)), bounds=(0, 1))
    parts = [slice(start, start + 128) for start in range(0, len(images), 128)]

    def right(attacker: fb.attacks.base.Attack, epsilons: list[float]) -> np.ndarray:
        rows = []
        for part in parts:
            truth = tf.constant(labels[part], tf.int64)
            _, _, success = attacker(fmodel, tf.constant(images[part]), truth, epsilons=epsilons)
            rows.append(~np.asarray(success))
        return np.concatenate(rows, axis=1)

    def pgd(random_start: bool, seed: int = 0) -> np.ndarray:
        tf.random.set_seed(seed)
        attacker = fb.attacks.LinfPGD(steps=STEPS, abs_stepsize=STEP_SIZE, random_start=random_start)
        return right(attacker, [PGD_EPSILON])

    return {
        FGSM: timed(repeat, lambda seed: right(fb.attacks.FGSM(), sorted(EPSILONS))),
        PGD: timed(repeat, lambda seed: pgd(True, seed)),
        STILL: timed(1, lambda seed: pgd(False)),
    }


CONTESTANTS = {"ours": ours, "art": art, "foolbox": foolbox}


def compare(results: dict) -> None:
    for job, (seconds, rights) in results["ours"].items():
        for name in ("art", "foolbox"):
            theirs, stood = results[name][SAME.get(job, job)]
            print(
                f"{job}: {theirs[0] / seconds[0]:.1f}x {name} with compilation, {theirs[-1] / seconds[-1]:.1f}x "
                f"without; {apart(rights[-1], stood[-1], 'here', name)}"
            )
    for name in results:
        first, second = results[name][PGD][1][:2]
        print(f"{PGD}, two seeds of {name}: {apart(first, second, 'with one', 'the other')}")


def apart(right: list, other: list, here: str, there: str) -> str:
    """Return in words on how many images (E, n) two results differ, at each epsilon."""
    one, two = np.array(right), np.array(other)
    more, fewer = (one & ~two).sum(axis=1).tolist(), (~one & two).sum(axis=1).tolist()
    return f"of {one.shape[1]} images {more} stand {here} and fall with {there}, {fewer} the other way round"


if __name__ == "__main__":
    main()
