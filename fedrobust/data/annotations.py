"""What an own `.npz` file may tell beside images and labels: task, names of classes, disease, sites, patients."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.archive import DAMAGE, damaged, declared
from fedrobust.data.conversion import NOT_KNOWN, Conversion
from fedrobust.data.dataset import DataError
from fedrobust.data.sites import Sites
from fedrobust.epsilon import shortened

PATIENTS = ("train_patient", "val_patient", "test_patient")

SITES = ("train_site", "val_site", "test_site")

CONVERSION = {"fit": "import_fit", "window": "import_window", "white": "import_white"}
"""The arrays that tell how an import converted images, by the entry of `Conversion`."""

KEYS = ("label_names", "disease", *SITES, *PATIENTS, *CONVERSION.values())

TASKS = ("binary-class", "multi-class", "ordinal-regression", "multi-label, binary-class")
"""MedMNIST's names of the tasks."""


LONGEST_NAME = 200
"""Most characters of the name of a class, a site or a patient."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """What a file tells beside images and labels.

    Attributes:
        label_names: of the classes, in the order of the labels.
        disease: labels that mean disease; empty if unknown.
        sites: of the training images; None if unknown.
        validation_sites: of the validation images; None if unknown.
        test_sites: of the test images; None if unknown.
        conversion: how images became those of the file, as far as it tells.
    """

    label_names: tuple[str, ...]
    disease: tuple[int, ...] = ()
    sites: Sites | None = None
    validation_sites: Sites | None = None
    test_sites: Sites | None = None
    conversion: Conversion = NOT_KNOWN


def are_named(label_names: Sequence[str]) -> bool:
    """Return whether classes have names, not only their numbers.

    Example:
        >>> are_named(("0", "1")), are_named(("normal", "disease"))
        (False, True)
    """
    return tuple(label_names) != tuple(map(str, range(len(label_names))))


def read_annotations(path: Path, classes: int, images: dict[str, int]) -> Annotations:
    """Read and check the optional arrays of a file.

    ``label_names``, text (classes,); ``disease``, labels (k,); ``train_site``, ``val_site`` and ``test_site``, names or
    numbers (n,), one an image; ``train_patient``, ``val_patient`` and ``test_patient``, likewise: no patient may be in
    two splits, because test images of a training patient flatter a model. ``import_fit``, a text, ``import_window``,
    two numbers, and ``import_white``, a number, are those of `Conversion`.

    Args:
        path: the file.
        classes: number of classes.
        images: in each split, by ``train``, ``val`` and ``test``.

    Raises:
        DataError: an array has another shape or kind, or a patient is in two splits.
    """
    given = _read(path)
    names = tuple(str(label) for label in range(classes))
    if "label_names" in given:
        names = tuple(map(str, _text(path, "label_names", given["label_names"], classes, "class")))
        if len(set(names)) < classes:
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(
                f"{path}: label_names has {twice!r} twice; allowed: a name of its own for each class"
            )
    disease: tuple[int, ...] = ()
    if "disease" in given:
        labels = np.atleast_1d(given["disease"])
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise DataError(
                f"{path}: disease has dtype {labels.dtype} and shape {labels.shape}; allowed: labels that mean "
                f"disease, integers from 0 to {classes - 1}, (k,)"
            )
        disease = tuple(sorted({int(label) for label in labels}))
    sites = [_sites(path, key, given, images) for key in SITES]
    _check_patients(path, given, images)
    return Annotations(names, disease, sites[0], sites[1], sites[2], _conversion(path, given))


def read_task(path: Path) -> str:
    """Return the ``task`` that a file names, one of `TASKS`; empty if it names none.

    ``"multi-label"`` and ``"ordinal"`` are accepted for their long names.

    Raises:
        DataError: it names another one.
    """
    given = _read(path, ("task",)).get("task")
    if given is None:
        return ""
    text = str(given.reshape(-1)[0]) if given.size == 1 and given.dtype.kind == "U" else ""
    short = {task.partition("-regression")[0].partition(",")[0]: task for task in TASKS[2:]}
    found = short.get(text, text)
    if found not in TASKS:
        raise DataError(
            f"{path}: task has dtype {given.dtype}, shape {given.shape} and the value {given!r:.60}; allowed: a text, "
            f"one of {', '.join(map(repr, TASKS))}"
        )
    return found


def _sites(path: Path, key: str, given: dict[str, NDArray[Any]], images: dict[str, int]) -> Sites | None:
    """Return the sites of one split's images; None if the file does not tell."""
    if key not in given:
        return None
    split = key.removesuffix("_site")
    what = "training image" if split == "train" else f"{split} image"
    return Sites.of(_text(path, key, given[key], images[split], what))


def _conversion(path: Path, given: dict[str, NDArray[Any]]) -> Conversion:
    """Return how the images of a file were converted."""
    told = {name: given[key].reshape(-1).tolist() for name, key in CONVERSION.items() if key in given}
    try:
        return Conversion.of({name: _single(value) for name, value in told.items()})
    except ValueError as error:
        raise DataError(f"{path}: {', '.join(CONVERSION[name] for name in told)}: {error}") from error


def _single(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else values


def _read(path: Path, keys: Sequence[str] = KEYS) -> dict[str, NDArray[Any]]:
    there = list(declared(path, keys))
    if not there:
        return {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in there}
    except DAMAGE as error:
        raise damaged(path, error) from error


def _text(path: Path, key: str, values: NDArray[Any], count: int, what: str) -> NDArray[Any]:
    """Return one text or number a `what`, as text (count,)."""
    flat = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if flat.shape != (count,) or flat.dtype.kind not in "USiu":
        raise DataError(
            f"{path}: {key} has dtype {values.dtype} and shape {values.shape}; allowed: text or whole numbers, "
            f"({count},), one a {what}"
        )
    try:
        text = np.char.decode(flat) if flat.dtype.kind == "S" else flat.astype(str)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: {key} holds bytes that are no UTF-8 text; save it as text") from error
    for one in np.unique(text):
        if len(one) > LONGEST_NAME or not one.isprintable():
            raise DataError(
                f"{path}: {key} has the value {shortened(str(one))}; allowed: up to {LONGEST_NAME} printable characters"
            )
    return text


def _check_patients(path: Path, given: dict[str, NDArray[Any]], images: dict[str, int]) -> None:
    """Raise a DataError if a patient is in two splits."""
    seen: dict[str, str] = {}
    for key in PATIENTS:
        if key not in given:
            continue
        split = key.removesuffix("_patient")
        found = set(_text(path, key, given[key], images[split], f"{split} image").tolist())
        both = sorted(patient for patient in found if patient in seen)
        if both:
            raise DataError(
                f"{path}: {len(both)} patients are in {seen[both[0]]} and in {split}, the first is {both[0]}; allowed: "
                "each patient in one split, or the test figures flatter the model"
            )
        seen |= dict.fromkeys(found, split)
