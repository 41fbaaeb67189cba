"""Commands for own images: import them, check a file.

What a command needs is imported inside of its function, so that ``--help`` is fast.
"""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from fedrobust.cli.app import Command, data, examples
from fedrobust.cli.options import DataRoot
from fedrobust.complaints import fail


@data.command(
    cls=Command,
    name="import",
    epilog=examples(
        "fedrobust data import scans/ --out mine.npz --size 64 --sites",
        "fedrobust data import scans.csv --out mine.npz --column label=diagnosis",
    ),
)
def data_import(
    source: Annotated[
        Path,
        typer.Argument(
            help="A folder with a folder of images for each class (also below train, val, test), or a CSV file with "
            "the columns path, label, and optionally site, patient, split."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The .npz file to write; a .png and a .csv are written beside it.")
    ],
    size: Annotated[int, typer.Option(help="Height and width of every image in pixels.")] = 224,
    sites: Annotated[bool, typer.Option("--sites", help="The folder's first level are hospitals.")] = False,
    patient: Annotated[
        str,
        typer.Option(help="Regular expression; its group is the patient in an image's path: '([0-9]+)_'."),
    ] = "",
    images: Annotated[str, typer.Option(help="Folder of the table's relative paths, if not its own.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="The table's name of a column, as in label=diagnosis; repeatable."),
    ] = None,
    classes: Annotated[
        str,
        typer.Option(
            help="Classes in the order of their labels, with commas (semicolons, if a name has a comma); else all that "
            "occur, sorted."
        ),
    ] = "",
    disease: Annotated[
        str,
        typer.Option(
            help="Classes that mean disease, with commas (semicolons, if one of several names has a comma)."
        ),
    ] = "",
    fit: Annotated[
        str, typer.Option(help="pad: the whole image on a black square; crop: its largest central square.")
    ] = "pad",
    colour: Annotated[str, typer.Option(help="auto (RGB if any image has colour), grey or rgb.")] = "auto",
    window: Annotated[
        str,
        typer.Option(
            help="Values of black and white above 8 bits, as in -1000:400; else a DICOM file's own."
        ),
    ] = "",
    splits: Annotated[
        str, typer.Option(help="Shares of train/val/test, drawn by patient, class and site.")
    ] = "70/10/20",
    duplicates: Annotated[
        str,
        typer.Option(help="Duplicates across splits: move, exact (only equal pixels), refuse, or keep."),
    ] = "move",
    unreadable: Annotated[float, typer.Option(help="Share of unreadable images that are left out.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the drawn splits and of the picture sheet.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Import images as an .npz file for data.name, with splits, a picture sheet and a summary."""
    from fedrobust import api
    from fedrobust.terminal.data import imported_table, progress_bar
    from fedrobust.terminal.screen import say, standard_output

    with progress_bar("images read") as progress:
        found = api.import_images(
            source,
            out,
            sites=sites,
            patient=patient,
            images=images,
            columns=_pairs(column or []),
            force=force,
            progress=progress,
            size=size,
            fit=fit,
            colour=colour,
            splits=numbers("--splits", splits, "/", 3, "70/10/20"),
            seed=seed,
            window=numbers("--window", window, ":", 2, "-1000:400") if window else None,
            classes=classes,
            disease=disease,
            duplicates=duplicates,
            unreadable=unreadable,
        )
    height, width, channels = found.image_shape
    kind = "grey" if channels == 1 else "RGB"
    typer.echo(f"{out}: {found.images:,} images of {height} x {width} pixels, {kind}")
    standard_output().print(imported_table(found))
    for remark in found.remarks:
        say(standard_output(), remark, markup=False)
    typer.echo(f"look at {found.sheet.name}: some images of each class{' and site' if found.sites else ''}")
    typer.echo(f"{found.table.name} lists every image with its class, site, patient and split")
    typer.echo(f"next: fedrobust init study.toml --data {quote(str(out))}")


@data.command(
    cls=Command,
    name="check",
    epilog=examples("fedrobust data check mine.npz", "fedrobust data check mine.npz --like study.toml"),
)
def data_check(
    file: Annotated[Path, typer.Argument(help="The .npz file.")],
    like: Annotated[
        str,
        typer.Option(help="A study file, or an .npz file of the study, that this hospital wants to join."),
    ] = "",
    exact: Annotated[
        bool, typer.Option("--exact", help="Look for equal pixels alone, not near duplicates.")
    ] = False,
    data_root: DataRoot = "",
) -> None:
    """Check an .npz file: what a hospital runs before it joins a study; exit code 2 if it cannot be used."""
    from fedrobust import api
    from fedrobust.terminal.data import checked_table
    from fedrobust.terminal.screen import say, standard_output

    found = api.check_dataset(file, like, root=data_root, near=not exact)
    height, width, channels = found.image_shape
    low, high = found.values
    kind = "grey" if channels == 1 else "RGB"
    typer.echo(f"{file}: images of {height} x {width} pixels, {kind}, values from {low} to {high}")
    standard_output().print(checked_table(found))
    if found.patients:
        typer.echo("patients: each in one split")
    else:
        typer.echo("patients: not recorded; whether one is in two splits is not known")
    for warning in found.warnings:
        say(standard_output(), f"look at: {warning}", markup=False)
    if like and found.usable:
        same = "classes are" if found.named else "number of classes are"
        unknown = "" if found.named else "; whether its labels mean the same is not known"
        typer.echo(f"it fits {like}: image size, colour and {same} the same{unknown}")
    if not like:
        typer.echo(f"as data.name of a study: {f'no: {found.whole}' if found.whole else 'yes'}")
    if not found.usable:
        fail(f"{file} does not fit: {found.hospital}")


def numbers(option: str, text: str, separator: str, count: int, example: str) -> tuple[float, ...]:
    """Return the numbers in an option's value, or end with an error."""
    try:
        found = tuple(float(part) for part in text.split(separator))
    except ValueError:
        found = ()
    if len(found) != count:
        fail(f"{option} {text}: allowed: {count} numbers with {separator!r} between them, such as {example}")
    return found


def _pairs(given: list[str]) -> dict[str, str]:
    for each in given:
        if "=" not in each:
            fail(f"--column {each}: allowed: COLUMN=NAME, such as label=diagnosis")
    return {name.strip(): value.strip() for name, _, value in (each.partition("=") for each in given)}
