"""Numbers of classes from their names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError
from fedrobust.registry import did_you_mean


def numbered(
    labels: Sequence[str], classes: Sequence[str] = (), disease: Sequence[str] = ()
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Return the names of the classes in their order, the label of every image, and the labels that mean disease.

    Args:
        labels: name of the class of every image.
        classes: names in order; empty: all that occur, sorted, numbers by their value.
        disease: names of the classes that mean disease.

    Raises:
        DataError: an image has another class, there are fewer than two classes, or `disease` names another one.

    Example:
        >>> names, numbers, ill = numbered(["tumour", "healthy", "tumour"], disease=["tumour"])
        >>> names, numbers.tolist(), ill.tolist()
        (('healthy', 'tumour'), [1, 0, 1], [1])
        >>> numbered(["10", "9"])[0]
        ('9', '10')
    """
    found = sorted(set(labels), key=_order)
    strangers = [label for label in found if classes and label not in classes]
    if strangers:
        raise DataError(
            f"class {strangers[0]!r} is not in classes = {', '.join(classes)}{did_you_mean(strangers[0], classes)} "
            "Name every class that occurs, in the order of the labels"
        )
    names = tuple(classes or found)
    if len(names) < 2:
        raise DataError(
            f"1 class ({names[0]}); allowed: at least 2. A hospital that lacks a class names them all: "
            f"classes = {names[0]},OTHER"
        )
    unknown = [label for label in disease if label not in names]
    if unknown:
        raise DataError(f"disease = {unknown[0]!r}: no class; allowed: {', '.join(names)}")
    places = {name: place for place, name in enumerate(names)}
    return (
        names,
        np.array([places[label] for label in labels], np.int64),
        np.sort(np.array([places[label] for label in disease], np.int64)),
    )


def _order(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)
