"""One cell in the results of a sweep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One cell in the results.

    Attributes:
        hash: of the cell.
        status: ``finished``; ``invalid``: the attack failed in some round because of a wrong setting, so that the
            metrics say nothing about the defence; ``failed``; ``stopped``; ``dropped``: stopped early, because other
            cells were better (see `fedrobust.sweeps.halving`); ``not run``; ``missing``: cannot be run on this machine.
        settings: its swept values.
        experiment: all settings, nested.
        figures: metrics of a finished cell, by name; see `fedrobust.sweeps.figures.final_figures`, and
            `fedrobust.sweeps.controls` for differences to other cells.
        error: why it has none.
        folder: its run folder, relative to the sweep's.
        code: digest of the code that ran it.
        verdict: of its audit, a word; "" without one.
    """

    hash: str
    status: str
    settings: Mapping[str, Any]
    experiment: Mapping[str, Any]
    figures: Mapping[str, float]
    error: str
    folder: str
    code: str
    verdict: str = ""

    def section(self, name: str) -> Mapping[str, Any]:
        """Return one table of its settings, empty if there is none."""
        held = self.experiment.get(name)
        return held if isinstance(held, Mapping) else {}
