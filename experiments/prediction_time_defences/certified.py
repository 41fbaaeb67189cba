"""Certified accuracy beside the accuracy under l2 attacks on the same smoothed network.

    python experiments/prediction_time_defences/certified.py [--images 500] [--out FOLDER]

Trains the network of ``base.toml`` with Gaussian noise, certifies it, attacks its vote over noisy copies (the gradient
of ``model.defence = "smoothing"``) at each radius, and classifies the attacked images by the smoothed network with
fresh noise. A certified image that an attack breaks would contradict the certificate. Parts that are done are read
from the folder; the table goes to ``certified.md`` in it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import fedrobust
from fedrobust.audit.images import chosen_split
from fedrobust.config import Experiment
from fedrobust.defences.smoothing import Smoothing as Vote
from fedrobust.evaluation.smoothing import Smoothing
from fedrobust.evasion import BoundModel, CompiledModel, Threat, attack
from fedrobust.lazy import keras
from fedrobust.randomness import Purpose, generator
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study

HERE = Path(__file__).parent
SIGMA = 0.12
RADII = (0.12, 0.24)
ATTACKS = ("pgd(steps=10)", "pgd(steps=10, loss='margin')")
FRESH = 50
"""Noisy copies by which the smoothed network classifies an attacked image."""


def certificates(file: Path, images: int, out: Path) -> dict[str, Any]:
    """Return the certified accuracies, measured at the first call."""
    kept = out / f"certificates-{images}.json"
    if not kept.is_file():
        found = fedrobust.certify_model(
            file, "pneumoniamnist", SIGMA, samples=500, radii=RADII, images=images
        )
        kept.write_text(json.dumps(found))
    return json.loads(kept.read_text())


def broken(file: Path, study: Study, images: int, radius: float, spec: str, out: Path) -> np.ndarray:
    """Return the mask of images that the smoothed network misclassifies after an attack, (n,)."""
    kept = out / f"broken-{images}-{radius}-{ATTACKS.index(spec)}.npy"
    if kept.is_file():
        return np.load(kept)
    stored, labels, _ = chosen_split(study.dataset, "test", images)
    classifier = study.classifier
    weights = classifier.weights_of(keras.models.load_model(file, compile=False))
    assert weights is not None
    vote, bare = (
        BoundModel.of(CompiledModel.of(each), weights)
        for each in (classifier.with_defence(Vote(sigma=SIGMA, samples=8)), classifier)
    )
    shown = stored.astype(np.float32) / np.float32(255)
    done = attack(vote, shown, labels.astype(np.int32), spec, Threat(norm="l2"), [radius])
    assert done.images is not None
    smoothing = Smoothing(SIGMA)
    answers = [
        smoothing.counts(
            bare.logits, image, FRESH, bare.classes, generator(1, Purpose.SMOOTHING, 0, place)
        ).argmax()
        for place, image in enumerate(done.images[0])
    ]
    np.save(kept, np.array(answers) != labels)
    return np.load(kept)


def row(radius: float, found: dict[str, Any], fooled: np.ndarray) -> str:
    """Return one radius as a row of the table."""
    right = np.array([one["answer"] == one["label"] and one["radius"] >= radius for one in found["images"]])
    n = len(right)
    return (
        f"| {radius} | {right.sum()} of {n} ({100 * right.mean():.1f} %) | {(~fooled).sum()} of {n} "
        f"({100 * (~fooled).mean():.1f} %) | {(right & fooled).sum()} |"
    )


def main() -> None:
    """Certify and attack, and write the table."""
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--images", type=int, default=500)
    given.add_argument("--out", type=Path, default=Path("runs/prediction-time-defences"))
    asked = given.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    start_tensorflow(2)
    study = Study.of(Experiment.load(HERE / "base.toml", model__defence="none"))
    file = asked.out / "noisy" / "model.keras"
    if not file.is_file():
        noise = [f"noise(deviation={SIGMA}, clip=False)"]
        fedrobust.run(HERE / "base.toml", out=asked.out / "noisy", training__augmentations=noise)
    found = certificates(file, asked.images, asked.out)
    lines = [
        "| l2 radius | certified | right under every attack | certified and broken |",
        "| --- | --- | --- | --- |",
    ]
    for radius in RADII:
        fooled = np.any(
            [broken(file, study, asked.images, radius, spec, asked.out) for spec in ATTACKS], axis=0
        )
        lines.append(row(radius, found, fooled))
        (asked.out / "certified.md").write_text("\n".join(lines) + "\n")
        print(lines[-1], flush=True)


if __name__ == "__main__":
    main()
