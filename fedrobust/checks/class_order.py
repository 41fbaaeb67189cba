"""Check of the classes of a network's own last layer against those of the data."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from fedrobust.config.sections import Model
from fedrobust.data.annotations import are_named
from fedrobust.data.class_order import order_of
from fedrobust.data.dataset import Dataset
from fedrobust.data.search_path import resolve
from fedrobust.runs.of_file import classes_of_run, is_of_run
from fedrobust.runs.record import DatasetRecord


def kept_head(model: Model, dataset: Dataset, base: Path | None, root: str) -> Iterator[str]:
    """The last layer of a run's model has the data's classes in their order, if a study goes on with it.

    Where the run or the data do not name their classes, nothing can tell; of the same data see `renamed`.

    Args:
        model: settings of the network.
        dataset: the study's data.
        base: the study file's folder.
        root: the setting `data.root`.
    """
    trained, own = _kept_classes(model, dataset, base, root), dataset.label_names
    if not trained or trained.digest == dataset.digest:
        return
    if order_of(trained.labels, own) != tuple(range(dataset.classes)):
        yield (
            f'model.head = "keep" with model.name = "{model.name}": its classes are {_listed(trained.labels)}, in this '
            f'order; {dataset.name} has {_listed(own)}; set model.head = "new" for a new last layer, or save the data '
            "in that order"
        )


def renamed(model: Model, dataset: Dataset, base: Path | None, root: str) -> list[str]:
    """Return that a network's run and the data, with the same images and labels, name the classes otherwise, if so.

    The last layer fits the labels; but if the names are exchanged, those of one file are wrong.

    Args:
        model: settings of the network.
        dataset: the study's data.
        base: the study file's folder.
        root: the setting `data.root`.
    """
    trained, own = _kept_classes(model, dataset, base, root), dataset.label_names
    if not trained or trained.digest != dataset.digest:
        return []
    if order_of(trained.labels, own) == tuple(range(dataset.classes)):
        return []
    return [
        f'model.head = "keep" with model.name = "{model.name}": its run calls the classes {_listed(trained.labels)}, '
        f"{dataset.name} calls them {_listed(own)}, with the same images and labels: this study goes by the latter; "
        "correct label_names in the file if these are wrong"
    ]


def _kept_classes(model: Model, dataset: Dataset, base: Path | None, root: str) -> DatasetRecord | None:
    """Return the data of the run whose last layer is kept, if it and the study's data name as many classes."""
    if (model.weights, model.head) != ("file", "keep"):
        return None
    file = resolve(model.name, base, root)
    trained = classes_of_run(file) if is_of_run(file) else None
    # Another number of classes is refused where the network is built.
    if trained is None or len(trained.labels) != dataset.classes:
        return None
    return trained if are_named(trained.labels) and are_named(dataset.label_names) else None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
