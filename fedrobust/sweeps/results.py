"""The results of a sweep, in one SQLite file."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fedrobust
from fedrobust.code_digest import code_digest
from fedrobust.config.old_keys import modern
from fedrobust.errors import FedrobustError
from fedrobust.paths import absent
from fedrobust.runs.outcome import cut_short, invalid_line
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.audited_frame import audited_frame
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.controls import with_controls
from fedrobust.sweeps.figures import final_figures, round_figures
from fedrobust.sweeps.row import Row

if TYPE_CHECKING:
    import pandas

FILE = "results.sqlite"

VERDICT = "verdict"
"""Beside the metrics of a cell: the word of its audit."""

TABLES = """
create table if not exists cells (
    hash text primary key, position integer, status text not null, settings text not null, experiment text not null,
    figures text not null, seconds real, error text, folder text not null, version text not null, code text not null
);
create table if not exists rounds (
    hash text not null, round integer not null, figure text not null, value real not null,
    primary key (hash, round, figure)
);
create table if not exists members (hash text primary key);
"""


class SweepError(FedrobustError, ValueError):
    """A folder has no readable sweep."""


@dataclass(frozen=True)
class Results:
    """The results of a sweep, in its folder.

    Attributes:
        folder: of the sweep.

    Example:
        >>> results = fedrobust.bench("sweep.toml", out="here")  # doctest: +SKIP
        >>> results.table[["poisoning.attack", "federation.aggregator", "balanced_accuracy"]]  # doctest: +SKIP
    """

    folder: Path

    @classmethod
    def open(cls, folder: str | Path) -> "Results":
        """Return the results in a sweep's folder.

        Raises:
            SweepError: there are none.
        """
        path = Path(folder).expanduser().resolve()
        if not (path / FILE).is_file():
            why = f"it has no {FILE}" if path.exists() else absent(folder, "folder")
            raise SweepError(f"{folder}: not the folder of a sweep ({why})")
        return cls(path)

    @classmethod
    def create(cls, folder: Path) -> "Results":
        """Return the results in `folder`, empty if there are none yet."""
        folder.mkdir(parents=True, exist_ok=True)
        results = cls(folder.resolve())
        with results._connected() as database:
            database.executescript(TABLES)
        return results

    @property
    def page(self) -> Path:
        """The sweep's page."""
        return self.folder / "sweep.html"

    def begin(self, cells: Sequence[Cell]) -> None:
        """Record the cells of the sweep, in order.

        Results of other cells, from an earlier sweep in the folder, are kept but no longer shown.
        """
        with self._connected() as database:
            database.executescript(TABLES)
            database.execute("delete from cells where status in ('missing', 'not run', 'dropped')")
            database.execute("delete from members")
            for position, cell in enumerate(cells):
                database.execute("insert or ignore into members values (?)", (cell.hash,))
                swept = json.dumps(dict(cell.settings))
                known = database.execute(
                    "update cells set position = ?, settings = ? where hash = ?", (position, swept, cell.hash)
                )
                if not known.rowcount:
                    _insert(database, _without_result(cell, cell.hash, position, "not run", ""))

    def finished(self) -> set[str]:
        """Return the hashes of the finished cells; failed and invalid ones are run again, their cause may be mended."""
        with self._connected() as database:
            rows = database.execute("select hash, figures from cells where status = 'finished'").fetchall()
        # Earlier versions recorded invalid cells as finished.
        return {str(hash_) for hash_, figures in rows if not json.loads(figures).get("invalid-rounds")}

    def add(self, cell: Cell, position: int, run: RunRecord | None, error: str = "") -> None:
        """Record the outcome of a cell.

        Args:
            cell: the cell.
            position: its index in the sweep.
            run: its ``result.json``, if there is one.
            error: why it failed, "" if it did not.
        """
        status, why = ("failed", error) if error else outcome_of(run)
        values = (
            cell.hash,
            position,
            status,
            json.dumps(dict(cell.settings)),
            json.dumps(cell.experiment.to_dict()),
            json.dumps(_figures(run) if run and status == "finished" else {}),
            run.seconds if run else None,
            why,
            f"cells/{cell.hash}",
            fedrobust.__version__,
            code_digest(),
        )
        rounds = [
            (cell.hash, one.round, name, value)
            for one in (run.rounds if run else ())
            for name, value in round_figures(one).items()
        ]
        with self._connected() as database:
            _insert(database, values)
            database.execute("delete from rounds where hash = ?", (cell.hash,))
            database.executemany("insert into rounds values (?, ?, ?, ?)", rounds)

    def drop(self, cell: Cell, position: int, reason: str) -> None:
        """Record that a cell was stopped early, because others were better; it has no metrics."""
        with self._connected() as database:
            values = _without_result(cell, cell.hash, position, "dropped", reason)
            _insert(database, (*values[:8], f"cells/{cell.hash}", *values[9:]))

    def add_missing(self, cell: Cell, position: int, reason: str) -> None:
        """Record that a cell cannot be run on this machine; its position replaces its hash."""
        name = f"missing-{position}"
        with self._connected() as database:
            _insert(database, _without_result(cell, name, position, "missing", reason))
            database.execute("insert or ignore into members values (?)", (name,))

    def rows(self) -> list[Row]:
        """Return all cells of the sweep, in order, including unfinished ones; see `fedrobust.sweeps.controls`.

        Raises:
            SweepError: the results file is damaged.
        """
        wanted = "hash, status, settings, experiment, figures, error, folder, code"
        with self._connected() as database:
            known = database.execute("select 1 from sqlite_master where name = 'members'").fetchone()
            listed = known and database.execute("select 1 from members").fetchone()
            ours = "where hash in (select hash from members)" if listed else ""
            found = database.execute(f"select {wanted} from cells {ours} order by position, hash").fetchall()
        return with_controls([self._as_it_is(_row(*one)) for one in found])

    def _as_it_is(self, row: Row) -> Row:
        """Return `row`, with the status in its run folder if it has no recorded outcome: it may have been stopped."""
        if row.status == "finished" and row.figures.get("invalid-rounds"):
            rounds = f"{row.figures['invalid-rounds']:.0f}"
            return replace(row, status="invalid", error=f"the attack failed in {rounds} rounds", figures={})
        if row.status != "not run":
            return row
        folder = f"cells/{row.hash}"
        run = record_in(self.folder / folder)
        if run is None:
            begun = any((self.folder / folder / "checkpoints").glob("round-*.npz"))
            words = "stopped before it was over; it goes on from its last checkpoint"
            return replace(row, status="stopped", error=words) if begun else row
        words = cut_short(run)
        return replace(row, status="stopped", error=words, folder=folder) if words else row

    @property
    def table(self) -> "pandas.DataFrame":
        """One row per cell: swept keys, metrics, the audit's ``verdict``, status."""
        import pandas

        return pandas.DataFrame(
            [
                {
                    **row.settings,
                    **row.figures,
                    **({VERDICT: row.verdict} if row.verdict else {}),
                    "status": row.status,
                    "hash": row.hash,
                }
                for row in self.rows()
            ]
        )

    @property
    def audited(self) -> "pandas.DataFrame":
        """One row per audited combination of swept values, beside its control; see `fedrobust.sweeps.audited`."""
        return audited_frame(self.rows())

    @property
    def rounds(self) -> "pandas.DataFrame":
        """One value a row: the cell's hash and swept keys, ``round``, ``metric``, ``value``."""
        import pandas

        with self._connected() as database:
            found = database.execute("select hash, round, figure, value from rounds").fetchall()
        swept = pandas.DataFrame([{"hash": row.hash, **row.settings} for row in self.rows()])
        return swept.merge(pandas.DataFrame(found, columns=["hash", "round", "metric", "value"]))

    def _connected(self) -> "_Connection":
        return _Connection(self.folder / FILE)


