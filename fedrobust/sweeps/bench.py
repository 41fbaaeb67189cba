"""Run the unfinished cells of a sweep in parallel processes, and write the page."""

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from fedrobust.checks import check
from fedrobust.checks.image_remarks import tell_of_images
from fedrobust.config import ConfigError
from fedrobust.cores import cores
from fedrobust.data.dataset import NotHereError
from fedrobust.report.completion import complete
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runtime import start_tensorflow
from fedrobust.study import Study
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.events import (
    CellDropped,
    CellFinished,
    CellMissing,
    CellPaused,
    CellStarted,
    SweepEvent,
    SweepFinished,
    SweepListener,
    SweepStarted,
    WorkerReplaced,
)
from fedrobust.sweeps.figures import final_figures
from fedrobust.sweeps.forks import Forks
from fedrobust.sweeps.halving import reached, score_after
from fedrobust.sweeps.page import write
from fedrobust.sweeps.results import FILE, Results, outcome_of, record_in
from fedrobust.sweeps.slots import WorkerSlot, next_cell, stop
from fedrobust.sweeps.source import SweepSource
from fedrobust.sweeps.sweep import Sweep
from fedrobust.sweeps.worker import Order, serve

MOST_FAILURES = 3
"""Number of worker deaths after which a cell counts as failed."""


def bench(
    sweep: Sweep,
    out: str | Path,
    *listeners: SweepListener,
    workers: int = 0,
    whole: Sweep | None = None,
    source: SweepSource | None = None,
) -> Results:
    """Run all cells of `sweep` that are not finished yet, and return the results.

    The failure of a cell is recorded with its reason, and the other cells are run. To continue after an interruption,
    call it again: finished cells are recognised by their hash, others are resumed from their last checkpoint; failed
    and invalid ones are run again.

    Args:
        sweep: the cells.
        out: folder of the sweep, new or with results.
        listeners: called with every event.
        workers: number of cells run in parallel; 0: one per core.
        whole: the sweep of which `sweep` is a subset; its other cells are shown as not run.
        source: the sweep file and options, written into the folder.

    Raises:
        ConfigError: the settings of a cell are wrong; no cell was started.
        RunFolderError: another process runs a sweep in `out`, or it is the folder of a run.
    """
    whole = whole or sweep
    absent = missing(whole)
    folder = Path(out).expanduser()
    finished = finished_in(folder)
    here = [cell for cell in sweep.cells if id(cell) not in absent]
    check_distinct(here)
    check_cells(sweep, [cell for cell in here if cell.hash not in finished])
    results = Results.create(folder)
    with RunFolder(results.folder).locked():
        if source:
            source.write(results.folder)
        return Bench(sweep, results, listeners, workers or cores(), whole, absent).run()


def check_distinct(cells: Sequence[Cell]) -> None:
    """Refuse two cells that are the same study: they would share a folder.

    Raises:
        ConfigError: two cells have one hash: they differ in settings of the engine (but for its client-timeout), the
            output or the data's folder alone, or in two ways to write the same value.
    """
    first: dict[str, Cell] = {}
    for cell in cells:
        other = first.setdefault(cell.hash, cell)
        if other is not cell:
            raise ConfigError(
                f"{other.label} and {cell.label} are the same study: engine (but for client-timeout), output and "
                "data.root are no part of a result, and a default that is written out is the default; take one of "
                "the values out"
            )


