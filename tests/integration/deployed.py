"""What tests of a deployment share: hospitals' files, a study of them, and the folders of its deployment."""

import numpy as np

from fedrobust.config import Experiment
from fedrobust.deployment.initialise import initialise
from fedrobust.deployment.server_study import site_files

SITES = ("bern", "chur", "genf")


def hospital(path, seed, size=28, classes=("benign", "malignant")):
    rng = np.random.default_rng(seed)
    arrays = {}
    for split, count in (("train", 12), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, size, size), np.uint8)
        arrays[f"{split}_labels"] = np.arange(count) % len(classes)
    np.savez(path, label_names=np.array(classes), **arrays)


def study(data, **settings):
    files = [str(data / f"{name}.npz") for name in SITES]
    return Experiment.of(
        **{
            "name": "hospitals",
            "data__clients": files,
            "data__partition": "site",
            "federation__clients": 3,
            "model__name": "edge-cnn",
            "model__image_size": 28,
            **settings,
        }
    )


def written(data, out, **options):
    experiment = study(data)
    sites = {name: str(path) for name, path in site_files(experiment).items()}
    return initialise(experiment, sites, out, **{"evaluation": str(data / "server.npz"), **options})


def study_lines(hospitals):
    """Return the lines of the quickstart's study file that make it a study of hospitals with a file each."""
    files = ", ".join(f'"{name}.npz"' for name in hospitals)
    return [
        ("clients = []", f"clients = [{files}]"),
        ('partition = "iid"', 'partition = "site"'),
        ("clients = 10", f"clients = {len(hospitals)}"),
        ("rounds = 5", "rounds = 2"),
    ]
