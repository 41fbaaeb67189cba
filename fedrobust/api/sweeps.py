"""Sweeps, and comparison of runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any

from fedrobust.api.studies import experiment
from fedrobust.config import Experiment
from fedrobust.cores import cores
from fedrobust.engines.simulate import diagnose
from fedrobust.sweeps import over_seeds as tables
from fedrobust.sweeps.bench import bench as run_cells
from fedrobust.sweeps.bench import check_cells, finished_in, missing
from fedrobust.sweeps.compare import compare as side_by_side
from fedrobust.sweeps.folder import folder_of
from fedrobust.sweeps.plan import SweepPlan, as_forecast, existing, plan_of
from fedrobust.sweeps.ranks import Ranks, ranks_of
from fedrobust.sweeps.results import Results
from fedrobust.sweeps.seeds import seeds_of
from fedrobust.sweeps.source import SweepSource
from fedrobust.sweeps.sweep import Sweep

if TYPE_CHECKING:
    import pandas

    from fedrobust.sweeps.events import SweepListener


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
        out: the sweep's folder; ``NAME-sweep`` below ``output.root`` (``runs``) if empty.
        workers: cells run in parallel; 0 for one per core.
        overrides: ``"seed=[0, 1, 2]"``, as on the command line.
        only: ``"data.name=breastmnist"``: cells that differ from it are left out.
        data_root: folder that is searched first for data.

    Raises:
        ConfigError, DataError: a cell is not a valid study; nothing was run.
        RunFolderError: another process runs a sweep in `out`, or it is the folder of a run.

    Example:
        >>> results = fedrobust.bench("rules.toml", overrides=["seed=[0, 1]"])  # doctest: +SKIP
        >>> results.table  # doctest: +SKIP
    """
    overrides, only = tuple(overrides), tuple(only)
    whole = Sweep.load(sweep, overrides, data_root)
    part = whole.only(only) if only else whole
    folder = folder_of(whole, out, "sweep")
    source = SweepSource.of(sweep, whole, overrides, only, data_root)
    return run_cells(part, folder, *listeners, workers=workers, whole=whole, source=source)


def run_seeds(
    study: str | Path | Experiment | None = None,
    seeds: int = 5,
    *listeners: "SweepListener",
    out: str | Path = "",
    workers: int = 0,
    overrides: Iterable[str] = (),
    **settings: Any,
) -> "Results":
    """Run a study once for each of several seeds, as a sweep over ``seed``, and return the results.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        seeds: their number, from 2 up: the study's own seed and those that follow it.
        listeners: called with every event (see `fedrobust.sweeps.events`).
        out: the sweep's folder; ``NAME-seeds`` below ``output.root`` (``runs``) if empty. Finished seeds are not run
            again.
        workers: runs at a time; 0 for one per core.
        overrides: ``"federation.clients=20"``, as on the command line.
        settings: ``federation__clients=20``.

    Raises:
        ConfigError, DataError: the study cannot be run as written; nothing was run.
        RunFolderError: another process runs a sweep in `out`, or it is the folder of a run.

    Example:
        >>> results = fedrobust.run_seeds("breast", seeds=5)  # doctest: +SKIP
        >>> fedrobust.over_seeds([results.folder])["balanced_accuracy"]  # doctest: +SKIP
    """
    sweep, source = seeds_of(experiment(study, overrides, **settings), seeds)
    folder = folder_of(sweep, out, "seeds")
    return run_cells(sweep, folder, *listeners, workers=workers, source=source)


def open_sweep(path: str | Path) -> "Results":
    """Return the results of the sweep in a folder, finished or not.

    Raises:
        SweepError: there is none.

    Example:
        >>> fedrobust.open_sweep("runs/rules-sweep").table  # doctest: +SKIP
    """
    return Results.open(path)


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


def plan_bench(
    sweep: str | Path | None = None,
    out: str | Path = "",
    workers: int = 0,
    overrides: Iterable[str] = (),
    only: Iterable[str] = (),
    data_root: str = "",
) -> SweepPlan:
    """Return what a sweep is going to cost, and which of its cells share work; train nothing.

    Every combination is checked, and the clients of one of the cells that differ only in seed and attack make a trial
    step.

    Args:
        sweep: path of a sweep file; None to plan the rest of the sweep in `out`.
        out: the sweep's folder; ``NAME-sweep`` below ``output.root`` (``runs``) if empty.
        workers: cells run in parallel; 0 for one per core.
        overrides: ``"seed=[0, 1, 2]"``, as on the command line.
        only: ``"data.name=breastmnist"``: cells that differ from it are left out.
        data_root: folder that is searched first for data.

    Raises:
        ConfigError, DataError: a cell is not a valid study.
        SweepError: there is no sweep in `out` to go on with.
        RunFolderError: `out` is the folder of a run.

    Example:
        >>> fedrobust.plan_bench("rules.toml").seconds  # doctest: +SKIP
    """
    if sweep is None:
        folder = Path(out).expanduser()
        source = SweepSource.read(folder)
        whole, wanted = source.sweep(folder), source.only
    else:
        whole, wanted = Sweep.load(sweep, tuple(overrides), data_root), tuple(only)
        folder = folder_of(whole, out, "sweep")
    part = whole.only(wanted) if wanted else whole
    absent, done = missing(part), finished_in(folder)
    here = [cell for cell in part.cells if id(cell) not in absent]
    waiting = [cell for cell in here if cell.hash not in done]
    check_cells(part, waiting)
    free = disk_usage(existing(folder)).free
    return plan_of(
        part.name,
        part.cells,
        waiting,
        len(absent),
        workers or cores(),
        free,
        lambda experiment: as_forecast(diagnose(experiment).figures),
        part.halving,
    )