class Bench:
    """A running sweep.

    Args:
        sweep: the cells.
        results: of the sweep.
        listeners: called with every event.
        workers: number of processes.
        whole: the sweep of which `sweep` is a subset.
        absent: `id` of a cell of `whole` -> why it cannot be run on this machine.
    """

    def __init__(
        self,
        sweep: Sweep,
        results: Results,
        listeners: Sequence[SweepListener],
        workers: int,
        whole: Sweep,
        absent: Mapping[int, str],
    ):
        self.sweep, self.results, self.listeners = sweep, results, listeners
        here = [cell for cell in whole.cells if id(cell) not in absent]
        self.places = {cell.hash: place for place, cell in enumerate(here)}
        results.begin(here)
        for place, cell in enumerate(whole.cells):
            if id(cell) in absent:
                results.add_missing(cell, place, absent[id(cell)])
        self.missing = {id(cell): absent[id(cell)] for cell in sweep.cells if id(cell) in absent}
        self.wanted = [cell for cell in sweep.cells if id(cell) not in absent]
        self.invalid: set[str] = set()
        self.waiting = self._unfinished(self.wanted)
        self.forks = Forks.of(results.folder, self.waiting)
        self.workers = max(1, min(workers, len(self.waiting)))
        self.halving, self.left, self.until = sweep.halving, list(self.wanted), 0
        self.failures: dict[str, int] = {}
        self.failed = 0
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> Results:
        """Run the unfinished cells, and write the page."""
        finished, rungs = len(self.wanted) - len(self.waiting), self.halving.rounds if self.halving else ()
        folder = str(self.results.folder)
        slots: list[WorkerSlot] = []
        try:
            for cell in self.sweep.cells:
                if id(cell) in self.missing:
                    self._tell(CellMissing(cell, self.missing[id(cell)]))
            self._tell(SweepStarted(self.sweep.name, folder, len(self.sweep.cells), finished, self.workers))
            for self.until in rungs:
                # A finished cell may have stopped before this round: it is not run again.
                self.waiting = [one for one in self._unfinished(self.left) if not self._reached(one)]
                self._work_off(slots)
                self._halve()
            self.until, self.waiting = 0, self._unfinished(self.left) if rungs else self.waiting
            self._work_off(slots)
        finally:
            stop(slots)
            self.write_page()
        self._tell(SweepFinished(self.failed, len(self.missing), str(self.results.page)))
        return self.results

    def _work_off(self, slots: list[WorkerSlot]) -> None:
        """Run the waiting cells; workers are started with the first of them."""
        if self.waiting and not slots:
            slots += [self._started(number) for number in range(self.workers)]
        for slot in slots if self.waiting else ():
            self._hand_out(slot, slots)
        while any(slot.cell for slot in slots):
            self._step(slots)

    def _halve(self) -> None:
        """Drop the cells that do not go on after the round `until`."""
        assert self.halving is not None
        metric = self.halving.metric
        self.left, dropped = self.halving.survivors(
            self.left, lambda cell: score_after(record_in(self._folder(cell)), self.until, metric)
        )
        for cell in self.wanted:
            if why := dropped.get(cell.hash):
                words = (
                    f"stopped early, after round {self.until} of {cell.experiment.federation.rounds}: {why}"
                )
                self.results.drop(cell, self.places[cell.hash], words)
                self.forks.done(cell)
                self._tell(CellDropped(cell, self.until, words))

    def write_page(self) -> None:
        """Write the page of the results so far."""
        write(self.results)

    def _unfinished(self, here: Sequence[Cell]) -> list[Cell]:
        """Return the cells to run; finished runs that are not in the results yet are added to them.

        A cell that was invalid in an earlier sweep is run again, one that was in this sweep is not.
        """
        known, waiting = self.results.finished() | self.invalid, []
        for cell in here:
            if cell.hash in known:
                continue
            run = record_in(self._folder(cell))
            if run is not None and run.status == "finished":
                # A worker of the stopped sweep may not have ended yet: then it completes its own run.
                with suppress(RunFolderError):
                    complete(RunFolder(self._folder(cell)))
            if outcome_of(run)[0] == "finished":
                self.results.add(cell, self.places[cell.hash], run)
            else:
                waiting.append(cell)
        return waiting

    def _reached(self, cell: Cell) -> bool:
        """Return whether a cell has finished the round `until`, in a run that is not begun again."""
        run = record_in(self._folder(cell))
        again = cell.hash not in self.invalid and outcome_of(run)[0] == "invalid"
        return reached(run, self.until) and not again

    def _folder(self, cell: Cell) -> Path:
        return self.results.folder / "cells" / cell.hash

    def _started(self, number: int) -> WorkerSlot:
        ours, theirs = self._context.Pipe()
        log = str(self.results.folder / f"worker-{number}.log")
        process = self._context.Process(
            target=serve, args=(theirs, log), name=f"sweep-{number}", daemon=False
        )
        process.start()
        theirs.close()
        return WorkerSlot(number, process, ours)

    def _hand_out(self, slot: WorkerSlot, slots: Sequence[WorkerSlot]) -> None:
        """Give `slot` a cell, if one is left; see `next_cell`."""
        if not self.waiting:
            slot.cell = None
            return
        cell = self.waiting.pop(next_cell(self.waiting, slot, slots, self.forks.pending))
        slot.cell, slot.since, slot.last_graph = cell, time.monotonic(), cell.graph_key
        fork = self.forks.fork(cell)
        experiment = cell.experiment.changed(engine__workers=1, output__report=False, output__dir="")
        shared = fork.rounds if fork is not None and fork.ready else 0
        self._tell(CellStarted(cell, slot.number, shared))
        # A worker that died meanwhile is found by the next step, which replaces it.
        with suppress(BrokenPipeError, ConnectionResetError):
            slot.pipe.send(Order(experiment.to_run_config(), self._folder(cell), fork, self.until))

    def _step(self, slots: list[WorkerSlot]) -> None:
        """Wait until a worker answers or dies, and handle it."""
        busy = {slot.pipe: slot for slot in slots if slot.cell}
        for pipe in wait(list(busy)):
            slot = busy[pipe]  # type: ignore[index]
            try:
                error = slot.pipe.recv()
            except (EOFError, ConnectionResetError):
                slots[slots.index(slot)] = self._replaced(slot, slots)
                continue
            self._note(slot, error)
            self._hand_out(slot, slots)

    def _note(self, slot: WorkerSlot, error: str) -> None:
        cell = slot.cell
        assert cell is not None
        run = record_in(self._folder(cell))
        if self.until and not error and reached(run, self.until):
            self._tell(CellPaused(cell, self.until, time.monotonic() - slot.since))
            return
        self.results.add(cell, self.places[cell.hash], run, error)
        status, why = ("failed", error) if error else outcome_of(run)
        self.failed += status != "finished"
        self.invalid |= {cell.hash} if status == "invalid" else set()
        figures = final_figures(run) if run and status == "finished" else {}
        told = [
            f"{name} {figures[key]:.1%}"
            for name, key in (("balanced", "balanced_accuracy"), ("success", "attack-success"))
            if key in figures
        ]
        self.forks.done(cell)
        seconds = time.monotonic() - slot.since
        self._tell(CellFinished(cell, "  ".join(told), seconds, why, status == "invalid"))

    def _replaced(self, slot: WorkerSlot, slots: Sequence[WorkerSlot]) -> WorkerSlot:
        """Replace a dead worker; its cell is run again, unless too many workers died in it."""
        cell = slot.cell
        assert cell is not None
        slot.process.join()
        self.failures[cell.hash] = self.failures.get(cell.hash, 0) + 1
        if self.failures[cell.hash] < MOST_FAILURES:
            self._tell(WorkerReplaced(cell, self.failures[cell.hash]))
            self.waiting.insert(0, cell)
        else:
            self._note(slot, f"its worker process died {MOST_FAILURES} times (out of memory?)")
        other = self._started(slot.number)
        other.last_graph = cell.graph_key
        self._hand_out(other, slots)
        return other

    def _tell(self, event: SweepEvent) -> None:
        for listener in self.listeners:
            listener(event)


