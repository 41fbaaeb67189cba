"""An import: images of a source become an `.npz` file, a picture sheet and a table."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.atomic import atomic
from fedrobust.data.annotations import CONVERSION
from fedrobust.data.dataset import DataError
from fedrobust.data.duplicates import Duplicates, duplicates
from fedrobust.data.importing.classes import numbered
from fedrobust.data.importing.collect import Collected, Progress, collect, silent
from fedrobust.data.importing.entry import SPLITS, Entry, Source
from fedrobust.data.importing.options import ImportOptions
from fedrobust.data.importing.sheet import sheet
from fedrobust.data.importing.splits import Names, assigned
from fedrobust.data.importing.summary import (
    absent_told,
    counted,
    duplicates_told,
    few_told,
    listed_faults,
    splits_told,
)
from fedrobust.paths import check_can_hold, expanded


@dataclass(frozen=True)
class Imported:
    """What an import wrote, and what it decided.

    Attributes:
        file: the `.npz` file.
        sheet: PNG of some images of each class and site.
        table: CSV of all images with label, site, patient and split, which can be imported again.
        image_shape: (height, width, channels).
        classes: number of images of each class in train, val and test.
        sites: likewise of each site; empty if unknown.
        remarks: what was decided, converted, moved and left out, a sentence each.
    """

    file: Path
    sheet: Path
    table: Path
    image_shape: tuple[int, int, int]
    classes: dict[str, dict[str, int]]
    sites: dict[str, dict[str, int]]
    remarks: tuple[str, ...]

    @property
    def images(self) -> int:
        """The number of images."""
        return sum(count for counts in self.classes.values() for count in counts.values())


def import_source(
    source: Source, out: Path, options: ImportOptions, force: bool = False, progress: Progress = silent
) -> Imported:
    """Decode, fit, check and split the images of a source, and write them.

    Beside ``mine.npz`` stand ``mine.png``, a picture sheet, and ``mine.csv``. The `.npz` is written last: where it is,
    all is there.

    Args:
        source: the images.
        out: the file, ending in ``.npz``.
        options: how.
        force: whether existing files are replaced.
        progress: called with the number of images read so far, and of all.

    Raises:
        DataError: images, labels or splits cannot be used; nothing was written.
        PathError: `out` cannot be written.
    """
    places = _places(out, force)
    names, _, _ = numbered([entry.label for entry in source.entries], options.classes, options.disease)
    collected = collect(source, options, progress)
    entries = collected.entries
    # A class keeps its number even if none of its images can be used.
    _, labels, ill = numbered([entry.label for entry in entries], names, options.disease)
    sites, given, patients = (
        _all_or_none(source, entries, "site"),
        _texts(entries, "split"),
        _texts(entries, "patient"),
    )
    found = duplicates(collected.images, near=options.duplicates != "exact")
    _refuse(found, given, entries, options.duplicates)
    together = found.pairs[:0] if options.duplicates == "keep" else found.pairs
    split = assigned(given, labels, sites, patients, together, options.shares, options.seed)
    told = {CONVERSION[key]: np.atleast_1d(value) for key, value in collected.conversion.to_json().items()}
    arrays = _arrays(collected, labels, split.splits, sites, patients)
    _write(
        places,
        collected,
        split.splits,
        {**arrays, "label_names": np.array(names), "disease": ill, **told},
        source,
        options,
    )
    classes = {name: dict.fromkeys(SPLITS, 0) for name in names}
    classes |= counted(np.array(names)[labels], split.splits)
    height, width, channels = collected.images.shape[1:]
    return Imported(
        *places,
        image_shape=(height, width, channels),
        classes=classes,
        sites=counted(sites, split.splits) if (sites != "").any() else {},
        remarks=(
            *source.remarks,
            *listed_faults(collected.faults),
            *collected.remarks,
            *splits_told(given, split, patients, sites, options),
            *duplicates_told(
                found, given, split, labels, [entry.name for entry in entries], options.duplicates
            ),
            *few_told(classes),
            *absent_told(names, labels, split.splits),
        ),
    )


def _write(
    places: tuple[Path, Path, Path],
    collected: Collected,
    splits: Names,
    arrays: dict[str, Any],
    source: Source,
    options: ImportOptions,
) -> None:
    """Write the picture sheet, the table, and at last the images."""
    file, page, table = places
    names = [entry.name for entry in collected.entries]
    groups = [", ".join(filter(None, (entry.label, entry.site))) for entry in collected.entries]
    with atomic(page) as draft:
        title = f"{file.name}: {source.name}"
        sheet(collected.images, groups, names, title, options.seed).save(draft, "PNG")
    with atomic(table) as draft:
        draft.write_text(_table(collected, splits), encoding="utf-8")
    with atomic(file) as draft, draft.open("wb") as handle:
        np.savez_compressed(handle, **{key: each for key, each in arrays.items() if len(each)})


def _places(out: Path, force: bool) -> tuple[Path, Path, Path]:
    """Return the files to write.

    Raises:
        DataError: the name does not end in .npz, a file exists, or there is no folder for it.
    """
    file = expanded(out)
    if file.suffix.lower() != ".npz":
        raise DataError(f"out = {str(out)!r}; allowed: a file that ends in .npz")
    if not file.parent.is_dir():
        raise DataError(f"out = {str(out)!r}: there is no folder {file.parent}; make it first")
    check_can_hold(file.parent, "out")
    places = (file, file.with_suffix(".png"), file.with_suffix(".csv"))
    for place in places:
        if place.is_dir() or (place.exists() and not force):
            raise DataError(
                f"out = {str(out)!r}: {place.name} exists already; name another file, or set force to replace it"
            )
    return places


def _texts(entries: Sequence[Entry], what: str) -> Names:
    return np.array([getattr(entry, what) for entry in entries], str)


def _all_or_none(source: Source, entries: Sequence[Entry], what: str) -> Names:
    values = _texts(entries, what)
    lacking = np.flatnonzero(values == "")
    if 0 < len(lacking) < len(values):
        raise DataError(
            f"{source.name}: {len(lacking)} images have no {what}, such as {entries[lacking[0]].name}; give each "
            "one, or none"
        )
    return values


def _refuse(found: Duplicates, given: Names, entries: Sequence[Entry], how: str) -> None:
    """Raise a DataError if duplicates are in two splits and are to be refused."""
    if how != "refuse":
        return
    pairs = [pair for pair in found.across(given).pairs.tolist() if "" not in given[pair]]
    if pairs:
        one, other = (entries[place] for place in pairs[0])
        raise DataError(
            f"{len(pairs)} pairs of duplicates are in two splits, the first is {one.name} ({one.split}) and "
            f'{other.name} ({other.split}); remove one of each, or choose duplicates = "move"'
        )


def _arrays(
    collected: Collected, labels: NDArray[np.int64], splits: Names, sites: Names, patients: Names
) -> dict[str, NDArray[Any]]:
    """Return the arrays of the file, split by split; without sites and patients where none is known."""
    names = _texts(collected.entries, "name")
    columns: dict[str, NDArray[Any]] = {"images": collected.images, "labels": labels}
    if (sites != "").any():
        columns["site"] = sites
    if (patients != "").any():
        columns["patient"] = np.where(patients == "", names, patients)
    return {f"{split}_{key}": each[splits == split] for split in SPLITS for key, each in columns.items()}


def _table(collected: Collected, splits: Names) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "label", "site", "patient", "split"))
    for entry, split in zip(collected.entries, splits.tolist(), strict=True):
        writer.writerow((entry.name, entry.label, entry.site, entry.patient, split))
    return text.getvalue()
