"""Terminal output of a sweep's plan."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fedrobust.runs.forecast import duration, size
from fedrobust.sweeps.plan import SharedWork, SweepPlan

MOST_LABELS = 4
"""Cells of a group that are named."""


def plan_tables(plan: SweepPlan) -> Iterator[Table]:
    """Yield the forecast of a sweep, and the cells that share work."""
    table = Table("", "forecast", box=SIMPLE_HEAD)
    ended = f"{plan.finished} of them finished already" if plan.finished else "none of them finished yet"
    absent = f", {plan.missing} without their data" if plan.missing else ""
    table.add_row("cells", f"{plan.cells}, {ended}{absent}")
    table.add_row("at a time", str(plan.workers))
    table.add_row(
        "time",
        f"{duration(plan.seconds)}, without starting, the attacks' own work and what follows the rounds",
    )
    if plan.halving_rounds:
        rounds = ", ".join(map(str, plan.halving_rounds))
        table.add_row("halving", f"after round {rounds} only the best go on: the time is an upper bound")
    if plan.saved_seconds:
        table.add_row("shared rounds save", duration(plan.saved_seconds))
    table.add_row("memory", f"{size(plan.memory_bytes)} of {size(plan.available_bytes)}")
    table.add_row("disk", f"{size(plan.disk_bytes)} of {size(plan.free_disk_bytes)}")
    networks = f"{plan.networks} sets of data, model and training" if plan.networks > 1 else "all cells"
    table.add_row("graphs, start and features", f"made once for {'each of ' * (plan.networks > 1)}{networks}")
    yield table
    if plan.shared:
        groups = Table("shared rounds", "cells", "which", box=SIMPLE_HEAD)
        for work in plan.shared:
            groups.add_row(f"1 to {work.rounds}", str(len(work.cells)), escape(labels(work)))
        yield groups
    if plan.alone:
        others = Table("rounds of their own", "cells", box=SIMPLE_HEAD)
        for reason, count in plan.alone.items():
            others.add_row(escape(reason), str(count))
        yield others


def labels(work: SharedWork) -> str:
    """Return the cells of a group as text, the first `MOST_LABELS` of them."""
    named = "; ".join(cell.label for cell in work.cells[:MOST_LABELS])
    more = len(work.cells) - MOST_LABELS
    return f"{named}; and {more} more" if more > 0 else named