def missing(sweep: Sweep) -> dict[int, str]:
    """Return why cells cannot be run on this machine, by the `id` of the cell.

    The hash of a cell needs its data, so that a missing one has no hash.
    """
    reasons = {}
    for cell in sweep.cells:
        try:
            _ = Study.up_to_date(cell.experiment).dataset
        except NotHereError as error:
            reasons[id(cell)] = str(error)
    return reasons


def check_cells(sweep: Sweep, cells: Sequence[Cell]) -> None:
    """Check the settings of cells before anything is written or started.

    Raises:
        ConfigError: some settings are wrong; an error of many cells is reported once.

    Warns:
        StudyNotice: there is a remark on the images of some cells; it is told once.
    """
    if cells:
        start_tensorflow()
        replace(sweep, cells=tuple(cells)).check(lambda experiment: check(Study.of(experiment)))
        tell_of_images(Study.of(cell.experiment) for cell in cells)


def finished_in(folder: Path) -> set[str]:
    """Return the hashes of the finished cells in a sweep's folder, which may be new.

    Raises:
        RunFolderError: it is the folder of a run, whose result a sweep would hide.
    """
    if (folder / FILE).is_file():
        return Results.open(folder).finished()
    if (folder / "experiment.toml").is_file():
        raise RunFolderError(f"out = {folder}: the folder of a run; a sweep starts in a folder without one")
    return set()
