"""Sweeps, and comparison of runs."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fedrobust.sweeps.bench import bench as run_cells
from fedrobust.sweeps.compare import compare as side_by_side
from fedrobust.sweeps.source import SweepSource
from fedrobust.sweeps.sweep import Sweep

if TYPE_CHECKING:
    import pandas

    from fedrobust.sweeps.events import SweepListener
    from fedrobust.sweeps.results import Results


def bench(
    sweep: str | Path,
    *listeners: "SweepListener",
    out: str | Path = "",
    workers: int = 0,
    overrides: Iterable[str] = (),
    only: Iterable[str] = (),
    data_root: str = "",
) -> "Results":
    """Run the unfinished cells of a sweep in parallel, and return the results.

    Args:
        sweep: path of a study file in which any value may be a list of values.
        listeners: called with every event (see `fedrobust.sweeps.events`).
        out: the sweep's folder; ``runs/NAME-sweep`` if empty.
        workers: cells run in parallel; 0 for one per core.
        overrides: ``"seed=[0, 1, 2]"``, as on the command line.
        only: ``"data.name=breastmnist"``: cells that differ from it are left out.
        data_root: folder that is searched first for data.

    Raises:
        ConfigError, DataError: a cell is not a valid study; nothing was run.
        RunFolderError: another process runs a sweep in `out`.
    """
    overrides, only = tuple(overrides), tuple(only)
    whole = Sweep.load(sweep, overrides, data_root)
    part = whole.only(only) if only else whole
    folder = Path(out or Path("runs") / f"{whole.name}-sweep").expanduser()
    source = SweepSource.of(sweep, whole, overrides, only, data_root)
    return run_cells(part, folder, *listeners, workers=workers, whole=whole, source=source)


def resume_bench(folder: str | Path, *listeners: "SweepListener", workers: int = 0) -> "Results":
    """Resume the sweep in `folder` as it was started: the same file, settings and choice of cells.

    Args:
        folder: of the sweep.
        listeners: called with every event.
        workers: cells run in parallel; 0 for one per core.

    Raises:
        SweepError: there is no sweep in it.
        ConfigError, DataError: a cell is not a valid study any more.
        RunFolderError: another process runs a sweep in it.
    """
    place = Path(folder).expanduser()
    source = SweepSource.read(place)
    whole = source.sweep(place)
    part = whole.only(source.only) if source.only else whole
    return run_cells(part, place, *listeners, workers=workers, whole=whole)


def compare(paths: Iterable[str | Path]) -> "pandas.DataFrame":
    """Return a table with one row per run: its status, the settings in which runs differ, its metrics.

    Args:
        paths: run folders, or sweep folders for all of their cells, finished or not.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.
    """
    return side_by_side(list(paths))
