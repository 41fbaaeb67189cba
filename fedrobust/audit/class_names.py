"""Comparison of the classes that a run's model was trained on with those of the data that it is to be measured on."""

from collections.abc import Sequence

from fedrobust.audit.misreading import IN_A_STUDY
from fedrobust.config import ConfigError
from fedrobust.data.annotations import are_named
from fedrobust.data.class_order import order_of
from fedrobust.data.dataset import Dataset
from fedrobust.edge.about import About
from fedrobust.models.interfaces import Interfaces
from fedrobust.runs.record.parts import DatasetRecord


def check_named_outputs(
    about: About | None, dataset: Dataset, interfaces: Interfaces, what: str = ""
) -> None:
    """Check that the outputs of an exported file, which names them itself, are read as what they are.

    Other names than the data's are left to `check_reading`, as those of models that name nothing are.

    Args:
        about: what the file says of itself; None: nothing.
        dataset: the data to measure on, with as many classes.
        interfaces: the declared class orders.
        what: role of the model: "" for the one under audit, else "edge", ...

    Raises:
        ConfigError: the data have these classes in another order.
    """
    own = dataset.label_names
    if about is not None and are_named(own) and order_of(about.labels, own) is not None:
        check_classes(DatasetRecord(labels=about.labels), dataset, interfaces, what)


def check_classes(
    trained: DatasetRecord | None, dataset: Dataset, interfaces: Interfaces, what: str = ""
) -> str:
    """Check that the outputs of a run's model are read as the classes that it was trained on.

    An order that is declared for this model is taken as it is. Else outputs have the data's order, or the one that is
    declared for the model under audit.

    Args:
        trained: the run's data; None: unknown.
        dataset: the data to measure on, with as many classes as the model.
        interfaces: the declared class orders.
        what: role of the model: "" for the one under audit, else "control", ...

    Returns:
        A note, if there are no names that could tell; else "".

    Raises:
        ConfigError: the data have the run's classes in another order, or classes of other names.
    """
    if interfaces.labels.get(what):
        return ""
    names, own = (trained.labels if trained else ()), dataset.label_names
    is_same = trained is not None and trained.digest == dataset.digest
    identity = tuple(range(dataset.classes))
    order = order_of(names, own) if are_named(names) and are_named(own) else None
    if is_same and order is None:
        # The labels are the same numbers, whatever they are called.
        order = identity
    role, declared = what or "the model", f"{what}=" if what else ""
    both = f"{role}: its classes are {_listed(names)}, in this order; {dataset.name} has {_listed(own)}"
    ending = IN_A_STUDY if what == "control" else ""
    if order is None and are_named(names) and are_named(own):
        raise ConfigError(
            f"{both}: nothing tells which is which. Choose data with these classes; or add --labels "
            f'"{declared}ORDER" (in Python labels=...), the label in {dataset.name} of each of its outputs, such as '
            f"{_numbers(identity)}{ending}"
        )
    if order is None:
        unnamed = "its run does" if are_named(own) else "the data do"
        return (
            f"{f'{what}: ' if what else ''}class order: {unnamed} not name the classes (label_names): nothing tells "
            "whether labels mean what they meant in the run"
        )
    if is_same and order != identity:
        raise ConfigError(
            f"{both}, with the same images and labels: correct label_names in one of them; or add --labels "
            f'"{declared}{_numbers(identity)}" (in Python labels=...) to go by the names of {dataset.name}{ending}'
        )
    read = interfaces.of(what, dataset).labels or identity
    if order != read:
        raise ConfigError(
            f"{both}; its outputs would be read as labels {_numbers(read)}. Save the data in that order; or add "
            f'--labels "{declared}{_numbers(order)}" (in Python labels=...), the label in {dataset.name} of each of '
            f"its outputs{ending}"
        )
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))


def _numbers(order: Sequence[int]) -> str:
    return ",".join(map(str, order))
