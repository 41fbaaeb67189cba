"""The section on privacy: what is promised, what was attacked, what was found."""

from typing import Any

from fedrobust.report.folder import Run
from fedrobust.report.sections.leakage import leakage
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE
from fedrobust.runs.privacy_page import promise_told
from fedrobust.runs.promised import SECURE, WHERE, WHO, headline
from fedrobust.runs.record import PromiseRecord

HEAD = (
    Cell("Epsilon", "the smaller bound"),
    Cell("by RDP"),
    Cell("by PLD"),
    Cell("Delta"),
    Cell("Noise multiplier"),
    Cell("Clip"),
    Cell("Releases"),
    Cell("Sampling"),
    Cell("Noise", "× clip"),
)


def privacy(run: Run) -> dict[str, Any]:
    """Return the section's content; empty of runs without a model, which have nothing to attack."""
    found = run.record.privacy
    if found is None and run.leakage is None and (run.failed or run.unfinished):
        return {}
    attacked = {"leakage": leakage(run.leakage)}
    if found is None:
        nothing: dict[str, Any] = {"table": None, "clients": [], "not_covered": ()}
        return {"sentences": list(promise_told(None, run.leakage)), **nothing, **attacked}
    return {
        **attacked,
        "sentences": [
            promise_told(found, run.leakage)[0],
            *(f"{sentence(headline(one))} {one.mechanism}: {WHERE[one.noise]}." for one in found.promises),
        ]
        + ([sentence(SECURE)] if found.secure_aggregation else []),
        "table": Table("Unit", HEAD, [(Cell(WHO[one.unit]), row(one)) for one in found.promises])
        if found.promises
        else None,
        "clients": [table for one in found.promises if (table := clients(one))],
        "not_covered": found.not_covered,
    }


def sentence(words: str) -> str:
    """Return `words` with a capital letter and a full stop.

    Example:
        >>> sentence("epsilon 8")
        'Epsilon 8.'
    """
    return f"{words[:1].upper()}{words[1:]}."


def row(promise: PromiseRecord) -> tuple[Cell, ...]:
    """Return the cells of a promise."""
    bounds = (promise.epsilon, promise.epsilon_rdp, promise.epsilon_pld)
    sampled = promise.sampling if promise.sampling == "all" else f"{promise.sampling}, {promise.rate:.3g}"
    return (
        *(Cell(NONE if value is None else f"{value:.3f}") for value in bounds),
        Cell(f"{promise.delta:g}"),
        Cell(f"{promise.noise_multiplier:.4g}"),
        Cell(f"{promise.clip:g}"),
        Cell(f"{promise.releases:,}"),
        Cell(sampled, promise.adjacency),
        Cell(NONE if promise.noise_to_clip is None else f"{promise.noise_to_clip:.3g}"),
    )


def clients(promise: PromiseRecord) -> Table | None:
    """Return the table of clients with promises of their own; None where all have the same."""
    if not promise.clients:
        return None
    head = (Cell("Epsilon"), Cell("Images"), Cell("Rate"), Cell("Steps"), Cell("Noise multiplier"))
    return Table(
        "Client",
        head,
        [
            (
                Cell(str(one.client)),
                (
                    Cell(NONE if one.epsilon is None else f"{one.epsilon:.3f}"),
                    Cell(f"{one.images:,}"),
                    Cell(f"{one.rate:.3g}"),
                    Cell(f"{one.steps:,}"),
                    Cell(f"{one.noise_multiplier:.4g}"),
                ),
            )
            for one in promise.clients
        ],
    )
