"""Numbers of classes from their names."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.class_names import as_option, names_in, quoted, separators_told
from fedrobust.data.dataset import DataError
from fedrobust.registry import did_you_mean


def numbered(
    labels: Sequence[str], classes: Sequence[str] | str = (), disease: Sequence[str] | str = ()
) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Return the names of the classes in their order, the label of every image, and the labels that mean disease.

    Args:
        labels: name of the class of every image.
        classes: names in order, or a text of them (`names_in`); empty: all that occur, sorted, numbers by their value.
        disease: names of the classes that mean disease, or a text of them.

    Raises:
        DataError: an image has another class, there are fewer than two classes, `disease` names another one, or a name
            stands twice.

    Example:
        >>> names, numbers, ill = numbered(["tumour", "healthy", "tumour"], disease=["tumour"])
        >>> names, numbers.tolist(), ill.tolist()
        (('healthy', 'tumour'), [1, 0, 1], [1])
        >>> numbered(["10", "9"])[0]
        ('9', '10')
        >>> numbered(["rare, very", "healthy"], disease="rare, very")[2].tolist()
        [1]
    """
    found = sorted(set(labels), key=_order)
    named = _once("classes", names_in(classes, found))
    strangers = [label for label in found if named and label not in named]
    if strangers:
        raise DataError(
            f"class {strangers[0]!r} is not in classes = {quoted(named)}"
            f"{did_you_mean(strangers[0], named) or '.'} Name every class that occurs, in the order of the labels"
            f"{separators_told(classes, found)}"
        )
    names = named or tuple(found)
    if len(names) < 2:
        raise DataError(
            f"1 class ({names[0]!r}); allowed: at least 2. A hospital that lacks a class names them all: "
            f"classes = {as_option((names[0], 'OTHER'))}"
        )
    ill = _once("disease", names_in(disease, names))
    unknown = [label for label in ill if label not in names]
    if unknown:
        raise DataError(
            f"disease = {unknown[0]!r}: no class; allowed: {quoted(names)}{separators_told(disease, names)}"
        )
    places = {name: place for place, name in enumerate(names)}
    return (
        names,
        np.array([places[label] for label in labels], np.int64),
        np.sort(np.array([places[label] for label in ill], np.int64)),
    )


def _once(option: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names, each of which may stand once."""
    if len(set(names)) < len(names):
        raise DataError(f"{option} = {quoted(names)}; allowed: each class once")
    return names


def _order(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if name.isascii() and name.isdigit() else (1, 0, name)
