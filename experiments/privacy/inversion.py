"""What batch size, local steps, Adam and noise do to the reconstruction of images.

    python experiments/privacy/inversion.py [--model "edge-cnn(width=96)"] [--attack "inverting-gradients(steps=1500)"]

BatchNorm in evaluation mode needs pretrained weights: `--file` names a model.keras of a run of the same network.

Updates of the first round are computed and attacked; no federation is run.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.cores import cores
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study

SETTINGS: dict[str, dict[str, Any]] = {
    "1 image, one step of SGD": {},
    "4 images": {"images": 4},
    "8 images": {"images": 8},
    "1 image, 4 steps": {"training__epochs": 4},
    "1 image, 16 steps": {"training__epochs": 16},
    "1 image, Adam": {"training__optimizer": "adam", "training__learning_rate": 0.001},
    "1 image, BatchNorm in training mode": {"model__normalization": "batch"},
    "1 image, BatchNorm in evaluation mode": {
        "model__normalization": "batch",
        "model__weights": "file",
        "model__batchnorm_policy": "frozen",
    },
    **{
        f"1 image, clipped to 0.1, local noise {z}": {
            "federation__postprocessors": [f"gaussian-dp(clip=0.1, noise_multiplier={z}, noise='local')"]
        }
        for z in (0.001, 0.01, 0.1)
    },
}


def main() -> None:
    """Print a row for each setting and trial."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="edge-cnn(width=96)")
    parser.add_argument("--data", default="breastmnist")
    parser.add_argument("--attack", default="generative-inversion")
    parser.add_argument("--file", default="", help="model.keras of a run, for BatchNorm in evaluation mode")
    parser.add_argument("--trials", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a setting's name")
    given = parser.parse_args()
    start_tensorflow(cores())
    # Start TensorFlow.
    from fedrobust.exposure.confidences import Confidences
    from fedrobust.exposure.inversion import Inversion
    from fedrobust.exposure.updates import Updates
    from fedrobust.leakage import leakage_attack_named
    from fedrobust.leakage.contract import InversionAttack
    from fedrobust.runs.folder import RunFolder
    from fedrobust.runs.kept_rounds import KeptRounds

    print(
        "| setting | trial | labels | PSNR | nearest other image | cosine |\n| --- | --- | --- | --- | --- | --- |"
    )
    for name, changed in SETTINGS.items():
        frozen = changed.get("model__weights") == "file"
        if given.only not in name or (frozen and not given.file):
            continue
        settings = {
            "data__name": given.data,
            "model__name": given.file if frozen else given.model,
            "model__image_size": 28,
            "model__normalization": "group" if given.model.startswith("edge") else "batch",
            "training__optimizer": "sgd",
            "training__learning_rate": 0.1,
            **{key: value for key, value in changed.items() if key != "images"},
        }
        study, images = Study.of(Experiment.of(**settings)), changed.get("images", 1)
        updates = Updates(study, KeptRounds(RunFolder(Path("none"))))
        answers = partial(Confidences(study).logits, updates.start(1))
        attack = leakage_attack_named(given.attack, images=images)
        assert isinstance(attack, InversionAttack)
        for trial in range(given.trials):
            one = Inversion(updates, 1, answers, 0).on_client(name, attack, images, trial)
            psnr, beside = (
                " ".join(f"{value:.1f}" for value in each) for each in (one.psnr, one.neighbour_psnr)
            )
            print(
                f"| {name} | {trial} | {one.labels_found}/{images} | {psnr} | {beside} | {one.matched:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
