"""Attacks on the privacy of a finished run.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedrobust.api.model_request import write_json
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.leakage import LeakageAttack, leakage_attack_named
from fedrobust.leakage.contract import check_federations
from fedrobust.report.page import write as write_report
from fedrobust.runs.environment import environment
from fedrobust.runs.events import Listener, StageStarted, emit, listening
from fedrobust.runs.privacy_page import privacy_page
from fedrobust.runs.record import CardRecord
from fedrobust.runs.record.leakage import LeakageRecord
from fedrobust.runs.resume_command import resume_command
from fedrobust.runs.run import Run
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study
from fedrobust.study.of_run import study_of_run

FILE = "leakage.json"

USUAL = ("loss", "lira", "rmia", "trajectory", "update-alignment", "one-run-audit")
"""Attacks that are made if none is named."""


def attack_privacy(
    run: str | Path,
    attacks: Iterable[str] = (),
    *listeners: Listener,
    shadows: int = 0,
    workers: int = 0,
    seed: int = 0,
    data_root: str | Path = "",
) -> dict[str, Any]:
    """Attack the privacy of a run: whose images trained it, what its updates show; the result is in ``leakage.json``.

    Membership attacks that need shadows train them first: federations of the same study, each on half of the training
    images, below ``shadows/`` in the run's folder. Finished ones are not trained again.

    Args:
        run: folder of a finished simulation.
        attacks: such as "lira(shadows=64)"; `fedrobust list leakage` names them; by default all usual ones.
        listeners: called with every event.
        shadows: shadow federations of attacks that do not set their number; 0: the attack's default.
        workers: shadow federations at a time; 0: one per core.
        seed: of everything random.
        data_root: folder that is searched first for data.

    Returns:
        The content of ``leakage.json``; see `docs/leakage.md`.

    Raises:
        RunFolderError, ConfigError, DataError: the run or a setting cannot be used.

    Example:
        >>> found = fedrobust.attack_privacy("runs/one", ["loss", "lira(shadows=32)"])  # doctest: +SKIP
        >>> found["membership"][0]["auc"]  # doctest: +SKIP
        0.53
    """
    made = named(tuple(attacks) or USUAL, shadows)
    finished = Run.open(run)
    study = study_of(finished, data_root)
    start_tensorflow(cores())
    # Starts TensorFlow.
    from fedrobust.exposure.leak import Leak

    with listening(*listeners), finished.folder.locked():
        leak = Leak(finished, study, made, seed, lambda text: emit(StageStarted(text)), workers)
        record = leak.made(environment(cores()))
        content = record.to_json()
        write_json(finished.folder.file(FILE), content)
        _write_pages(finished, record)
    return {**content, "folder": str(finished.path)}


def _write_pages(run: Run, found: LeakageRecord) -> None:
    """Write the privacy page into the run's card and report, where it has them."""
    card = run.folder.file("card.json")
    if card.is_file():
        page = privacy_page(run.record.privacy, found)
        write_json(card, replace(CardRecord.read(run.folder.read_json("card.json")), privacy=page).to_json())
    if run.report.is_file():
        write_report(run.path)


def named(specs: tuple[str, ...], shadows: int = 0) -> dict[str, LeakageAttack]:
    """Return the attacks by their specs.

    Raises:
        ConfigError: one is given twice, or the number of shadows is odd or too small.
        SpecError, UnknownNameError: there is no such attack, or it takes other settings.
    """
    if shadows:
        check_federations(shadows)
    found: dict[str, LeakageAttack] = {}
    for spec in specs:
        if spec in found:
            raise ConfigError(f'attack = "{spec}": given twice')
        defaults = {"shadows": shadows} if shadows else {}
        found[spec] = leakage_attack_named(spec, **defaults)
        count = found[spec].federations
        if count:
            check_federations(count, spec)
    return found


def study_of(run: Run, data_root: str | Path = "") -> Study:
    """Return the study of a run that can be attacked.

    Raises:
        ConfigError: the run is not finished, its data changed, its images are multi-label, or clients draw their images
            on demand.
    """
    if run.status != "finished":
        command = resume_command(run.path, run.record.sites is not None)
        raise ConfigError(f"{run.path}: the run is not finished ({run.status}): {command}")
    study = study_of_run(run, data_root)
    if study.dataset.multilabel:
        raise ConfigError(
            f'data.name = "{run.experiment.data.name}" is multi-label: attacks on privacy take data with one class an '
            "image"
        )
    if not isinstance(study.partition.shards, tuple):
        raise ConfigError(
            f'data.partition = "{run.experiment.data.partition}": clients share images, so that no image is one '
            'client\'s; choose a partition that deals them out, such as "iid"'
        )
    return study
