"""Images in memory: NumPy arrays, and data sets of Hugging Face's `datasets`."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from fedrobust.data.dataset import DataError
from fedrobust.data.importing.decode import of_array, of_pillow
from fedrobust.data.importing.entry import SPLIT_NAMES, Entry, ImageError, Picture, Source


def of_arrays(
    images: Any,
    labels: Any,
    *,
    sites: Any = None,
    patients: Any = None,
    image_splits: Any = None,
    classes: Sequence[str] = (),
    window: tuple[float, float] | None = None,
) -> Source:
    """List images given as arrays.

    Args:
        images: (n, height, width), (n, height, width, 1 or 3), or a sequence of such images of any sizes; uint8, or
            uint16 for grey.
        labels: one an image, (n,): numbers or names.
        sites: name of each image's site, (n,).
        patients: of each image, (n,).
        image_splits: "train", "val" or "test" of each image, (n,).
        classes: names of the classes, where labels are numbers: the name of label 0 first.
        window: values of black and white for uint16.

    Raises:
        DataError: numbers of images and labels differ, or a label has no name.
    """
    given = {"labels": labels, "sites": sites, "patients": patients, "image_splits": image_splits}
    columns = {
        name: [""] * len(images) if values is None else np.asarray(values).reshape(-1).tolist()
        for name, values in given.items()
    }
    for name, values in columns.items():
        if len(values) != len(images):
            raise DataError(f"{name} has {len(values)} entries; allowed: {len(images)}, one an image")
    if not len(images):
        raise DataError("images has 0 images; allowed: at least one for each of train, val and test")
    entries = [
        Entry(
            f"image {place}",
            _class_name(columns["labels"][place], classes),
            partial(of_array, np.asarray(image), window),
            _name(columns["sites"][place]),
            _name(columns["patients"][place]),
            _split(columns["image_splits"][place]),
        )
        for place, image in enumerate(images)
    ]
    return Source("arrays", tuple(entries))


def of_huggingface(
    dataset: Any,
    *,
    image: str = "image",
    label: str = "label",
    site: str = "",
    patient: str = "",
    window: tuple[float, float] | None = None,
) -> Source:
    """List the images of a `datasets.Dataset`, or of a `datasets.DatasetDict` of splits.

    Nothing of `datasets` is imported: a split is a sequence of rows, dictionaries; with ``column_names`` its
    columns are read by name, so that images are decoded once; ``features[label].names`` names the classes.

    Args:
        dataset: the data set; of a dictionary, the keys are the splits.
        image: name of the column of images: Pillow's, or uint8 arrays.
        label: name of the column of labels.
        site: name of a column of sites; empty: none.
        patient: name of a column of patients; empty: none.
        window: values of black and white for 16-bit images.

    Raises:
        DataError: a column is missing, or a split has another name.
    """
    parts = dict(dataset.items()) if isinstance(dataset, Mapping) else {"": dataset}
    entries: list[Entry] = []
    for split, part in parts.items():
        if split and split.lower() not in SPLIT_NAMES:
            raise DataError(
                f"split {split!r} of the data set; allowed: train, validation and test; leave others out"
            )
        labels, sites, patients = (_column(part, name) for name in (label, site, patient))
        _column_exists(part, image)
        names = tuple(getattr(getattr(part, "features", {}).get(label), "names", None) or ())
        entries += [
            Entry(
                f"{split or 'row'} {place}",
                _class_name(labels[place], names),
                partial(_picture, part, place, image, window),
                _name(sites[place]),
                _name(patients[place]),
                SPLIT_NAMES.get(split.lower(), ""),
            )
            for place in range(len(part))
        ]
    if not entries:
        raise DataError(
            "the data set has no rows; allowed: at least one image for each of train, val and test"
        )
    return Source("data set", tuple(entries))


def _column_exists(part: Any, name: str) -> None:
    found = getattr(part, "column_names", None) or (list(part[0]) if len(part) else [name])
    if name not in found:
        raise DataError(f"no column {name!r} in the data set; found {', '.join(found)}; name the right one")


def _column(part: Any, name: str) -> Sequence[Any]:
    """Return a column of a split; empty texts where it has no name."""
    if not name:
        return [""] * len(part)
    _column_exists(part, name)
    return list(part[name]) if hasattr(part, "column_names") else [row[name] for row in part]


def _picture(part: Any, place: int, column: str, window: tuple[float, float] | None) -> Picture:
    value = part[place][column]
    if isinstance(value, Image.Image):
        return of_pillow(value, window)
    if value is None:
        raise ImageError("no image")
    return of_array(np.asarray(value), window)


def _class_name(label: Any, names: Sequence[str]) -> str:
    """Return the name of a label.

    Raises:
        DataError: it is missing, or a number without a name.

    Example:
        >>> _class_name(1, ("healthy", "tumour")), _class_name("tumour", ()), _class_name(3, ())
        ('tumour', 'tumour', '3')
    """
    if label is None or label != label:  # NaN differs from itself
        raise DataError(f"label {label!r}: an image without a label; leave it out")
    if not names or isinstance(label, str):
        return str(label)
    if not isinstance(label, int | np.integer) or not 0 <= label < len(names):
        raise DataError(
            f"label {label!r} has no name; allowed: 0 to {len(names) - 1}, for {', '.join(names)}"
        )
    return names[int(label)]


def _split(name: Any) -> str:
    if str(name).lower() not in ("", *SPLIT_NAMES):
        raise DataError(f"image_splits: {name!r}; allowed: train, val and test, or empty to have it drawn")
    return SPLIT_NAMES.get(str(name).lower(), "")


def _name(value: Any) -> str:
    """Return a site or a patient as text; "" where it is missing (None, NaN)."""
    return "" if value is None or value != value else str(value)
