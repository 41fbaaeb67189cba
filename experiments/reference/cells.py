"""The cells of the reference table: data sets, how their images lie at clients, and how is trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.data.medmnist import NAMES, file_name
from fedrobust.data.search_path import folders
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.sweep import Sweep

STUDIES = {
    "breastmnist": "breast",
    "pneumoniamnist": "pneumonia",
    "dermamnist_rebuilt.npz": "derma",
    "mednist28.npz": "mednist",
}
"""The study whose training is the recipe for a data set; others take that of `OTHERS`."""

OTHERS = "breast"

PARTITIONS = {
    "iid": "iid",
    "Dirichlet 0.5": "dirichlet(alpha=0.5)",
    "Dirichlet 0.1": "dirichlet(alpha=0.1)",
}

METHODS: Mapping[str, Mapping[str, Any]] = {
    "FedAvg": {
        "model__batchnorm_policy": "average",
        "federation__average": 0.0,
        "training__loss": "cross-entropy",
        "training__class_weights": "none",
        "training__augmentations": [],
    },
    "recipe": {},
    "FedBN": {"training__algorithm": "fedbn"},
    "head only": {"training__layers": "head", "training__augmentations": []},
}
"""What is changed in the study. FedAvg keeps the recipe's rounds, batches, learning rates and image size alone."""

SEEDS = (0, 1, 2)

MEASURED = {
    "evaluation__attacks": [],
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
}


@dataclass(frozen=True)
class Place:
    """Where a cell stands in the table.

    Attributes:
        data: name of the data set.
        partition: how its images lie at clients.
        method: how is trained.
        seed: of the study.
    """

    data: str
    partition: str
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Of the cell, such as ``breastmnist/iid/recipe/0``."""
        return f"{self.data.removesuffix('.npz')}/{self.partition}/{self.method}/{self.seed}"


def data_sets(root: str = "") -> Iterator[str]:
    """Yield the data sets that are here: those of the studies, then any other 2-D set of MedMNIST."""
    for name in (*STUDIES, *(name for name in NAMES if name not in STUDIES)):
        file = name if name.endswith(".npz") else file_name(name, size=28)
        if any((folder / file).is_file() for folder in folders(root)):
            yield name


def experiment(place: Place, experiments: Path) -> Experiment:
    """Return the study of a cell. With the recipe clients are also trained alone, and without clients.

    Args:
        place: the cell.
        experiments: folder of the study files.
    """
    baselines = ["central"] if place.partition == "iid" and place.method != "FedBN" else []
    baselines += ["local"] if place.method == "recipe" else []
    base = Experiment.load(experiments / f"{STUDIES.get(place.data, OTHERS)}.toml")
    settings = {
        "data__name": place.data,
        "data__partition": PARTITIONS[place.partition],
        "evaluation__every": base.federation.rounds,
        "evaluation__baselines": baselines,
        **METHODS[place.method],
        **MEASURED,
    }
    return base.changed((), name="reference", seed=place.seed, **settings)


def cells(sets: Sequence[str], seeds: Sequence[int], experiments: Path) -> dict[Place, Cell]:
    """Return all cells, one seed after the other."""
    places = (
        Place(data, partition, method, seed)
        for seed in seeds
        for data in sets
        for partition in PARTITIONS
        for method in METHODS
    )
    found = {}
    for place in places:
        study = experiment(place, experiments)
        swept = {"data.name": place.data, "data.partition": place.partition, "seed": place.seed}
        found[place] = Cell({**swept, "training.algorithm": place.method}, study)
    return found


def sweep(found: Mapping[Place, Cell]) -> Sweep:
    """Return the cells as a sweep."""
    axes: dict[str, tuple[Any, ...]] = {}
    for cell in found.values():
        for key, value in cell.settings.items():
            axes[key] = tuple(dict.fromkeys((*axes.get(key, ()), value)))
    return Sweep("reference", axes, tuple(found.values()))
