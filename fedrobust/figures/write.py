"""Write figures: SVG, PNG and PDF by vl-convert, which needs no browser, and the data of each as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from fedrobust.atomic import atomic, cannot_write
from fedrobust.errors import ConfigError
from fedrobust.figures.figure import Figure
from fedrobust.paths import check_can_hold, expanded
from fedrobust.registry import did_you_mean

FORMATS = ("svg", "png", "pdf", "csv")
VEGA_LITE = "5.20"
SCALE = 3.0
"""Pixels of a PNG for each of the drawing."""


def check_formats(formats: Sequence[str]) -> None:
    """Check that figures can be written.

    Raises:
        ConfigError: a format is unknown, or what draws figures is not installed.
    """
    for each in formats:
        if each not in FORMATS:
            hint = did_you_mean(each, FORMATS) or ";"
            raise ConfigError(f"format = {each!r}{hint} allowed: {', '.join(FORMATS)}")
    if set(formats) - {"csv"} and find_spec("vl_convert") is None:
        raise ConfigError(
            f"format = {', '.join(formats)}: drawn by vl-convert-python, which is not installed: pip install "
            "'fedrobust[figures]'; or choose the format csv, the data of each figure"
        )


def write(figures: Iterable[Figure], out: Path, formats: Sequence[str]) -> list[Path]:
    """Write figures into a folder, each in every format, and its data as CSV; files of the same names are replaced.

    Raises:
        ConfigError: a format is unknown, or what draws figures is not installed.
        DiskError, PathError: the folder cannot be written.
    """
    check_formats(formats)
    folder = expanded(out)
    check_can_hold(folder, "out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    written = []
    for figure in figures:
        for each in dict.fromkeys((*formats, "csv")):
            path = folder / f"{figure.name}.{each}"
            with atomic(path) as draft:
                draft.write_bytes(content(figure, each))
            written.append(path)
    return written


def content(figure: Figure, format: str) -> bytes:
    """Return a figure as the content of a file."""
    if format == "csv":
        return table(figure).encode("utf-8")
    import vl_convert  # of the extra ``figures``

    if format == "svg":
        return bytes(vl_convert.vegalite_to_svg(figure.description, vl_version=VEGA_LITE).encode("utf-8"))
    if format == "pdf":
        return bytes(vl_convert.vegalite_to_pdf(figure.description, vl_version=VEGA_LITE))
    return bytes(vl_convert.vegalite_to_png(figure.description, vl_version=VEGA_LITE, scale=SCALE))


def table(figure: Figure) -> str:
    """Return a figure's data as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(figure.rows[0]) if figure.rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(figure.rows)
    return text.getvalue()
