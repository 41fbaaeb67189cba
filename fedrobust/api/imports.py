"""Own images: import them from folders, tables, arrays and data sets, and check a file.

What needs Pillow is imported inside functions: `list_datasets` and the checks of settings do without it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.api.studies import experiment
from fedrobust.data.class_names import names_in
from fedrobust.data.dataset import DataError
from fedrobust.data.hospital_file import read_hospital_file
from fedrobust.data.importing.options import ImportOptions
from fedrobust.data.search_path import home_of, resolve
from fedrobust.data.volumes import VOLUMES, is_volume_name
from fedrobust.study import Study

if TYPE_CHECKING:
    from fedrobust.data.file_check import Expected, FileCheck
    from fedrobust.data.importing.imported import Imported


def import_images(
    source: str | Path,
    out: str | Path,
    *,
    sites: bool = False,
    patient: str = "",
    images: str | Path = "",
    columns: dict[str, str] | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> "Imported":
    """Import a folder of class folders, or a CSV table of images, as an `.npz` file for ``data.name``.

    Args:
        source: a folder, see `fedrobust.data.importing.folder`, or a ``.csv`` file, see
            `fedrobust.data.importing.table`.
        out: file to write, ending in ``.npz``; a picture sheet (``.png``) and a table (``.csv``) stand beside it.
        sites: of a folder: its first level are hospitals.
        patient: of a folder: regular expression whose first group is the patient in an image's path.
        images: of a table: folder that its relative paths begin in; by default the table's own.
        columns: of a table: other names of its columns, such as ``{"label": "diagnosis"}``.
        force: whether existing files are replaced.
        progress: called with the number of images read so far, and of all.
        options: ``size``, ``fit``, ``colour``, ``splits``, ``seed``, ``window``, ``classes``, ``disease``,
            ``duplicates``, ``unreadable``: see `fedrobust.data.importing.options.ImportOptions`.

    Raises:
        DataError, PathError: something cannot be used; nothing was written.

    Example:
        >>> found = import_images("images/", "mine.npz", size=64, sites=True)  # doctest: +SKIP
        >>> fedrobust.run(data__name="mine.npz")  # doctest: +SKIP
    """
    from fedrobust.data.importing.collect import silent
    from fedrobust.data.importing.folder import of_folder
    from fedrobust.data.importing.imported import import_source
    from fedrobust.data.importing.table import of_table

    chosen, place = ImportOptions.of(options), home_of(source)
    if is_volume_name(str(source)):
        raise DataError(f"{source}: not offered: {VOLUMES}")
    if place.suffix.lower() == ".csv":
        ImportOptions.check_unused("a table", sites=sites, patient=patient)
        listed = of_table(
            place, images=home_of(images) if images else None, columns=columns, window=chosen.window
        )
    elif place.is_file():
        raise DataError(
            f"{place}: neither a folder nor a table; allowed: a folder of class folders, or a .csv file"
            + (
                "; an .npz needs no import: `fedrobust data check` says what it holds"
                * (place.suffix == ".npz")
            )
        )
    else:
        ImportOptions.check_unused("a folder", images=images, columns=columns)
        listed = of_folder(place, sites=sites, patient=patient, window=chosen.window)
    return import_source(listed, Path(out), chosen, force, progress or silent)


def import_arrays(
    images: Any,
    labels: Any,
    out: str | Path,
    *,
    sites: Any = None,
    patients: Any = None,
    image_splits: Any = None,
    force: bool = False,
    **options: Any,
) -> "Imported":
    """Import images in memory as an `.npz` file for ``data.name``.

    Args:
        images: (n, height, width), (n, height, width, 1 or 3), or a sequence of such images of any sizes; uint8, or
            uint16 for grey.
        labels: numbers or names, (n,); ``classes`` names numbers, label 0 first.
        out: file to write, ending in ``.npz``.
        sites: name of each image's site, (n,).
        patients: of each image, (n,).
        image_splits: "train", "val" or "test" of each image, (n,); by default they are drawn, see ``splits``.
        force: whether existing files are replaced.
        options: see `import_images`.

    Raises:
        DataError, PathError: something cannot be used; nothing was written.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (60, 40, 50), np.uint8)  # doctest: +SKIP
        >>> found = fedrobust.import_arrays(images, ["benign", "malignant"] * 30, "mine.npz", size=28)  # doctest: +SKIP
        >>> found.classes  # doctest: +SKIP
    """
    from fedrobust.data.importing.arrays import of_arrays
    from fedrobust.data.importing.imported import import_source

    chosen = ImportOptions.of(options)
    listed = of_arrays(
        images,
        labels,
        sites=sites,
        patients=patients,
        image_splits=image_splits,
        classes=names_in(chosen.classes),
        window=chosen.window,
    )
    return import_source(listed, Path(out), chosen, force)


def import_huggingface(
    dataset: Any,
    out: str | Path,
    *,
    image: str = "image",
    label: str = "label",
    site: str = "",
    patient: str = "",
    force: bool = False,
    **options: Any,
) -> "Imported":
    """Import a data set of Hugging Face's `datasets` as an `.npz` file for ``data.name``.

    Args:
        dataset: a `Dataset`, or a `DatasetDict` with train and, if it has them, validation and test.
        out: file to write, ending in ``.npz``.
        image: column of images: Pillow's, or uint8 arrays.
        label: column of labels.
        site: column of sites; empty: none.
        patient: column of patients; empty: none.
        force: whether existing files are replaced.
        options: see `import_images`.

    Raises:
        DataError, PathError: something cannot be used; nothing was written.

    Example:
        >>> images = datasets.load_dataset("imagefolder", data_dir="scans")  # doctest: +SKIP
        >>> fedrobust.import_huggingface(images, "mine.npz", size=64)  # doctest: +SKIP
    """
    from fedrobust.data.importing.arrays import of_huggingface
    from fedrobust.data.importing.imported import import_source

    chosen = ImportOptions.of(options)
    listed = of_huggingface(
        dataset, image=image, label=label, site=site, patient=patient, window=chosen.window
    )
    return import_source(listed, Path(out), chosen, force)


def check_dataset(
    path: str | Path, like: str | Path = "", *, root: str | Path = "", near: bool = True
) -> "FileCheck":
    """Check an own `.npz` file: shapes, classes, counts, splits, patients, duplicates, constant images, values.

    Args:
        path: the file; searched as ``data.name`` is.
        like: what a hospital wants to join: a study file, whose data set has to be here, or an `.npz` file of it. Image
            shape and classes have to be the same.
        root: a folder that is searched first.
        near: whether near duplicates are searched, too.

    Raises:
        DataError, ConfigError: a file cannot be read.

    Example:
        >>> fedrobust.check_dataset("theirs.npz").warnings  # doctest: +SKIP
    """
    from fedrobust.data.file_check import check_file

    return check_file(resolve(path, root=root), _expected(like, root) if like else None, near)


def _expected(like: str | Path, root: str | Path) -> "Expected":
    """Return what a study, or the study of an `.npz` file, takes."""
    from fedrobust.data.file_check import Expected

    if Path(like).suffix.lower() == ".npz":
        file = read_hospital_file(resolve(like, root=root))
        return Expected(str(like), file.image_shape, file.annotations.label_names, file.problem.multilabel)
    settings = {"data__root": str(root)} if root else {}
    dataset = Study.up_to_date(experiment(like, **settings)).dataset
    return Expected(str(like), dataset.image_shape, dataset.label_names, dataset.multilabel)
