"""Tables of the page, with all content as text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True)
class Cell:
    """A number, and a note in small print below it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose first column has the names of rows; `groups` are headings, each with the number of its columns."""

    corner: str
    head: Sequence[Cell]
    rows: Sequence[tuple[Cell, Sequence[Cell]]]
    caption: str = ""
    groups: Sequence[tuple[str, int]] = ()

    @property
    def starts(self) -> set[int]:
        """The indices of the first columns of named groups."""
        ends = accumulate(columns for _, columns in self.groups)
        return {end - columns for end, (name, columns) in zip(ends, self.groups, strict=True) if name}
