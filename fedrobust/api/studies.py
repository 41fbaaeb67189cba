"""Studies: run one, resume it, forecast its cost, read its run folder."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedrobust.checks.image_remarks import StudyNotice
from fedrobust.config import Experiment
from fedrobust.config.centralized import centralized
from fedrobust.engines.simulate import diagnose, resumed, simulate
from fedrobust.report.page import write as write_page
from fedrobust.runs.callbacks import RoundCallback
from fedrobust.runs.events import Listener
from fedrobust.runs.run import Run
from fedrobust.tracking.watching import Log, watching


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
    callbacks: Iterable[RoundCallback] = (),
    log: Log = (),
    overrides: Iterable[str] = (),
    **settings: Any,
) -> Run:
    """Run a study: federate, attack, distil, export, report.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        listeners: called with every event (see `fedrobust.runs.events`); nothing is printed by itself.
        out: the run folder; a new one below ``output.root`` if empty.
        callbacks: functions of one `RoundRecord`, called after every round, when its checkpoint is on disk. One that
            raises is not called again, and a `CallbackNotice` says so; the run goes on. `KeyboardInterrupt` stops it.
        log: trackers of experiments: "tensorboard", "mlflow", "wandb", or with settings, "mlflow(experiment='breast')".
        overrides: ``"federation.clients=20"``, as on the command line.
        settings: ``federation__clients=20``.

    Raises:
        ConfigError, DataError, ModelError: the study cannot be run as written; nothing was trained.
        RoundError: a round had too few replies. The run folder is kept.
        SpecError: a tracker does not exist, or is not installed; nothing was trained.

    Example:
        >>> def show(record):
        ...     print(record.round, record.clean and record.clean.accuracy, record.clients.loss)
        >>> fedrobust.run("breast", callbacks=[show], log=["mlflow"])  # doctest: +SKIP
    """
    if out:
        settings["output__dir"] = str(out)
    with watching(callbacks, log) as watchers:
        return simulate(experiment(study, overrides, **settings), *listeners, *watchers)


def train(
    study: str | Path | Experiment | None = None,
    *listeners: Listener,
    out: str | Path = "",
    callbacks: Iterable[RoundCallback] = (),
    log: Log = (),
    overrides: Iterable[str] = (),
    **settings: Any,
) -> Run:
    """Train a study's model on all training images in one place: the centralised baseline of its federation.

    One client has all images; rounds, epochs, batches, optimiser and schedule are the study's, so that the model sees
    as many images as with full participation. Partition, aggregation, federated algorithm and poisoning are left out.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        listeners: called with every event (see `fedrobust.runs.events`); nothing is printed by itself.
        out: the run folder; a new one below ``output.root`` if empty.
        callbacks: functions of one `RoundRecord`, called after every round, when its checkpoint is on disk. One that
            raises is not called again, and a `CallbackNotice` says so; the run goes on. `KeyboardInterrupt` stops it.
        log: trackers of experiments: "tensorboard", "mlflow", "wandb", or with settings, "mlflow(experiment='breast')".
        overrides: ``"federation.rounds=20"``, as on the command line.
        settings: ``federation__rounds=20``.

    Raises:
        ConfigError, DataError, ModelError: the study cannot be run as written; nothing was trained.

    Example:
        >>> fedrobust.train("experiments/breast.toml").rounds["auc"]  # doctest: +SKIP
    """
    if out:
        settings["output__dir"] = str(out)
    with watching(callbacks, log) as watchers:
        return simulate(centralized(experiment(study, overrides, **settings)), *listeners, *watchers)


def doctor(
    study: str | Path | Experiment | None = None,
    *listeners: Listener,
    overrides: Iterable[str] = (),
    **settings: Any,
) -> Mapping[str, Any]:
    """Return a forecast of a study's time, memory and messages, from trial steps on this machine; train nothing.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        listeners: called with every event.
        overrides: ``"federation.clients=20"``, as on the command line.
        settings: ``federation__clients=20``.

    Raises:
        ConfigError, DataError, ModelError, DoesNotFitError: the study cannot be run as written.

    Warns:
        StudyNotice: what a run would say before its first round, such as sites that are not heeded.

    Example:
        >>> fedrobust.doctor("experiments/breast.toml", federation__clients=20)  # doctest: +SKIP
    """
    made = diagnose(experiment(study, overrides, **settings), *listeners)
    for remark in made.remarks:
        warnings.warn(remark, StudyNotice, stacklevel=2)
    return made.figures


def resume(
    folder: str | Path,
    *listeners: Listener,
    callbacks: Iterable[RoundCallback] = (),
    log: Log = (),
    overrides: Iterable[str] = (),
    **settings: Any,
) -> Run:
    """Resume an unfinished run from its last checkpoint, and return it.

    Its results are bitwise equal to those of an uninterrupted run. A finished run is returned unchanged, and none of
    its settings can be changed; if its process was stopped before its report, the report is written.

    Args:
        folder: the run folder.
        listeners: called with every event.
        callbacks: called with the record of every further round; see `run`.
        log: trackers of experiments, which get the earlier rounds, too; see `run`.
        overrides: ``"engine.workers=4"``; beside ``[engine]``, only ``output.report`` and
            ``output.keep-every`` may be changed.
        settings: ``engine__name="ray"``.

    Raises:
        RunFolderError: it is not a run folder, it has no checkpoint, or another process is running in it.
        ConfigError: a setting is wrong or one that a resumed run cannot change, or the run is finished and settings are
            given.

    Example:
        >>> fedrobust.resume("runs/one").status  # doctest: +SKIP
        'finished'
    """
    with watching(callbacks, log) as watchers:
        return resumed(folder, *listeners, *watchers, overrides=overrides, **settings)


def open_run(path: str | Path) -> Run:
    """Return the run in a folder.

    Example:
        >>> fedrobust.open_run("runs/one").rounds[["round", "accuracy"]]  # doctest: +SKIP
    """
    return Run.open(path)


def write_report(path: str | Path) -> Path:
    """Write ``report.html`` of a run folder again, and return its path.

    Example:
        >>> fedrobust.write_report("runs/one").name  # doctest: +SKIP
        'report.html'
    """
    return write_page(Run.open(path).path)
