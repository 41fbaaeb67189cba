"""Templates of Keras files: a file without weights, which is filled with weights without starting Keras.

A model's configuration is the same for all weights, and its arrays are data sets of an HDF5 file: with a template,
neither Keras nor the network is needed to write a model file.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np

WEIGHTS, METADATA, PLACES = "model.weights.h5", "metadata.json", "places.json"


class TemplateError(ValueError):
    """The arrays of a Keras file cannot be identified, or a template does not fit the arrays."""


def code(place: int) -> float:
    """Return the marker value that fills the array at `place` in the file that `template_of` reads."""
    return -1e6 - place


def template_of(path: Path, shapes: Sequence[tuple[int, ...]]) -> bytes:
    """Return the template of a Keras file in which every value of the array at place i is `code` (i).

    Args:
        path: of the file.
        shapes: of the arrays, in the order of their places.

    Raises:
        TemplateError: an array is not found exactly once in its shape.
    """
    codes, places = {code(place): place for place in range(len(shapes))}, {}
    members = _members(path)
    with h5py.File(io.BytesIO(members[WEIGHTS])) as file:
        for name, values in _data_sets(file):
            place = codes.get(float(values.flat[0])) if values.size else None
            if place is None:
                continue
            if values.shape != tuple(shapes[place]) or not (values == code(place)).all():
                raise TemplateError(f"{path}: {name} is not the array {place}")
            places[name] = place
    if sorted(places.values()) != list(range(len(shapes))):
        raise TemplateError(f"{path}: it holds {len(places)} of {len(shapes)} arrays")
    return _packed(members, places)


def template_around(path: Path, arrays: Sequence[np.ndarray]) -> bytes:
    """Return the template of a Keras file that holds `arrays`, by their values; its other arrays stay as they are.

    Args:
        path: of the file.
        arrays: in the order of their places.

    Raises:
        TemplateError: an array is not found exactly once.
    """
    members = _members(path)
    places: dict[str, int] = {}
    with h5py.File(io.BytesIO(members[WEIGHTS])) as file:
        for name, values in _data_sets(file):
            same = [place for place, array in enumerate(arrays) if np.array_equal(values, array)]
            if len(same) > 1:
                raise TemplateError(f"{path}: {name} is several of the arrays")
            places.update((name, place) for place in same)
    if sorted(places.values()) != list(range(len(arrays))):
        raise TemplateError(f"{path}: it holds {len(places)} of {len(arrays)} arrays")
    return _packed(members, places)


def _members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _packed(members: dict[str, bytes], places: dict[str, int]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr(PLACES, json.dumps(places))
    return packed.getvalue()


def write_filled(template: bytes, arrays: Sequence[np.ndarray], path: Path) -> None:
    """Write the Keras file of a template with `arrays` as its weights.

    Args:
        template: from `template_of`.
        arrays: in the order of their places.
        path: of the file.

    Raises:
        TemplateError: number or shapes of the arrays are not those of the template.
    """
    with zipfile.ZipFile(io.BytesIO(template)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    places = json.loads(members.pop(PLACES))
    if len(places) != len(arrays):
        raise TemplateError(f"{len(arrays)} arrays for a template of {len(places)}")
    weights = io.BytesIO(members[WEIGHTS])
    with h5py.File(weights, "r+") as file:
        for name, place in places.items():
            if file[name].shape != arrays[place].shape:
                raise TemplateError(f"{name}: {arrays[place].shape}, the template has {file[name].shape}")
            file[name][...] = arrays[place]
    metadata = json.loads(members[METADATA])
    metadata["date_saved"] = datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    members |= {WEIGHTS: weights.getvalue(), METADATA: json.dumps(metadata).encode()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


class FilledFiles:
    """Keras files of one network, most of whose arrays never change: later files are made from the first one."""

    def __init__(self) -> None:
        self._template = b""

    def write(self, arrays: Sequence[np.ndarray], path: Path, save: Callable[[], None]) -> None:
        """Write a file with `arrays`: by `save` if it is the first, or if the arrays were not found in that.

        Args:
            arrays: that change, in an order that is always the same.
            path: of the file.
            save: writes the file with these arrays by Keras.
        """
        if self._template:
            write_filled(self._template, arrays, path)
            return
        save()
        with suppress(TemplateError):
            self._template = template_around(path, arrays)


def _data_sets(file: h5py.File) -> Iterator[tuple[str, np.ndarray]]:
    found: list[str] = []
    file.visititems(lambda name, each: found.append(name) if isinstance(each, h5py.Dataset) else None)
    return ((name, np.asarray(file[name])) for name in found)
