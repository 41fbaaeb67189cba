"""Figure 1: one chest X-ray with pneumonia under FGSM, and its predicted probability by epsilon.

    python experiments/paper/figure1.py runs/paper

The images are written beside the runs: they are PneumoniaMNIST's, and are not part of this project. The probabilities
are kept in ``results/figure1.json``.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from cells import named, paper
from collect import RESULTS

from fedrobust.evasion import Threat, attack
from fedrobust.evasion.models.model_file import open_model
from fedrobust.report.pictures import png
from fedrobust.study import Study

CELLS = {
    "as printed": "table1/pneumoniamnist/mobilenetv2-file/plain/seed-0",
    "corrected": "done-right/pneumoniamnist/mobilenetv2-file/plain/seed-0",
    "corrected, adversarial training at 2/255": "done-right/pneumoniamnist/mobilenetv2-file/fgsm-2of255/seed-0",
}
EPSILONS = (0.001, 0.002, 0.003, 0.004, 0.005, 2 / 255, 4 / 255)
CONFIDENCE = 0.98
"""The paper's predicted probability of its image: the image chosen has that probability in the corrected network."""


def main(folder: Path) -> None:
    cells = named(paper())
    dataset = Study.of(cells[CELLS["corrected"]].experiment).dataset
    images = dataset.test.images.astype(np.float32) / np.float32(255)
    models = {
        name: open_model(
            folder / "cells" / cells[cell].hash / "model.keras", dataset.image_shape, 2, "native"
        )
        for name, cell in CELLS.items()
    }
    ill = dataset.test.labels == 1
    clean = {name: probability(model.target.logits(images)) for name, model in models.items()}
    fitting = np.flatnonzero(ill & (np.min(list(clean.values()), axis=0) > 0.5))
    chosen = int(fitting[np.abs(clean["corrected"][fitting] - CONFIDENCE).argmin()])
    image, label = images[chosen : chosen + 1], dataset.test.labels[chosen : chosen + 1]
    points, shown = [], [image[0]]
    for name, model in models.items():
        points.append({"model": name, "epsilon": 0.0, "pneumonia": round(float(clean[name][chosen]), 4)})
        done = attack(model.target, image, label, "fgsm", Threat(), list(EPSILONS), 0, nested=False)
        assert done.images is not None
        for epsilon, logits, moved in zip(EPSILONS, done.logits, done.images, strict=True):
            value = round(float(probability(logits)[0]), 4)
            points.append({"model": name, "epsilon": round(epsilon, 6), "pneumonia": value})
            if name == "corrected":
                shown.append(moved[0])
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"image": chosen, "points": points}, indent=1)
    (RESULTS / "figure1.json").write_text(text + "\n", encoding="utf-8")
    strip = np.concatenate([np.kron(one[..., 0], np.ones((6, 6))) for one in shown], axis=1)
    (folder / "figure1.png").write_bytes(png(strip[..., None].astype(np.float32)))
    print(f"test image {chosen}; the images: {folder / 'figure1.png'}")


def probability(logits: np.ndarray) -> np.ndarray:
    """Return the probability of class 1, (n,)."""
    return 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
