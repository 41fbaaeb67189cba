"""The section on clients: their images, the metrics of models per client, and failures."""

from collections.abc import Mapping
from typing import Any

from fedrobust.report import findings, thinning, wording
from fedrobust.report.folder import Run
from fedrobust.report.tables import Cell, Table
from fedrobust.runs.record import (
    ClientComparisonRecord,
    ClientModelRecord,
    ClientsComparisonRecord,
    HeterogeneityRecord,
)


def clients(run: Run) -> dict[str, Any]:
    """Return the failures of clients, the plot of their images, and the table of their models."""
    failures: dict[tuple[int, str], list[int]] = {}
    for one in run.rounds:
        for failure in one.record.clients.failures:
            failures.setdefault((failure.partition, failure.reason), []).append(one.number)
    often = sorted(failures.items(), key=lambda one: (-len(one[1]), one[0]))[: thinning.MOST_ROWS]
    rows = [(client, thinning.numbers(rounds), reason) for (client, reason), rounds in sorted(often)]
    more = len(failures) - len(rows)
    unshown = (
        f"{more:,} more reasons, of fewer rounds, are in metrics.jsonl in the run folder." if more else ""
    )
    compared = run.record.clients
    table = None if compared is None else _comparison(compared)
    worse = compared is not None and bool(compared.worse)
    told = {"compared": findings.joining(run), "worse": worse, "table": table}
    return {"failures": rows, "unshown": unshown, **told, **_partition(run), "distances": _distances(run)}


def _comparison(compared: ClientsComparisonRecord) -> Table:
    """Return the metrics of each model per client, by ascending gain."""
    columns = {
        "Global": [one.global_model for one in compared.clients],
        "Personal": [one.personal for one in compared.clients],
        "Local": [one.local for one in compared.clients],
    }
    there = {name: models for name, models in columns.items() if any(models)}
    gains = any(one.gain is not None for one in compared.clients)
    rows = []
    order = sorted(range(len(compared.clients)), key=lambda place: (_gain(compared.clients[place]), place))
    for place in order:
        one = compared.clients[place]
        cells = [_model(models[place]) for models in there.values()]
        rows.append(
            (Cell(str(one.client), wording.count(one.images, "image")), cells + [_points(one)] * gains)
        )
    head = [Cell(name, "accuracy, balanced") for name in there]
    head += [Cell("Gain", "over training alone")] * gains
    return Table("Client", head, rows, "Recall of each class on the test images, by the client’s class mix")


def _gain(one: ClientComparisonRecord) -> float:
    return 0.0 if one.gain is None else one.gain


def _model(model: ClientModelRecord | None) -> Cell:
    if model is None:
        return Cell(wording.NONE)
    return Cell(wording.percent(model.accuracy), wording.percent(model.balanced_accuracy))


def _points(one: ClientComparisonRecord) -> Cell:
    if one.gain is None or one.interval is None:
        return Cell(wording.NONE)
    return Cell(findings.points(one.gain), findings.between(one.interval))


def _distances(run: Run) -> dict[str, Any]:
    """Return the plot of the clients' distances from the federation and its sentence; empty where not measured."""
    found = run.record.heterogeneity
    if found is None or not found.label_distance:
        return {}
    # Imported here, so that writing a card does not import Plotly.
    from fedrobust.report import plots

    sites = _sites(run.partition.settings) if run.partition is not None else []
    figure = plots.rounded(plots.by_distance(found, sites).to_plotly_json())
    return {"figure": figure, "sentence": _heterogeneity(found)}


def _heterogeneity(found: HeterogeneityRecord) -> str:
    indices = [
        ("Label index", found.label_index, found.random_label_index),
        ("image index", found.image_index, found.random_image_index),
    ]
    told = [
        f"{name} {index:.2f} (random division: {random:.2f})"
        for name, index, random in indices
        if index is not None and random is not None
    ]
    told += [] if found.size_gini is None else [f"Gini coefficient of sizes {found.size_gini:.2f}"]
    clients, labels, images = (
        wording.count(len(found.images), "client"),
        found.label_differs,
        found.image_differs,
    )
    return (
        f"{', '.join(told)}. {len(labels)} of {clients} differ in labels, and {len(images)} in images, by more than in "
        f"95{wording.THIN}% of random divisions of the same images into clients of the same sizes. Labels: total "
        "variation distance between a client’s class distribution and that of all. Images: distance of brightness and "
        "detail within classes, in standard deviations. An index is the mean over clients; dashed lines: that of "
        "random divisions."
    )


def _sites(settings: Mapping[str, Any]) -> list[str]:
    """Return the clients' names, where the partition gives each client a site."""
    names = settings.get("names")
    return list(map(str, names)) if isinstance(names, list) else []


def _partition(run: Run) -> dict[str, Any]:
    if run.partition is None:
        problem = run.problems.get("partition.json")
        text = findings.missing(run, "partition.json is absent, so the clients’ shares are unknown")
        text = f"partition.json cannot be read: {problem}" if problem else text
        return {"figure": None, "sentence": text, "facts": []}
    # Imported here, so that writing a card does not import Plotly.
    from fedrobust.report import plots

    noun = "finding" if run.dataset.multilabel else "image"
    counts = run.partition.counts
    classes = max(map(len, counts))
    full = [[*row, *[0] * (classes - len(row))] for row in counts]
    labels = [run.label(index) for index in range(classes)]
    facts = [("Method", run.partition.method)] if run.partition.method else []
    facts += [
        (str(name).replace("_", " ").capitalize(), wording.plain(value))
        for name, value in run.partition.settings.items()
    ]
    shifts = run.record.section("data").get("site-shifts") or ()
    facts += (
        [("Site shifts", f"{'; '.join(map(str, shifts))} (the counts are those before them)")]
        if shifts
        else []
    )
    facts += [("Seed", wording.plain(run.partition.seed))] if run.partition.seed is not None else []
    facts += [("Hash", run.partition.hash)] if run.partition.hash else []
    return {
        "figure": plots.rounded(
            plots.by_client(full, labels, _sites(run.partition.settings), f"{noun}s").to_plotly_json()
        ),
        "sentence": wording.of_first(len(full), run.partition.clients) + wording.dealt(full, labels, noun),
        "facts": facts,
    }
