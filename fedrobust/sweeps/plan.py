"""What a sweep is going to cost, and which of its cells share work: nothing is trained."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrobust.config import Experiment
from fedrobust.runs.checkpoint import KEPT
from fedrobust.runs.codec import read
from fedrobust.runs.forecast import Forecast
from fedrobust.runs.record.parts import ForecastRecord
from fedrobust.study import Study
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.halving import Halving
from fedrobust.sweeps.shared_rounds import attacked_later, fork_key, shared_rounds, why_alone

NOT_COST = ("name", "seed", "engine", "output", "poisoning")
"""Settings that a forecast does not depend on: an attack's own work is not forecast."""


@dataclass(frozen=True)
class SharedWork:
    """Cells with the same first rounds.

    Attributes:
        rounds: number of these rounds, which the first of the cells runs.
        cells: at least two.
        models: at most so many of their models are kept for the other cells.
    """

    rounds: int
    cells: tuple[Cell, ...]
    models: int


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is going to cost.

    Attributes:
        name: of the sweep.
        cells: their number.
        finished: of these, the number with a result in the sweep's folder.
        missing: of these, the number whose data are not on this machine.
        workers: cells at a time.
        shared: cells that share work.
        alone: why the other cells share none -> their number.
        networks: number of groups of cells with the same data, model and training: compiled graphs, initial weights
            and features of frozen layers are made once for each.
        seconds: of all rounds and evaluations, over all workers; without starting, attacks and later stages.
        saved_seconds: of the rounds that are not run twice.
        memory_bytes: of all workers together, at most.
        available_bytes: free memory.
        disk_bytes: of the sweep's folder, at most.
        free_disk_bytes: free at that place.
        halving_rounds: after these only the best cells go on: `seconds` is what the sweep would take if all did.
    """

    name: str
    cells: int
    finished: int
    missing: int
    workers: int
    shared: tuple[SharedWork, ...]
    alone: Mapping[str, int]
    networks: int
    seconds: float
    saved_seconds: float
    memory_bytes: int
    available_bytes: int
    disk_bytes: int
    free_disk_bytes: int
    halving_rounds: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        shared = [
            {"rounds": one.rounds, "cells": [dict(cell.settings) for cell in one.cells]}
            for one in self.shared
        ]
        numbers = {
            name.replace("_", "-"): getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("shared", "alone")
        }
        return {**numbers, "shared": shared, "alone": dict(self.alone)}


def plan_of(
    name: str,
    cells: Sequence[Cell],
    waiting: Sequence[Cell],
    missing: int,
    workers: int,
    free_disk: int,
    forecast: Callable[[Experiment], Forecast],
    halving: Halving | None = None,
) -> SweepPlan:
    """Return the plan of a sweep.

    Args:
        name: of the sweep.
        cells: all of them.
        waiting: those to run.
        missing: the number of those that cannot be run.
        workers: cells at a time.
        free_disk: bytes.
        forecast: of one study; called once for all cells that differ only in seed and attack.
        halving: of the sweep.
    """
    alone: dict[str, int] = {}
    groups: dict[str, list[Cell]] = {}
    for cell in waiting:
        study = Study.of(cell.experiment)
        groups.setdefault(fork_key(study) or why_alone(study), []).append(cell)
    shared = []
    for group in groups.values():
        study = Study.of(group[0].experiment)
        why = why_alone(study)
        if why or len(group) == 1:
            reason = why or "no other cell has the same first rounds"
            alone[reason] = alone.get(reason, 0) + len(group)
        else:
            rounds = shared_rounds(study)
            shared.append(SharedWork(rounds, tuple(group), rounds if attacked_later(study) else 1))
    costs = costs_of(waiting, forecast)
    workers = max(1, min(workers, len(waiting)))
    whole = sum(one.study_seconds for one in costs.values())
    saved = sum(
        work.rounds / cell.experiment.federation.rounds * costs[cell.hash].study_seconds
        for work in shared
        for cell in work.cells[1:]
    )
    most = max((one.memory_bytes for one in costs.values()), default=0)
    drafts = {hash_: 2 * (KEPT + 1) * one.message_bytes for hash_, one in costs.items()}
    kept = sum(one.disk_bytes - drafts[hash_] for hash_, one in costs.items())
    forks = sum(2 * costs[work.cells[0].hash].message_bytes * work.models for work in shared)
    return SweepPlan(
        name=name,
        cells=len(cells),
        finished=len(cells) - missing - len(waiting),
        missing=missing,
        workers=workers,
        shared=tuple(shared),
        alone=alone,
        networks=len({cell.graph_key for cell in waiting}),
        seconds=(whole - saved) / workers,
        saved_seconds=saved / workers,
        memory_bytes=workers * most,
        available_bytes=max((one.available_bytes for one in costs.values()), default=0),
        disk_bytes=kept + workers * max(drafts.values(), default=0) + forks,
        free_disk_bytes=free_disk,
        halving_rounds=halving.rounds if halving else (),
    )


def costs_of(cells: Iterable[Cell], forecast: Callable[[Experiment], Forecast]) -> dict[str, Forecast]:
    """Return the forecast of each cell by its hash; see `plan_of`."""
    known: dict[str, Forecast] = {}
    found = {}
    for cell in cells:
        values = {key: one for key, one in cell.experiment.to_dict().items() if key not in NOT_COST}
        values["federation"] = {
            key: one for key, one in values["federation"].items() if not key.startswith("tolerate")
        }
        key = json.dumps(values, sort_keys=True)
        if key not in known:
            known[key] = forecast(cell.experiment.changed(engine__workers=1, output__report=False))
        found[cell.hash] = known[key]
    return found


def as_forecast(figures: Mapping[str, Any]) -> Forecast:
    """Return a forecast from its figures as in ``result.json``."""
    found = read(ForecastRecord, figures)
    return Forecast(**{name: getattr(found, name) for name in ForecastRecord.__dataclass_fields__})


def existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.is_dir())
