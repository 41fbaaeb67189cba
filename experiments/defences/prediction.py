"""What a prediction costs behind each prediction-time defence, in predictions of the network alone.

    python experiments/defences/prediction.py

The networks of the table, one grey image of 28 x 28 pixels at a time, one thread: the processor's time of the network
behind a defence over that of the network alone, called in turn in one process; the median of all turns. It depends on
the machine little, and on the weights not at all: learned defences are fitted with one step. Written to
``results/prediction.json``; defences that it has are not timed again.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from cells import DEFENCES, NETWORKS, transformation

from fedrobust.config import Experiment
from fedrobust.config.model_parts import prediction_defence_of
from fedrobust.defences.contract import is_learned
from fedrobust.defences.fitting import Fitting
from fedrobust.models.classifier import Classifier, build_classifier

FILE = Path(__file__).parent / "results" / "prediction.json"
SHAPE = (28, 28, 1)
SIZE = 32
"""Side of the images inside of a network that does not say it."""
TURNS, CALLS = 9, 20


def costs() -> dict[str, dict[str, float]]:
    """Return the costs known so far, by network and by spec."""
    found: dict[str, dict[str, float]] = (
        json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
    )
    return found


def wanted() -> list[str]:
    """Return the specs of all prediction-time defences of the table, each once."""
    return list(dict.fromkeys(spec for one in DEFENCES.values() if (spec := transformation(one))))


def main() -> None:
    import tensorflow as tf

    known = costs()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for network, one in NETWORKS.items():
        left = [spec for spec in wanted() if spec not in known.get(network, {})]
        if not left:
            continue
        size = one.settings.get("model__image_size", SIZE)
        for spec, cost in timed(build_classifier(network, native=SHAPE, classes=2, image_size=size), left):
            known.setdefault(network, {})[spec] = cost
            print(f"{network} {spec}: {cost:.2f} predictions of the network alone", flush=True)
            FILE.parent.mkdir(exist_ok=True)
            FILE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def timed(classifier: Classifier, specs: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yield each defence's spec with what a prediction behind it costs, in those of the network alone."""
    import tensorflow as tf

    weights = classifier.initial_weights()
    image = np.random.default_rng(0).random((1, *SHAPE), np.float32)

    def predictor(model: Any) -> Any:
        bare = tf.function(lambda images: model(images, training=False))
        bare(tf.constant(image))
        return lambda: _seconds(lambda: bare(tf.constant(image)))

    alone = predictor(classifier.deployable(weights))
    for spec in specs:
        defence = prediction_defence_of(Experiment.of(model__defence=spec).model)
        assert defence is not None
        if is_learned(defence):
            few = np.repeat(image, 8, axis=0)
            fitting = Fitting(few, np.zeros(8, np.int32), _flat, seed=0)
            defence = replace(defence, steps=1).fitted(fitting)  # type: ignore[type-var]
        behind = predictor(classifier.with_defence(defence).deployable(weights))
        ratios = [2 * behind() / (alone() + alone()) for _ in range(TURNS)]
        yield spec, round(statistics.median(ratios), 3)


def _flat(images: Any) -> Any:
    """Return logits of a model that is as good as none: a defence is timed, not judged."""
    import tensorflow as tf

    mean = tf.reduce_mean(images, axis=[1, 2, 3])
    return tf.stack([mean, -mean], axis=1)


def _seconds(call: Any) -> float:
    began = time.process_time()
    for _ in range(CALLS):
        call()
    return time.process_time() - began


if __name__ == "__main__":
    main()
