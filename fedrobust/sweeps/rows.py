"""The attack, the defence and the status of one cell, as texts for the page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedrobust.reasons import first_reason
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.values import shown

SEED = "seed"
POISONING = "poisoning."
ATTACK = "poisoning.attack"

WITHOUT = ("failed", "invalid", "missing")
"""Statuses of cells that ended without metrics."""

PENDING = ("not run", "stopped")
"""Statuses of cells without metrics yet."""


def state(row: Row, reasons: Mapping[tuple[str, str], int]) -> str:
    """Return the status of a cell, with the number of the reason."""
    status = status_of(row)
    if status in ("stopped", "dropped") and row.error:
        return row.error
    number = reasons.get((status, why(row)))
    return status if number is None else f"{status}, reason {number}"


def why(row: Row) -> str:
    """Return in one line why a cell has no metrics."""
    return first_reason(row.error) if row.error.strip() else "no reason was recorded"


def tolerance_of(rows: Sequence[Row]) -> str:
    """Return the f of the cells of one defence as text, "" if it takes no f or there are no attackers."""
    told = [row for row in rows if status_of(row) == "finished" and "tolerated" in row.figures]
    if not told:
        return ""

    def span(figure: str, text: Callable[[float], str]) -> str:
        values = sorted({row.figures.get(figure, 0.0) for row in told})
        return " to ".join(dict.fromkeys((text(values[0]), text(values[-1]))))

    by = {"oracle" if is_oracle(row) else "given" for row in told}
    more = span("probability-of-more", lambda value: f"{100 * value:.2g} %")
    f = span("tolerated", lambda value: f"{value:.0f}")
    return f"f = {f} ({', '.join(sorted(by))}), P(more) = {more}"


def is_oracle(row: Row) -> bool:
    """Return whether a cell's rule was given the true number of attackers, which no server knows."""
    if "oracle" in row.figures:
        return bool(row.figures["oracle"])
    return row.section("federation").get("tolerate") is None


def label(row: Row) -> str:
    """Return a cell's swept values in one line."""
    return ", ".join(f"{key} = {shown(value)}" for key, value in row.settings.items())


def measured(row: Row, figure: str) -> bool:
    """Return whether a cell is finished and has the metric."""
    return status_of(row) == "finished" and figure in row.figures


def lacks(row: Row, figure: str, attacked: bool) -> bool:
    """Return whether a cell lacks a metric that it should have: it is not finished, or its attack failed."""
    if measured(row, figure) or (attacked and row.section("poisoning").get("attack", "none") == "none"):
        return False
    return status_of(row) != "finished"


def status_of(row: Row) -> str:
    """Return a cell's status; a finished cell whose attack failed in some round is invalid."""
    return "invalid" if row.status == "finished" and "invalid-rounds" in row.figures else row.status


def attack_of(row: Row) -> str:
    """Return a cell's attack in one line, with other swept values of ``[poisoning]``."""
    attack = str(row.section("poisoning").get("attack", "none"))
    others = [
        f"{key.removeprefix(POISONING)} {shown(value)}"
        for key, value in row.settings.items()
        if key.startswith(POISONING) and key != ATTACK
    ]
    return ", ".join([attack, *others])


def defence_of(row: Row) -> str:
    """Return a cell's pre-aggregators, rule and server optimiser in one line."""
    federation = row.section("federation")
    parts = [*federation.get("pre-aggregators", []), str(federation.get("aggregator", "mean"))]
    optimizer = str(federation.get("server-optimizer", "none"))
    return " → ".join(parts + ([optimizer] if optimizer != "none" else []))


@dataclass(frozen=True)
class Failures:
    """The cells without result for one reason, and their `status`."""

    status: str
    reason: str
    cells: tuple[str, ...]


def failures(rows: Sequence[Row]) -> list[Failures]:
    """Return the reasons why cells failed or could not be run, each once."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if status_of(row) in WITHOUT:
            reasons.setdefault((status_of(row), why(row)), []).append(label(row))
    return [Failures(status, reason, tuple(cells)) for (status, reason), cells in reasons.items()]


def numbered(rows: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Return the number of each reason in the list of `failures`."""
    return {(one.status, one.reason): place for place, one in enumerate(failures(rows), start=1)}
