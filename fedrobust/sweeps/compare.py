"""Runs side by side: what they differ in, and what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedrobust.runs.run import Run
from fedrobust.sweeps.figures import final_figures
from fedrobust.sweeps.results import FILE, Results, SweepError

if TYPE_CHECKING:
    import pandas


def compare(paths: Sequence[str | Path]) -> "pandas.DataFrame":
    """Return a table with a column a run: the settings in which the runs differ, then their figures.

    Args:
        paths: run folders; the folder of a sweep stands for its finished cells.

    Raises:
        RunFolderError: a folder holds no run.
        SweepError: there is nothing to compare.
    """
    import pandas

    runs: list[tuple[str, Run]] = []
    for path in paths:
        if (Path(path) / FILE).is_file():
            results = Results.open(path)
            found = [row for row in results.rows() if row.status == "finished"]
            runs += [(row.hash[:8], Run.open(results.folder / row.folder)) for row in found]
        else:
            runs.append((Path(path).resolve().name, Run.open(path)))
    if not runs:
        raise SweepError("nothing to compare: name at least one run folder with a result")
    studies = [flat(run.result.get("experiment") or {}) for _, run in runs]
    figures = [final_figures(run.result) for _, run in runs]
    differing = [
        key
        for key in dict.fromkeys(key for study in studies for key in study)
        if len({str(study.get(key, "")) for study in studies}) > 1
        and not key.startswith(("engine.", "output."))
    ]
    names = list(dict.fromkeys(name for each in figures for name in each))
    table: dict[str, list[Any]] = {}
    for (name, _), study, known in zip(runs, studies, figures, strict=True):
        column = name if name not in table else f"{name} ({len(table)})"
        table[column] = [study.get(key, "") for key in differing] + [known.get(each) for each in names]
    return pandas.DataFrame(table, index=pandas.Index([*differing, *names]), dtype=object)


def flat(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return a nested study with dotted keys."""
    values: dict[str, Any] = {}
    for key, value in study.items():
        if isinstance(value, Mapping):
            values.update({f"{key}.{inner}": item for inner, item in value.items()})
        else:
            values[key] = value
    return values
