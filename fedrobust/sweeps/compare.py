"""Comparison of runs: the settings in which they differ, and their metrics."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.config.old_keys import modern
from fedrobust.reasons import first_reason
from fedrobust.runs.outcome import cut_short, invalid_line
from fedrobust.runs.run import Run
from fedrobust.sweeps.digests import DIGITS, NAMED_BY, digests_of, named
from fedrobust.sweeps.figures import final_figures
from fedrobust.sweeps.results import FILE, Results, SweepError, record_in
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.values import flattened, of_result, shown

if TYPE_CHECKING:
    import pandas

MAIN = (
    "accuracy",
    "balanced_accuracy",
    "auc",
    "majority_rate",
    "audited balanced_accuracy",
    "harm balanced_accuracy",
    "cost balanced_accuracy",
    "attack-success",
    "durability",
    "true-positive-rate",
    "false-positive-rate",
    "tolerated",
    "probability-of-more",
)
"""Metrics shown in the terminal."""


@dataclass(frozen=True)
class Compared:
    """One compared run.

    Attributes:
        name: its folder's name; of a cell its swept values.
        status: as in ``result.json``, or of the cell.
        reason: why it is not finished, or invalid.
        study: its settings, by dotted keys.
        swept: the keys that its sweep varies; empty for a run of no sweep.
        figures: its metrics; empty if it is not finished.
        verdict: of its audit, "" without one.
        digests: of the files that it read, by the keys of `NAMED_BY`; those that are known.
    """

    name: str
    status: str
    reason: str
    study: Mapping[str, Any]
    figures: Mapping[str, float]
    swept: tuple[str, ...] = ()
    verdict: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of_run(cls, path: str | Path) -> "Compared":
        """Read a run folder."""
        run = Run.open(path).record
        invalid = invalid_line(run)
        status = "invalid" if invalid and run.status == "finished" else run.status
        figures = final_figures(run) if status == "finished" else {}
        error = (run.error or "") if status == "failed" else ""
        told = (cut_short(run), first_reason(error) if error else invalid)
        reason = ": ".join(filter(None, told))
        study = _with_oracle(flattened(modern(run.experiment)), figures)
        verdict = run.audit.verdict.word if run.audit and status == "finished" else ""
        name = Path(path).resolve().name
        return cls(name, status, reason, study, figures, verdict=verdict, digests=digests_of(run))

    @classmethod
    def of_cell(cls, row: Row) -> "Compared":
        """Return a cell of a sweep."""
        name = ", ".join(f"{key.split('.')[-1]} {shown(value)}" for key, value in row.settings.items())
        figures = row.figures if row.status == "finished" else {}
        study = _with_oracle(flattened(row.experiment), figures)
        reason = first_reason(row.error) if row.error else ""
        return cls(name or row.hash[:8], row.status, reason, study, figures, tuple(row.settings), row.verdict)


def cells_of(folder: str | Path) -> list[Compared]:
    """Return the cells of a sweep.

    Raises:
        SweepError: the results file is damaged.
    """
    results = Results.open(folder)
    rows = results.rows()
    cells = [Compared.of_cell(row) for row in rows]
    # A cell's hash covers its files: finished cells of equal settings of a file have read the same.
    known: dict[tuple[str, str], str] = {}
    for row, cell in zip(rows, cells, strict=True):
        places = {key: (key, named(cell.study, key)) for key in NAMED_BY}
        if row.status == "finished" and row.folder and not known.keys() >= set(places.values()):
            own = digests_of(record_in(results.folder / row.folder))
            known |= {place: own.get(key, "") for key, place in places.items() if place not in known}
    return [
        replace(cell, digests={key: known.get((key, named(cell.study, key)), "") for key in NAMED_BY})
        for cell in cells
    ]


def with_changed_files(runs: Sequence[Compared]) -> list[Compared]:
    """Return runs, with a setting such as ``data.digest`` where those that name the same file have read another one."""
    seen: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for key in NAMED_BY:
            seen.setdefault((key, named(run.study, key)), set()).update({run.digests.get(key, "")} - {""})
    found = []
    for run in runs:
        changed = {
            key: run.digests.get(key, "")[:DIGITS] or "unknown"
            for key in NAMED_BY
            if len(seen[key, named(run.study, key)]) > 1
        }
        found.append(replace(run, study={**run.study, **changed}))
    return found


def compare(paths: Sequence[str | Path]) -> "pandas.DataFrame":
    """Return a table with one row per run: the settings in which the runs differ, its status, and its metrics.

    Settings that sweeps vary come first. Where runs of equal settings read other files, because a file changed, its
    digest is a setting, too, so that they are not repetitions of one another: ``data.digest`` of images and labels,
    ``model.network-digest`` of a network in a file, ``file-digests.weights`` of initial weights,
    ``file-digests.public`` of public images, ``file-digests.annotations`` of names of classes, disease and sites.

    Unfinished runs, and failed, missing and unfinished cells, have a status but no metrics.

    Args:
        paths: run folders, or sweep folders for all of their cells; a folder that is named twice counts once.

    Returns:
        Indexed by the runs' names; metrics are numbers, NaN if absent, with the cause in ``reason``; audits
        have their ``verdict``. Its ``attrs`` have
        the names of ``settings`` (of sweeps alone: those that they vary) and of ``figures``, and whether all are
        ``cells`` of sweeps.

    Raises:
        RunFolderError: a folder holds no run.
        SweepError: there is nothing to compare.
    """
    import pandas

    runs: list[Compared] = []
    folders: dict[Path, str | Path] = {}
    for path in paths:
        folders.setdefault(Path(path).expanduser().resolve(), path)
    for path in folders.values():
        if (Path(path) / FILE).is_file():
            runs += cells_of(path)
        else:
            runs.append(Compared.of_run(path))
    if not runs:
        raise SweepError("nothing to compare: name at least one run folder with a result")
    runs = with_changed_files(runs)
    varied = list(dict.fromkeys(key for run in runs for key in run.swept))
    keys = sorted(differing([run.study for run in runs]), key=lambda key: key not in varied)
    names = list(dict.fromkeys(name for run in runs for name in run.figures))
    rows = [
        {
            **{key: _value(run.study.get(key)) for key in keys},
            "status": run.status,
            **({"reason": run.reason or None} if any(run.reason for run in runs) else {}),
            **({"verdict": run.verdict or None} if any(run.verdict for run in runs) else {}),
            **{name: run.figures.get(name) for name in names},
        }
        for run in runs
    ]
    table = pandas.DataFrame(rows, index=pandas.Index(distinct([run.name for run in runs]), name="run"))
    table = table.astype(dict.fromkeys(names, float))
    # Sweeps may differ in what none of them sweeps: their cells are then no repetitions of one another.
    apart = [*fixed_apart(runs), *NAMED_BY]
    swept = [key for key in keys if key in varied or key in apart]
    cells = all(run.swept for run in runs)
    table.attrs.update(figures=names, settings=swept if cells else keys, cells=cells)
    return table


def fixed_apart(runs: Sequence["Compared"]) -> list[str]:
    """Return the keys that no run sweeps and in which runs of the same swept values and seed differ.

    A setting that follows a swept one, such as the tolerance of a control, differs with it.
    """
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        own = {key: str(run.study.get(key, "")) for key in sorted({*run.swept, "seed"})}
        alike.setdefault(str(own), []).append(run.study)
    swept = {key for run in runs for key in run.swept}
    found = dict.fromkeys(key for studies in alike.values() for key in differing(studies))
    return [key for key in found if key not in swept and key not in ("name", "seed")]


def differing(studies: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys in which studies differ, except those that do not change a result; see `of_result`."""
    studies = [of_result(study) for study in studies]
    every = dict.fromkeys(key for study in studies for key in study)
    return [key for key in every if len({str(study.get(key, "")) for study in studies}) > 1]


def distinct(names: Iterable[str]) -> list[str]:
    """Return `names`, with numbers added to repeated ones.

    Example:
        >>> distinct(["a", "b", "a"])
        ['a', 'b', 'a (2)']
    """
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return result


def _with_oracle(study: Mapping[str, Any], figures: Mapping[str, float]) -> dict[str, Any]:
    """Return `study` with ``federation.tolerate`` set, if there are attackers and the study has no value for it."""
    told = {"federation.tolerate": "the true number (oracle)"} if "tolerated" in figures else {}
    return {**told, **study}


def _value(value: Any) -> Any:
    return shown(value) if isinstance(value, list | tuple) else value
