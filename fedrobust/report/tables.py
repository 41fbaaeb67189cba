"""What a table of the page holds: text, and nothing that has to be computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Cell:
    """A number, and what stands small beneath it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column names the rows; `groups` are headings, each with the columns it spans."""

    corner: str
    head: Sequence[Cell]
    rows: Sequence[tuple[Cell, Sequence[Cell]]]
    caption: str = ""
    groups: Sequence[tuple[str, int]] = ()

    @property
    def starts(self) -> set[int]:
        """The columns that open a named group."""
        ends = accumulate(columns for _, columns in self.groups)
        return {end - columns for end, (name, columns) in zip(ends, self.groups, strict=True) if name}
