"""Rows about a name in the tables of the repository's pages."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prose import escaped, grid

PROJECT = Path(__file__).parents[2]
TABLE = re.compile(r"(?:^\|.*\|\n)+", re.MULTILINE)
PAGES = {
    "recipes": "docs/studies.md",
    "partitions": "docs/hospitals.md",
    "site-shifts": "docs/hospitals.md",
    "availability": "docs/hospitals.md",
}
"""Pages with tables about a family; of the others, those of the experiments."""


@dataclass(frozen=True)
class Table:
    """One table: the page it stands on, the heading and the sentence above it, its cells."""

    page: Path
    heading: str
    above: str
    rows: tuple[tuple[str, ...], ...]


@cache
def tables_of(pattern: str) -> tuple[Table, ...]:
    """Return the tables of some pages."""
    found = []
    for path in sorted(PROJECT.glob(pattern)):
        text = path.read_text()
        for match in TABLE.finditer(text):
            before = text[: match.start()]
            headings = re.findall(r"^#+ (.+)$", before, re.MULTILINE)
            lines = [split(line) for line in match[0].splitlines()]
            rows = tuple(lines[:1] + lines[2:])
            page = path.relative_to(PROJECT)
            found.append(Table(page, plain(headings[-1]), sentence(before), rows))
    return tuple(found)


def plain(text: str) -> str:
    """Return a text without marks and links."""
    return re.sub(r"[`*]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text))


def sentence(before: str) -> str:
    """Return the paragraph in front of a table, if there is one."""
    above = " ".join(before.rstrip().rpartition("\n\n")[2].split())
    return "" if above.startswith(("#", "|", "`", "<", "*")) else plain(above)


def split(line: str) -> tuple[str, ...]:
    """Return the cells of a line."""
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|")))


def named(cell: str, name: str) -> bool:
    """Return whether a cell speaks of a name, and of nothing else.

    Example:
        >>> named("`pgd(epsilon='8/255', steps=7)`", "pgd"), named("NNM -> median", "median")
        (True, False)
    """
    text = re.sub(r"\(.*", "", re.sub(r"[`*]", "", cell)).split(",")[0]
    return re.sub(r"-\d+\b.*", "", re.sub(r"\s+", "-", text.strip().lower())) == name


def tables_about(name: str, family: str, members: tuple[str, ...]) -> list[str]:
    """Return the parts of a page that show a name's rows and columns; a table is one of a family if it names two."""
    parts = []
    for table in tables_of(PAGES.get(family, "experiments/**/README.md")):
        shown = rows_about(table, name, members) or column_about(table, name, members)
        if shown:
            place = table.page.relative_to("docs") if table.page.parts[0] == "docs" else table.page
            parts += [f"[{escaped(table.heading)}](../../{place}). {escaped(table.above)}", shown]
    return ["## In the project's tables", *parts] if parts else []


def rows_about(table: Table, name: str, members: tuple[str, ...]) -> str:
    """Return a table with the rows of a name; nothing if it has none, or no row of another member."""
    head, *body = table.rows
    rows = [row for row in body if named(row[0], name)]
    others = sum(any(named(row[0], one) for one in members) for row in body)
    return grid([cell or " " for cell in head], rows) if rows and others > 1 else ""


def column_about(table: Table, name: str, members: tuple[str, ...]) -> str:
    """Return a table with the column of a name; nothing if it has none, or no column of another member."""
    head, *body = table.rows
    found = [at for at, cell in enumerate(head) if named(cell, name)]
    if not found or sum(any(named(cell, one) for one in members) for cell in head) < 2:
        return ""
    columns = found[:1] if any(named(head[0], one) for one in members) else [0, found[0]]
    return grid([head[at] or " " for at in columns], [[row[at] for at in columns] for row in body])
