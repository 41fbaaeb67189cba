"""The Python interface: everything that the command line does, as functions."""

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.atomic import atomic
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.data.load import available, describe, load
from fedrobust.registry import Registry
from fedrobust.runs.checkpoint import resumable
from fedrobust.runs.environment import environment
from fedrobust.runs.events import AttackProgressed, CheckFinished, Listener, emit, listening, teller
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.run import Run
from fedrobust.simulation.simulate import diagnose, simulate
from fedrobust.spec import settings_of

if TYPE_CHECKING:
    import keras
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
    only: Iterable[str] = (),
    data_root: str = "",
) -> "Results":
    """Run the cells of a sweep that are not finished yet, several at a time, and return the results.

    Args:
        sweep: path of a study file in which any value may be a list of values.
        listeners: called with every event (see `fedrobust.sweeps.events`).
        out: the sweep's folder; ``runs/NAME-sweep`` if empty.
        workers: cells run at a time; 0 for one a core.
        overrides: ``"seed=[0, 1, 2]"``, as on the command line.
        only: ``"data.name=breastmnist"``: cells that differ from it are left out.
        data_root: folder where data are looked for first.

    Raises:
        ConfigError, DataError: a cell is no valid study; nothing was run.
        RunFolderError: another process runs a sweep in `out`.
    """
    from fedrobust.sweeps.bench import bench as run_cells
    from fedrobust.sweeps.sweep import Sweep

    cells = Sweep.load(sweep, overrides, data_root)
    if only:
        cells = cells.only(only)
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


def attack_model(
    model: "str | Path | keras.Model",
    data: str = "",
    attacks: Iterable[str] = ("fgsm", "pgd"),
    epsilons: Iterable[float | str] = (),
    *listeners: Listener,
    norm: str = "linf",
    space: str = "native",
    bits: int = 0,
    tied: bool = False,
    split: str = "test",
    images: int = 0,
    seed: int = 0,
    data_root: str | Path = "",
    out: str | Path = "",
) -> dict[str, Any]:
    """Attack a Keras model, and return what is left of it; the result is written to ``attack.json``.

    Args:
        model: a ``.keras`` file, a run folder, or a Keras model.
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder, the run's own if empty.
        attacks: such as "pgd(steps=40)"; `fedrobust list attacks` names them.
        epsilons: numbers or fractions of 255; usual ones for the norm if empty.
        listeners: called with every event.
        norm: "linf", "l2" or "l0".
        space: "native" or "prepared".
        bits: 8 for images that a file can hold.
        tied: the colour channels change together.
        split: of the data set.
        images: so many of the split, of every class its share; 0 for all.
        seed: of everything random.
        data_root: folder where data are looked for first.
        out: folder of results; ``runs/NAME-attack`` if empty. What is finished there is not run again.

    Raises:
        ModelFileError, DataError, ConfigError, ThreatError, SpecError: something given cannot be used.
    """
    from fedrobust.runtime import start_tensorflow

    _check_named(model, data)
    start_tensorflow(_cores())
    from fedrobust.audit.plan import Plan
    from fedrobust.audit.table import attack_table
    from fedrobust.evasion import Threat

    threat = Threat(norm=norm, space=space, bits=bits, tied=tied)  # type: ignore[arg-type]
    plan = Plan(threat=threat, curve=tuple(epsilons), seed=seed, epsilon=next(iter(epsilons), _usual(norm)))
    folder = _result_folder(model, out, "attack")
    dataset = _data_of(model, data, data_root)
    with listening(*listeners), ThreadPoolExecutor(_cores()) as pool:
        table = attack_table(
            model,
            dataset,
            plan,
            tuple(attacks),
            split=split,
            images=images,
            folder=folder / "attacks",
            map=workers_map(pool),
            report=_teller(),
            environment=environment(_cores()),
        )
    write_json(folder / "attack.json", table)
    return {**table, "folder": str(folder)}


