"""The Python interface: everything that the command line does, as functions."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.data.load import available, describe, load
from fedrobust.registry import Registry
from fedrobust.runs.checkpoint import resumable
from fedrobust.runs.events import Listener
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.run import Run
from fedrobust.simulation.simulate import diagnose, simulate
from fedrobust.spec import settings_of

if TYPE_CHECKING:
    import pandas

    from fedrobust.sweeps.events import SweepListener
    from fedrobust.sweeps.results import Results

WITHOUT_TENSORFLOW = ("rules", "pre-aggregators", "server-optimizers", "poisoning")

FAMILIES = {
    "models": ("fedrobust.models.architectures", "ARCHITECTURES"),
    "recipes": ("fedrobust.training.recipes", "RECIPES"),
    "optimizers": ("fedrobust.training.optimizers", "OPTIMIZERS"),
    "attacks": ("fedrobust.evasion", "ATTACKS"),
    "rules": ("fedrobust.aggregation", "RULES"),
    "pre-aggregators": ("fedrobust.aggregation", "PRE_AGGREGATORS"),
    "server-optimizers": ("fedrobust.aggregation", "SERVER_OPTIMIZERS"),
    "poisoning": ("fedrobust.poisoning", "POISONING"),
}


def experiment(
    study: str | Path | Experiment | None = None, overrides: Iterable[str] = (), **settings: Any
) -> Experiment:
    """Return a study from a TOML file, an `Experiment`, or nothing (the quickstart), with settings applied.

    Args:
        study: path of a study file, an experiment, or None.
        overrides: ``"federation.clients=20"``, as on the command line.
        settings: ``federation__clients=20``.

    Raises:
        ConfigError: a key, a type or a combination is wrong; the message names it and what is allowed.
    """
    if isinstance(study, Experiment):
        return study.changed(overrides, **settings)
    if study is None:
        return Experiment.quickstart(overrides, **settings)
    return Experiment.load(study, overrides, **settings)


def run(
    study: str | Path | Experiment | None = None,
    *listeners: Listener,
    out: str | Path = "",
    overrides: Iterable[str] = (),
    **settings: Any,
) -> Run:
    """Run a study: federate, attack, distil, export, report.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        listeners: called with every event (see `fedrobust.runs.events`); nothing is printed by itself.
        out: the run folder; a new one below ``output.root`` if empty.
        overrides: ``"federation.clients=20"``, as on the command line.
        settings: ``federation__clients=20``.

    Raises:
        ConfigError, DataError, ModelError: the study cannot be run as written; nothing was trained.
        RoundError: a round had too few replies. The run folder is kept.
    """
    if out:
        settings["output__dir"] = str(out)
    return simulate(experiment(study, overrides, **settings), *listeners)


def doctor(
    study: str | Path | Experiment | None = None,
    *listeners: Listener,
    overrides: Iterable[str] = (),
    **settings: Any,
) -> Mapping[str, Any]:
    """Return what a study will cost in time, memory and messages, from trial steps on this machine; train nothing.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        listeners: called with every event.
        overrides: ``"federation.clients=20"``, as on the command line.
        settings: ``federation__clients=20``.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written.
    """
    return diagnose(experiment(study, overrides, **settings), *listeners).figures


def resume(folder: str | Path, *listeners: Listener, overrides: Iterable[str] = (), **settings: Any) -> Run:
    """Go on with an unfinished run where its last checkpoint stands, and return it.

    It ends with the same bits as if it had never stopped. A finished run is returned as it is.

    Args:
        folder: the run folder.
        listeners: called with every event.
        overrides: ``"engine.workers=4"``; other sections than ``[engine]`` are the run's own.
        settings: ``engine__name="ray"``.

    Raises:
        RunFolderError: it is no run folder, it has no checkpoint, or another process is running in it.
        ConfigError: a setting is wrong or not one of ``[engine]``.
    """
    run_folder = RunFolder.open(folder)
    if run_folder.file("result.json").exists() and (finished := Run.open(folder)).status == "finished":
        return finished
    return simulate(resumable(run_folder).changed(overrides, **settings), *listeners)


def open_run(path: str | Path) -> Run:
    """Return the run in a folder."""
    return Run.open(path)


def write_report(path: str | Path) -> Path:
    """Write ``report.html`` of a run folder anew and return its path."""
    from fedrobust.report.page import write

    return write(Run.open(path).path)


def bench(
    sweep: str | Path,
    *listeners: "SweepListener",
    out: str | Path = "",
    workers: int = 0,
    overrides: Iterable[str] = (),
    data_root: str = "",
) -> "Results":
    """Run the cells of a sweep that are not finished yet, several at a time, and return the results.

    Args:
        sweep: path of a study file in which any value may be a list of values.
        listeners: called with every event (see `fedrobust.sweeps.events`).
        out: the sweep's folder; ``runs/NAME-sweep`` if empty.
        workers: cells run at a time; 0 for one a core.
        overrides: ``"seed=[0, 1, 2]"``, as on the command line.
        data_root: folder where data are looked for first.

    Raises:
        ConfigError, DataError: a cell is no valid study; nothing was run.
        RunFolderError: another process runs a sweep in `out`.
    """
    from fedrobust.sweeps.bench import bench as run_cells
    from fedrobust.sweeps.sweep import Sweep

    cells = Sweep.load(sweep, overrides, data_root)
    return run_cells(cells, out or Path("runs") / f"{cells.name}-sweep", *listeners, workers=workers)


def compare(paths: Iterable[str | Path]) -> "pandas.DataFrame":
    """Return a table with a column a run: the settings in which runs differ, then their figures.

    Args:
        paths: run folders, or folders of sweeps, which stand for their finished cells.

    Raises:
        RunFolderError, SweepError: a folder holds no run, or there is nothing to compare.
    """
    from fedrobust.sweeps.compare import compare as side_by_side

    return side_by_side(list(paths))


def load_dataset(name: str, size: int = 28, root: str | Path = "", **settings: Any) -> Dataset:
    """Return a data set by name or path; see `fedrobust.data.load.load`."""
    return load(name, size, root, **settings)


def list_datasets(root: str | Path = "") -> list[dict[str, Any]]:
    """Return what is known of every MedMNIST set and the phantom, and which files are on the disk."""
    return [asdict(row) for row in available(root)]


def describe_dataset(name: str, size: int = 28, root: str | Path = "", **settings: Any) -> dict[str, Any]:
    """Return counts, shapes, source, licence and digest of a data set."""
    return describe(load(name, size, root, **settings))


def members(family: str) -> dict[str, str]:
    """Return the names of a family (a key of `FAMILIES`) with one line each, and the settings that they take.

    Raises:
        KeyError: there is no such family.
    """
    if family not in FAMILIES:
        raise KeyError(f"{family!r}: choose one of {', '.join(FAMILIES)}")
    from fedrobust.runtime import start_tensorflow

    module, name = FAMILIES[family]
    if family not in WITHOUT_TENSORFLOW:
        start_tensorflow()
    registry: Registry = getattr(import_module(module), name)
    return {member: _summary(registry[member]) + _settings(registry[member]) for member in registry}


def _settings(member: Any) -> str:
    known = settings_of(member)
    return f" [{', '.join(f'{name}={default!r}' for name, default in known.items())}]" if known else ""


def _summary(member: Any) -> str:
    text = getattr(member, "summary", None) or (member.__doc__ or "").strip().splitlines()[0]
    return str(text)
