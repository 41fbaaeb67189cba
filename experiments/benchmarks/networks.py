"""The five networks that the attacks are compared on: trained from fixed settings, once, and kept in a folder."""

from pathlib import Path
from typing import Any

import fedrobust

MOBILENET = {
    "model__name": "mobilenetv2",
    "model__image_size": 32,
    "model__weights": "weights/mobilenet_v2_imagenet_notop.weights.h5",
    "federation__rounds": 2,
    "training__schedule": "linear",
    "training__epochs": 3,
}
FGSM = {
    "training__recipe": "fgsm(epsilon='2/255', random_start=True, share=1.0)",
    "training__recipe_from": 2,
}
PGD = {"training__recipe": "pgd(epsilon='2/255', steps=5, share=1.0)", "training__recipe_from": 2}

NETWORKS: dict[str, tuple[str, float, dict[str, Any]]] = {
    "plain": ("pneumoniamnist", 0.005, MOBILENET),
    "fgsm": ("pneumoniamnist", 6 / 255, {**MOBILENET, **FGSM}),
    "pgd": ("pneumoniamnist", 8 / 255, {**MOBILENET, **PGD}),
    "derma": ("dermamnist_rebuilt.npz", 6 / 255, {**MOBILENET, **FGSM}),
    "edge-cnn": (
        "pneumoniamnist",
        8 / 255,
        {"model__name": "edge-cnn", "federation__rounds": 2, "training__epochs": 5, **PGD},
    ),
}
"""Data set, epsilon in linf, and settings of each network; the four MobileNetV2 start from ImageNet weights.

The epsilons are those at which some images fall and some stand: there attacks differ.
"""


def network(name: str, folder: Path) -> Path:
    """Return the path of a network's Keras file; it is trained if it is not there yet."""
    data, _, settings = NETWORKS[name]
    path = folder / name / "model.keras"
    if not path.exists():
        fedrobust.run(
            out=folder / name,
            name=name,
            data__name=data,
            federation__clients=1,
            model__batchnorm_policy="recalibrate",
            evaluation__every=9,
            evaluation__epsilons=[0.005],
            evaluation__examples=0,
            audit__enabled=False,
            distillation__enabled=False,
            export__enabled=False,
            output__report=False,
            engine__workers=1,
            **settings,
        )
    return path