def audit_model(
    model: "str | Path | keras.Model",
    data: str = "",
    *listeners: Listener,
    epsilon: float | str = "2/255",
    norm: str = "linf",
    space: str = "native",
    bits: int = 0,
    tied: bool = False,
    effort: str = "standard",
    split: str = "test",
    images: int = 0,
    control: str | Path = "",
    teacher: str | Path = "",
    edge: str | Path = "",
    trained_on: Iterable[str] = (),
    seed: int = 0,
    data_root: str | Path = "",
    out: str | Path = "",
) -> dict[str, Any]:
    """Say whether a Keras model's robustness is real; return the card, which is also written to ``card.json``.

    Args:
        model: a ``.keras`` file, a run folder, or a Keras model.
        data: a MedMNIST name, "phantom", or an .npz file; of a run folder, the run's own if empty.
        listeners: called with every event.
        epsilon: what the verdict is about.
        norm: "linf" or "l2".
        space: "native" or "prepared".
        bits: 8 for images that a file can hold.
        tied: the colour channels change together.
        effort: "quick", "standard" or "full".
        split: of the data set.
        images: so many of the split, of every class its share; 0 for all.
        control: the same model without its defence: a file or a run folder.
        teacher: the model that it was distilled from.
        edge: its exported LiteRT file.
        trained_on: names of the attacks that its training used, such as "fgsm".
        seed: of everything random.
        data_root: folder where data are looked for first.
        out: folder of the card; ``runs/NAME-audit`` if empty. What is finished there is not run again.

    Raises:
        ModelFileError, DataError, ConfigError, ThreatError: something given cannot be used.

    Example:
        >>> card = fedrobust.audit_model("model.keras", "breastmnist")  # doctest: +SKIP
        >>> card["verdict"]["word"]  # doctest: +SKIP
        'not robust'
    """
    from fedrobust.runtime import start_tensorflow

    _check_named(model, data)
    start_tensorflow(_cores())
    from fedrobust.audit.file import audit_file
    from fedrobust.audit.plan import Plan
    from fedrobust.evasion import Threat
    from fedrobust.report.card import write as write_card

    threat = Threat(norm=norm, space=space, bits=bits, tied=tied)  # type: ignore[arg-type]
    plan = Plan(epsilon=epsilon, threat=threat, effort=effort, seed=seed)  # type: ignore[arg-type]
    folder = _result_folder(model, out, "audit")
    dataset = _data_of(model, data, data_root)
    used, history = _training_of(model)
    with listening(*listeners), ThreadPoolExecutor(_cores()) as pool:
        card = audit_file(
            model,
            dataset,
            plan,
            split=split,
            images=images,
            control=control,
            teacher=teacher,
            edge=edge,
            trained_on=tuple(trained_on) or used,
            history=history,
            folder=folder / "attacks",
            map=workers_map(pool),
            report=_teller(),
            note=lambda finding: emit(CheckFinished(finding.to_json())),
            environment=environment(_cores()),
        )
    write_json(folder / "card.json", card.content)
    write_card(folder)
    return {**card.content, "folder": str(folder)}


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


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain data as indented JSON, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as draft:
        draft.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def workers_map(pool: Executor) -> Any:
    """Return the `map` of an executor, for attacks."""
    return lambda function, items: pool.map(function, items)


def _usual(norm: str) -> float | str:
    return {"l2": 0.5, "l0": 1}.get(norm, "2/255")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _teller() -> Any:
    """Return what tells the listeners how far an attack is, from any thread."""
    tell = teller()
    return lambda name, progress: tell(AttackProgressed(name, progress.done, progress.left))


def _run_of(model: Any) -> Run | None:
    """Return the run whose folder `model` is, None for anything else."""
    if isinstance(model, str | Path) and (Path(model).expanduser() / "experiment.toml").is_file():
        return Run.open(model)
    return None


def _check_named(model: Any, data: str) -> None:
    """Refuse what needs no TensorFlow to be refused."""
    if not data and _run_of(model) is None:
        raise ConfigError("data: name the images, such as breastmnist or the path of an .npz file")


def _data_of(model: Any, data: str, data_root: str | Path) -> Dataset:
    run = _run_of(model)
    if data or run is None:
        return load(data, root=data_root)
    from fedrobust.study import dataset_of

    settings = {"data__root": str(data_root)} if data_root else {}
    return dataset_of(run.experiment.changed(**settings))


def _training_of(model: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return the attacks that a run's clients trained on, and how its accuracy under PGD-5 went."""
    run = _run_of(model)
    if run is None:
        return (), ()
    recipe = run.experiment.training.recipe
    probes = [entry.get("pgd-probe") for entry in run.result["rounds"]]
    return (recipe,) if recipe != "plain" else (), tuple(probe for probe in probes if probe is not None)


def _result_folder(model: Any, out: str | Path, what: str) -> Path:
    name = Path(model).name if isinstance(model, str | Path) else model.name
    return (Path(out) if str(out) else Path("runs") / f"{name}-{what}").expanduser().resolve()


def _settings(member: Any) -> str:
    known = settings_of(member)
    return f" [{', '.join(f'{name}={default!r}' for name, default in known.items())}]" if known else ""


def _summary(member: Any) -> str:
    text = getattr(member, "summary", None) or (member.__doc__ or "").strip().splitlines()[0]
    return str(text)
