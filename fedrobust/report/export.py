"""The page of exported files."""

import json
from pathlib import Path
from typing import Any

from fedrobust.atomic import atomic
from fedrobust.report import html, wording
from fedrobust.report.errors import ReportError
from fedrobust.report.sections.cells import milliseconds
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent
from fedrobust.runs.codec import read
from fedrobust.runs.record import ExportRecord
from fedrobust.runs.record.export import ExportResultRecord, FileRobustnessRecord


def write(folder: Path) -> Path:
    """Write ``export.html`` from the ``export.json`` in a folder, and return its path.

    Raises:
        ReportError: there is no ``export.json``, or it cannot be read.
    """
    path = folder / "export.json"
    try:
        found = read(ExportResultRecord, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # among them, RecordError
        raise ReportError(f"{path}: {error}") from error
    target = folder / "export.html"
    with atomic(target) as draft:
        text = html.page("export.html.j2", export=section(found))
        draft.write_text(text, encoding="utf-8", errors="replace", newline="\n")
    return target


def section(found: ExportResultRecord) -> dict[str, Any]:
    """Return the page's content."""
    taken = next((one for one in found.files if one.taken), None)
    return {
        "name": found.model.name,
        "taken": taken.file if taken else "",
        "sentence": _sentence(found, taken),
        "alarms": [one.alarm for one in found.files if one.alarm],
        "files": _files(found),
        "attacks": _attacks(found.robustness),
        "robustness": _robustness(found.robustness),
        "notes": list(found.notes),
        "facts": [
            ("Images", f"{found.data.n} of {found.data.name}, {found.data.split} split"),
            ("Calibration", f"{found.calibration or 0} training images"),
            ("Model", f"SHA-256 {found.model.digest[:16]}"),
            ("Data", f"SHA-256 {found.data.digest[:16]}"),
            ("Labels", ", ".join(found.data.labels)),
        ],
    }


def _sentence(found: ExportResultRecord, taken: ExportRecord | None) -> str:
    if taken is None:
        return (
            "Every file changes more than 2 % of the model’s answers: none is the model that was evaluated."
        )
    return (
        f"changes {taken.changed or 0:,} of {found.data.n:,} answers of the model, has "
        f"{wording.size_in_bytes(taken.bytes)} and an accuracy of {percent(taken.accuracy)}; the model’s: "
        f"{percent(found.accuracy)}."
    )


def _files(found: ExportResultRecord) -> Table:
    head = ("Size", "Accuracy", "Changed answers", "Latency of one image", "Peak memory")
    rows = []
    for one in found.files:
        latency = one.latency
        cells = (
            Cell(wording.size_in_bytes(one.bytes)),
            Cell(percent(one.accuracy), wording.interval("accuracy", one.interval)),
            Cell(f"{one.changed or 0:,}", f"{percent(one.agreement)} alike"),
            Cell(milliseconds(latency.p50 or 0.0), f"p95 {milliseconds(latency.p95 or 0.0)}"),
            Cell(wording.size_in_bytes(one.peak_bytes)),
        )
        rows.append((Cell(one.file, "take this" if one.taken else ""), cells))
    return Table("File", tuple(map(Cell, head)), rows)


def _attacks(one: FileRobustnessRecord | None) -> Table | None:
    if one is None or not one.n:
        return None
    rows = [
        (
            Cell(attack),
            (
                Cell(percent(right / one.n), f"{right}/{one.n}"),
                _share(one.model_right.get(attack), one.n),
            ),
        )
        for attack, right in one.right.items()
    ]
    worst = Cell(percent(one.accuracy), wording.interval("accuracy", one.interval))
    rows.append((Cell("Worst of all", "right under every attack"), (worst, Cell(NONE))))
    rows.append((Cell("None", "without an attack"), (_share(one.clean, one.n), Cell(NONE))))
    return Table("Attack", (Cell("The file"), Cell("The model", "as it is")), rows)


def _share(right: int | None, n: int) -> Cell:
    return Cell(NONE) if right is None else Cell(percent(right / n), f"{right}/{n}")


def _robustness(one: FileRobustnessRecord | None) -> str:
    if one is None:
        return "No file was attacked."
    masked = (
        " Rounding hides its gradient: it is at most as robust as its model, whose figures hold."
        if one.masked
        else ""
    )
    return (
        f"{one.file} on {one.n:,} test images, {one.norm}, epsilon {one.epsilon}: adversaries of the model, PGD along "
        f"the model’s gradient at the file’s answers, and two attacks by queries.{masked}"
    )