def compare(paths: Iterable[str | Path]) -> "pandas.DataFrame":
    """Return a table with one row per run: its status, the settings in which runs differ, its metrics.

    Args:
        paths: run folders, or sweep folders for all of their cells, finished or not.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.

    Example:
        >>> fedrobust.compare(["runs/one", "runs/other"])["accuracy"]  # doctest: +SKIP
    """
    return side_by_side(list(paths))


def over_seeds(paths: Iterable[str | Path]) -> "pandas.DataFrame":
    """Return means over seeds: one row for each combination of the other settings.

    Args:
        paths: run folders, or sweep folders for all of their cells.

    Returns:
        The settings, ``seeds`` (number of seeds with a finished run), and of every metric ``accuracy``,
        ``accuracy low`` and ``accuracy high``: its mean and the limits of the mean's 95 % interval (Student's t), NaN
        with one seed. A seed counts once: of finished runs with the same settings and seed the first; the others are
        named in ``attrs["repeated"]``.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.

    Example:
        >>> fedrobust.over_seeds(["runs/rules-sweep"])["attack-success"]  # doctest: +SKIP
    """
    return tables.over_seeds(compare(paths))


def ranks(paths: Iterable[str | Path], metric: str = "") -> Ranks:
    """Return the mean ranks of rules over the settings of a sweep, with critical differences, and paired tests.

    A setting is a combination of what varies beside rule and seed, with its mean over seeds; where nothing else varies,
    each seed is one. Friedman's test as of Iman and Davenport, Nemenyi's critical difference (Demsar, 2006); pairs of
    rules by the paired t test over seeds, corrected after Holm. With fewer than three seeds pairs are not tested.

    Args:
        paths: sweep folders, or run folders.
        metric: such as "balanced_accuracy"; the first usual one if empty.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.
        ConfigError: no run has the metric, or there are not two rules with results in one setting.

    Example:
        >>> fedrobust.ranks(["runs/rules-sweep"], "attack-success").rules  # doctest: +SKIP
    """
    return ranks_of(compare(paths), metric)


def markdown_table(paths: Iterable[str | Path], metrics: Sequence[str] = ()) -> str:
    """Return means over seeds as a Markdown table, with half the width of their 95 % intervals.

    Args:
        paths: run folders, or sweep folders for all of their cells.
        metrics: its columns; accuracy, AUC, the strongest attack's and attack success if empty.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.
        ConfigError: no run has one of the metrics.

    Example:
        >>> print(fedrobust.markdown_table(["runs/rules-sweep"], ["attack-success"]))  # doctest: +SKIP
    """
    return tables.markdown(tables.over_seeds(compare(paths)), metrics)


def tidy(paths: Iterable[str | Path]) -> "pandas.DataFrame":
    """Return runs with one value a row: run, settings, status, ``metric`` and ``value``.

    Args:
        paths: run folders, or sweep folders for all of their cells.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.

    Example:
        >>> fedrobust.tidy(["runs/rules-sweep"]).to_csv("rules.csv", index=False)  # doctest: +SKIP
    """
    return tables.tidy(compare(paths))


def latex_table(paths: Iterable[str | Path], metrics: Sequence[str] = ()) -> str:
    """Return means over seeds as a LaTeX table, for the package booktabs.

    Args:
        paths: run folders, or sweep folders for all of their cells.
        metrics: its columns, such as "balanced_accuracy"; accuracy, AUC, the strongest attack's and attack success if
            empty.

    Raises:
        RunFolderError, SweepError: a folder has no run, or there is nothing to compare.
        ConfigError: no run has one of the metrics.

    Example:
        >>> print(fedrobust.latex_table(["runs/rules-sweep"], ["attack-success"]))  # doctest: +SKIP
    """
    return tables.latex(tables.over_seeds(compare(paths)), metrics)
