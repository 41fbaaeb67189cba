"""Check of the classes of a network's own last layer against those of the data."""

from collections.abc import Iterator
from pathlib import Path

from fedrobust.config.sections import Model
from fedrobust.data.annotations import are_named
from fedrobust.data.class_order import order_of
from fedrobust.data.dataset import Dataset
from fedrobust.data.search_path import resolve
from fedrobust.runs.of_file import classes_of_run, is_of_run


def kept_head(model: Model, dataset: Dataset, base: Path | None, root: str) -> Iterator[str]:
    """The last layer of a run's model has the data's classes in their order, if a study goes on with it.

    Where the run or the data do not name their classes, nothing can tell; the same data may name theirs anew.

    Args:
        model: settings of the network.
        dataset: the study's data.
        base: the study file's folder.
        root: the setting `data.root`.
    """
    if (model.weights, model.head) != ("file", "keep"):
        return
    file = resolve(model.name, base, root)
    trained = classes_of_run(file) if is_of_run(file) else None
    if trained is None or len(trained.labels) != dataset.classes:
        return  # Another number of classes is refused where the network is built.
    own = dataset.label_names
    if trained.digest == dataset.digest or not (are_named(trained.labels) and are_named(own)):
        return
    if order_of(trained.labels, own) != tuple(range(dataset.classes)):
        yield (
            f'model.head = "keep" with model.name = "{model.name}": its classes are '
            f"{', '.join(map(repr, trained.labels))}, in this order; {dataset.name} has {', '.join(map(repr, own))}; "
            'set model.head = "new" for a new last layer, or save the data in that order'
        )
