"""The page of a sweep, ``sweep.html``: one file without scripts."""

from collections.abc import Sequence
from pathlib import Path

from fedrobust.atomic import atomic
from fedrobust.report import html
from fedrobust.sweeps.audited import ROBUST
from fedrobust.sweeps.audited_section import HEADS, audited_sections
from fedrobust.sweeps.heatmaps import facets
from fedrobust.sweeps.paired import text_of_p
from fedrobust.sweeps.rank_section import rank_pictures
from fedrobust.sweeps.results import Results
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.rows import (
    PENDING,
    SEED,
    WITHOUT,
    failures,
    is_oracle,
    measured,
    numbered,
    state,
    status_of,
)
from fedrobust.sweeps.values import shown

TEMPLATE = "sweep.html.j2"

FIGURES = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced"),
    ("auc", "AUC"),
    ("attack-success", "attack success"),
    ("true-positive-rate", "true positive"),
    ("false-positive-rate", "false positive"),
)
"""The metrics in the table of cells, before those of ``evaluation.metrics``."""


def write(results: Results) -> Path:
    """Write ``sweep.html`` into the folder of a sweep, atomically."""
    page = render(results.rows(), results.folder.name)
    with atomic(results.page) as draft:
        draft.write_text(page, encoding="utf-8", errors="replace", newline="\n")
    return results.page


def render(rows: Sequence[Row], name: str) -> str:
    """Return the page of a sweep's cells as HTML."""
    keys = list(dict.fromkeys(key for row in rows for key in row.settings))
    numbered_, figures_ = numbered(rows), (*FIGURES, *further(rows))
    return html.page(
        TEMPLATE,
        "fedrobust.sweeps",
        name=str(rows[0].experiment.get("name", name)) if rows else name,
        cells=len(rows),
        seeds=len({row.settings.get(SEED) for row in rows}),
        failed=failures(rows),
        unfinished=sum(status_of(row) in WITHOUT for row in rows),
        pending=sum(row.status in PENDING for row in rows),
        tolerance=tolerance(rows),
        codes=len({row.code for row in rows}),
        audited=audited_sections(rows),
        heads=HEADS,
        verdicts=any(row.verdict for row in rows),
        facets=facets(rows),
        ranks=rank_pictures(rows),
        text_of_p=text_of_p,
        keys=keys,
        figures=figures_,
        table=[[*(shown(row.settings.get(key, "")) for key in keys)] for row in rows],
        rows=rows,
        values=[
            [_percent(row.figures.get(figure) if measured(row, figure) else None) for figure, _ in figures_]
            for row in rows
        ],
        states=[state(row, numbered_) for row in rows],
    )


def further(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the audited accuracy, if it was measured, and the metrics in ``evaluation.metrics``, with headings."""
    named = (name for row in rows for name in row.experiment.get("evaluation", {}).get("metrics", ()))
    audited = [(ROBUST, "robust")] if any(ROBUST in row.figures for row in rows) else []
    return audited + [(name, name) for name in dict.fromkeys(named)]


def tolerance(rows: Sequence[Row]) -> str:
    """Return the f of the aggregation rules as text, "" without attackers."""
    attacked = [row for row in rows if row.status == "finished" and "tolerated" in row.figures]
    if not attacked:
        return ""
    told = [row for row in attacked if is_oracle(row)]
    text = ""
    if told:
        text = (
            f"In {len(told)} of {len(attacked)} attacked cells whose rule takes f, the number of malicious clients to "
            "tolerate in a round, it was given the true number: an oracle, which no real server has. "
        )
    more = max((row.figures.get("probability-of-more", 0.0) for row in attacked), default=0.0)
    return text + (
        f"P(more), the probability that a round samples more attackers than f, is up to {more:.1%}."
        if more
        else "No round samples more attackers than that."
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
