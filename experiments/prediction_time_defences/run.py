"""Audit one trained network behind each prediction-time defence.

    python experiments/prediction_time_defences/run.py [--images 100] [--only jpeg median] [--out FOLDER]

Trains the network of ``base.toml`` once, writes a Keras file with each defence (a learned one is fitted to validation
images), and audits each file as ``fedrobust audit FILE`` does. Finished audits are read from their folder. The table
goes to ``results.md`` in the folder.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tables import written

import fedrobust
from fedrobust.config import Experiment
from fedrobust.config.model_parts import prediction_defence_of
from fedrobust.data.dataset import Dataset
from fedrobust.defences.contract import is_learned
from fedrobust.defences.fitting import Fitting
from fedrobust.lazy import keras
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.models.statistics_behind_defence import behind_defence
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study
from server.stages.fitted_defence import answers_of

HERE = Path(__file__).parent

DEFENCES = (
    "none",
    "bit-depth(bits=4)",
    "bit-depth(bits=2)",
    "jpeg(quality=75)",
    "jpeg(quality=25)",
    "median(size=3)",
    "total-variation",
    "autoencoder(epsilon='4/255')",
    "rectifier(epsilon='4/255')",
    "ape-gan(epsilon='4/255')",
)


def base(out: Path) -> tuple[Study, Classifier, Weights]:
    """Return study, classifier and weights of the network without a defence, trained at the first call."""
    study = Study.of(Experiment.load(HERE / "base.toml"))
    file = out / "plain" / "model.keras"
    if not file.is_file():
        fedrobust.run(HERE / "base.toml", out=out / "plain")
    weights = study.classifier.weights_of(keras.models.load_model(file, compile=False))
    assert weights is not None
    return study, study.classifier, weights


def file_of(spec: str, out: Path, study: Study, classifier: Classifier, weights: Weights) -> Path:
    """Return the Keras file of the network behind a defence, written at the first call."""
    path = out / f"{named(spec)}.keras"
    if not path.is_file():
        defence = prediction_defence_of(study.experiment.model.model_copy(update={"defence": spec}))
        if is_learned(defence):
            defence = defence.fitted(fitting(study.dataset, classifier, weights))
        model = classifier if defence is None else classifier.with_defence(defence)
        model.save(behind_defence(model, weights, study.dataset.validation.images), path)
    return path


def fitting(dataset: Dataset, classifier: Classifier, weights: Weights) -> Fitting:
    """Return the validation images and the network, to which learned defences are fitted."""
    split = dataset.validation
    images = split.images.astype(np.float32) / np.float32(255)
    return Fitting(images, split.labels.astype(np.int32), answers_of(classifier, weights), seed=0)


def audited(file: Path, images: int, effort: str, epsilon: str, control: Path | None) -> dict[str, Any]:
    """Return the card of a file, audited at the first call; adversaries of the control are transferred to it."""
    folder = file.with_suffix("")
    card = folder / "card.json"
    if card.is_file():
        return json.loads(card.read_text())
    return fedrobust.audit_model(
        file,
        "pneumoniamnist",
        epsilon=epsilon,
        effort=effort,
        images=images,
        control=control or "",
        out=folder,
    )


def named(spec: str) -> str:
    """Return a file's name for a spec."""
    return "".join(letter if letter.isalnum() or letter == "-" else "_" for letter in spec).strip("_")


def main() -> None:
    """Audit the defences, and write the table after each of them."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--images", type=int, default=100)
    given.add_argument("--effort", default="standard")
    given.add_argument("--epsilon", default="4/255")
    given.add_argument("--only", nargs="*", default=DEFENCES)
    given.add_argument("--out", type=Path, default=Path("runs/prediction-time-defences"))
    asked = given.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    start_tensorflow(2)
    parts = base(asked.out)
    cards = {}
    undefended = file_of("none", asked.out, *parts)
    for spec in dict.fromkeys(("none", *asked.only)):
        file = file_of(spec, asked.out, *parts)
        control = None if spec == "none" else undefended
        cards[spec] = audited(file, asked.images, asked.effort, asked.epsilon, control)
        text = written(cards)
        (asked.out / "results.md").write_text(text)
        print(text, flush=True)


if __name__ == "__main__":
    main()
