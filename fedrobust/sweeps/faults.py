"""The errors in the settings of a sweep's cells, each reported once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fedrobust.config import ConfigError
from fedrobust.errors import FedrobustError
from fedrobust.sweeps.values import shown

MOST_FAULTS = 20
"""Number of different errors that are reported."""


@dataclass
class Faults:
    """The errors of cells: each once, with the number of cells that have it.

    Attributes:
        name: of the sweep.
        cells: error -> the settings of the cells that have it.
    """

    name: str
    cells: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    @contextmanager
    def of(self, settings: Mapping[str, Any]) -> Iterator[None]:
        """Record an error raised in the block for the cell with these `settings`, without raising it."""
        try:
            yield
        except FedrobustError as error:
            self.cells.setdefault(str(error), []).append(settings)

    def refuse(self, count: int) -> None:
        """Raise the recorded errors of `count` cells.

        Raises:
            ConfigError: there are some.
        """
        lines = []
        for fault, cells in list(self.cells.items())[:MOST_FAULTS]:
            where = (
                ", ".join(f"{key} = {shown(value)}" for key, value in cells[0].items()) or "its fixed values"
            )
            many = f"{len(cells)} of {count} cells, the first " if len(cells) > 1 else ""
            lines.append(f"{self.name}: {many}with {where}: {fault}")
        if len(self.cells) > MOST_FAULTS:
            lines.append(f"{self.name}: and {len(self.cells) - MOST_FAULTS} other faults")
        if lines:
            raise ConfigError("\n".join(lines))
