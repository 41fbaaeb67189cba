"""Exported files as a table on the terminal, and what is said below it."""

from collections.abc import Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.runs.codec import read
from fedrobust.runs.record.export import ExportResultRecord
from fedrobust.terminal.figures import percent
from fedrobust.terminal.summary import files_table


def table(content: Mapping[str, Any]) -> Table:
    """Return the figures of the files, of the content of an ``export.json``."""
    found = read(ExportResultRecord, content)
    title = f"{found.model.name}: {found.data.n} test images of {found.data.name}, accuracy {percent(found.accuracy)}"
    return files_table(found.files, title)


def lines(content: Mapping[str, Any]) -> list[str]:
    """Return the robustness of the file to take and notes, in Rich's markup."""
    found = read(ExportResultRecord, content)
    said = [f"[dim]{escape(note)}[/]" for note in found.notes]
    one = found.robustness
    if one is None or not one.n:
        return said
    attacks = ", ".join(f"{attack} {right}" for attack, right in one.right.items())
    model = ", ".join(f"{attack} {right}" for attack, right in one.model_right.items())
    said.insert(
        0,
        escape(
            f"{one.file} under attack, {one.norm} {one.epsilon}, {one.n} images: {percent(one.accuracy)} right under "
            f"the worst of all attacks ({attacks}), {percent(one.clean / one.n)} without; the model itself: {model}."
        ),
    )
    if one.masked:
        said.insert(1, "[yellow]Rounding hides the file's gradient: it is at most as robust as its model.[/]")
    return said
