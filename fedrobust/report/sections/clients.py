"""The section on the clients: their images, and who failed."""

from typing import Any

from fedrobust.report import findings, wording
from fedrobust.report.folder import Run


def clients(run: Run) -> dict[str, Any]:
    """Return the failures of clients, and the plot of their images."""
    failures: dict[tuple[int, str], list[str]] = {}
    for one in run.rounds:
        for failure in one.record.clients.failures:
            failures.setdefault((failure.partition, failure.reason), []).append(str(one.number))
    rows = [
        (client, wording.enumerate_words(rounds), reason)
        for (client, reason), rounds in sorted(failures.items())
    ]
    return {"failures": rows, **_partition(run)}


def _partition(run: Run) -> dict[str, Any]:
    if run.partition is None:
        problem = run.problems.get("partition.json")
        text = findings.missing(run, "partition.json is absent, so the clients’ shares are unknown")
        text = f"partition.json cannot be read: {problem}" if problem else text
        return {"figure": None, "sentence": text, "facts": []}
    # Whoever only writes a card waits for no Plotly.
    from fedrobust.report import plots

    counts = run.partition.counts
    classes = max(map(len, counts))
    full = [[*row, *[0] * (classes - len(row))] for row in counts]
    labels = [run.label(index) for index in range(classes)]
    facts = [("Method", run.partition.method)] if run.partition.method else []
    facts += [
        (str(name).capitalize(), wording.plain(value)) for name, value in run.partition.settings.items()
    ]
    facts += [("Seed", wording.plain(run.partition.seed))] if run.partition.seed is not None else []
    facts += [("Hash", run.partition.hash)] if run.partition.hash else []
    return {
        "figure": plots.by_client(full, labels).to_plotly_json(),
        "sentence": wording.of_first(len(full), run.partition.clients) + wording.dealt(full, labels),
        "facts": facts,
    }