def _row(
    hash_: str, status: str, settings: str, experiment: str, written: str, error: str, folder: str, code: str
) -> Row:
    figures = json.loads(written)
    verdict = str(figures.pop(VERDICT, ""))
    study = modern(json.loads(experiment))
    return Row(hash_, status, json.loads(settings), study, figures, error, folder, code, verdict)


def _figures(run: RunRecord) -> dict[str, float | str]:
    """Return the metrics of a finished run, with the verdict of its audit."""
    return {**final_figures(run), **({VERDICT: run.audit.verdict.word} if run.audit else {})}


def record_in(folder: Path) -> RunRecord | None:
    """Return the record in a cell's run folder, None if it is absent or unreadable."""
    try:
        return RunRecord.read(json.loads((folder / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):  # among them, RecordError
        return None


def outcome_of(run: RunRecord | None) -> tuple[str, str]:
    """Return the status of a cell whose worker reported no error, and why it has no metrics.

    Example:
        >>> outcome_of(RunRecord(status="finished"))
        ('finished', '')
        >>> outcome_of(None)
        ('failed', 'its worker left no result')
    """
    if run is None:
        return "failed", "its worker left no result"
    if words := cut_short(run):
        return "failed", f"its worker left a run that is {words}"
    why = invalid_line(run)
    return ("invalid", why) if why else ("finished", "")


def _without_result(cell: Cell, name: str, position: int, status: str, reason: str) -> tuple[Any, ...]:
    settings, experiment = json.dumps(dict(cell.settings)), json.dumps(cell.experiment.to_dict())
    made = (fedrobust.__version__, code_digest())
    return (name, position, status, settings, experiment, "{}", None, reason, "", *made)


def _insert(database: sqlite3.Connection, values: tuple[Any, ...]) -> None:
    database.execute(f"insert or replace into cells values ({', '.join('?' * len(values))})", values)


class _Connection:
    """A transaction on a SQLite file that is closed at its end.

    Raises:
        SweepError: the file is damaged, or no such file.
    """

    def __init__(self, path: Path):
        self._path = path
        self._database = sqlite3.connect(path)

    def __enter__(self) -> sqlite3.Connection:
        return self._database

    def __exit__(self, kind: Any, error: Any, _: Any) -> None:
        try:
            if kind is None:
                self._database.commit()
        finally:
            self._database.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            raise SweepError(
                f"{self._path}: damaged ({error}); move it away: finished cells below cells/ are written down anew"
            ) from error
