"""The figures of one run, from its record."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedrobust.epsilon import ascending, epsilon_value
from fedrobust.evaluation.intervals import wilson
from fedrobust.figures.drawings import bars, diagonal, dots, lines, matrix, number, share
from fedrobust.figures.figure import Figure
from fedrobust.runs.record import CardRecord, EvaluationRecord, MetricsRecord, RunRecord

SCORES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "AUC"}
KINDS = {"clean": "without an attack", "attacked": "worst case of all attacks"}


def figures_of_run(run: RunRecord, counts: Sequence[Sequence[int]] = ()) -> list[Figure]:
    """Return the figures for which a run has data.

    Args:
        run: its record.
        counts: training images of each client by class or finding; empty: unknown.
    """
    labels = run.dataset.labels if run.dataset else ()
    found = [
        _rounds(run),
        *_epsilons(run),
        _detection(run),
        _clients(counts, labels, "findings" if run.dataset and run.dataset.multilabel else "images"),
        _distances(run),
        *(_predictions(run.audit) if run.audit else ()),
    ]
    return [one for one in found if one is not None and one.rows]


def _score(metrics: MetricsRecord, name: str) -> dict[str, Any]:
    low, high = metrics.limits(name) or (None, None)
    return {"value": metrics.score(name), "low": low, "high": high}


def _rounds(run: RunRecord) -> Figure:
    """Return the scores by round, and the accuracy under each attack at its largest epsilon."""
    scored = [(one.round, one) for one in run.rounds if one.clean]
    rows = [
        {"round": at, "series": called, **_score(one.clean, name)}
        for name, called in SCORES.items()
        for at, one in scored
        if one.clean and one.clean.score(name) is not None
    ]
    last = {
        attack: ascending(curve)[-1][0] for _, one in scored for attack, curve in one.robust.items() if curve
    }
    rows += [
        {
            "round": at,
            "series": f"accuracy under {attack} {epsilon}",
            **_score(one.robust[attack][epsilon], "accuracy"),
        }
        for attack, epsilon in last.items()
        for at, one in scored
        if epsilon in one.robust.get(attack, {})
    ]
    x = {**number("round", "round"), "axis": {"format": "d", "tickMinStep": 1}}
    return Figure(
        "rounds", f"{run.name}: test scores by round", rows, lines(rows, x, share("value", "score"))
    )


def _epsilons(run: RunRecord) -> Iterator[Figure]:
    """Yield a figure of each score against epsilon, for global model and student."""
    models: Mapping[str, EvaluationRecord | None] = {
        "global model": run.model_evaluation,
        "student": run.student,
    }
    norm = str(run.section("evaluation").get("norm", "linf"))
    # Only the largest change of a pixel can be told in grey levels.
    field, title_of, scale = (
        ("grey levels", "epsilon in grey levels", 255) if norm == "linf" else ("size", f"epsilon, {norm}", 1)
    )
    for name, called in SCORES.items():
        rows = [
            {
                "model": model,
                "attack": attack,
                "epsilon": epsilon,
                field: scale * epsilon_value(epsilon),
                "series": f"{model}, {attack}",
                **_score(metrics, name),
            }
            for model, found in models.items()
            if found and found.clean
            for attack, curve in found.robust.items()
            for epsilon, metrics in [("0", found.clean), *ascending(curve)]
            if metrics.score(name) is not None
        ]
        x = number(field, f"{title_of} (square root)", type="sqrt")
        title = f"{run.name}: {called} under attack"
        yield Figure(f"epsilon-{name.replace('_', '-')}", title, rows, lines(rows, x, share("value", called)))


def _detection(run: RunRecord) -> Figure:
    """Return who was rejected, the attackers' weight and the success of their attack, by round."""
    defended = [(one, one.defence) for one in run.rounds if one.defence and one.defence.valid]
    shares: dict[str, list[float | None]] = {
        "malicious rejected": [each.true_positive_rate if each.attacked else None for _, each in defended],
        "honest rejected": [each.false_positive_rate for _, each in defended],
        "attackers' weight": [each.malicious_influence for _, each in defended],
        "attack success": [one.attack_success.rate if one.attack_success else None for one, _ in defended],
    }
    rows = [
        {"round": one.round, "series": name, "value": value}
        for name, values in shares.items()
        for (one, _), value in zip(defended, values, strict=True)
        if value is not None
    ]
    x = {**number("round", "round"), "axis": {"format": "d", "tickMinStep": 1}}
    title = f"{run.name}: attack and defence by round"
    return Figure("detection", title, rows, lines(rows, x, share("value", "share")))


def _clients(counts: Sequence[Sequence[int]], labels: Sequence[str], noun: str) -> Figure:
    rows = [
        {"client": client, "series": labels[label] if label < len(labels) else f"class {label}", noun: n}
        for client, row in enumerate(counts)
        for label, n in enumerate(row)
    ]
    x = {"field": "client", "type": "ordinal", "title": "client", "axis": {"labelAngle": 0}}
    title = "training images" if noun == "images" else f"{noun} in the training images"
    return Figure("clients", f"{title} of each client", rows, bars(rows, x, number(noun, noun)))


def _distances(run: RunRecord) -> Figure | None:
    found = run.heterogeneity
    if found is None:
        return None
    kinds = {
        "label distance (total variation)": found.label_distance,
        "image distance (standard deviations)": found.image_distance,
    }
    rows = [
        {"client": client, "series": kind, "value": value, "low": None, "high": None}
        for kind, values in kinds.items()
        for client, value in enumerate(values)
    ]
    x = {"field": "client", "type": "ordinal", "title": "client", "axis": {"labelAngle": 0}}
    drawing = dots(rows, number("value", "distance from all clients"), x, "series")
    return Figure("distances", "distance of each client from the federation", rows, drawing)


def _predictions(card: CardRecord) -> Iterator[Figure]:
    """Yield confusion matrices, ROC curves and the reliability diagram of an audit."""
    labels = card.data.labels

    def called(label: int) -> str:
        return labels[label] if label < len(labels) else f"class {label}"

    found = {kind: card.predictions[kind] for kind in KINDS if kind in card.predictions}
    for kind, one in found.items():
        cells = [
            {
                "truth": called(truth),
                "answer": called(answer),
                "n": n,
                "share": n / sum(row) if sum(row) else 0.0,
            }
            for truth, row in enumerate(one.confusion)
            for answer, n in enumerate(row)
        ]
        title = f"confusion matrix, {KINDS[kind]}"
        yield Figure(
            f"confusion-{kind}", title, cells, matrix([called(at) for at in range(len(one.confusion))])
        )
    for label in dict.fromkeys(curve.label for one in found.values() for curve in one.roc):
        points = [
            {"series": KINDS[kind], "false positive rate": x, "true positive rate": y}
            for kind, one in found.items()
            for curve in one.roc
            if curve.label == label
            for x, y in curve.points
        ]
        x, y = (share(f"{each} positive rate", f"{each} positive rate") for each in ("false", "true"))
        drawing = lines(points, x, y, marks=False)
        drawing = {**drawing, "layer": [diagonal(), *drawing["layer"]]}
        yield Figure(f"roc-{label}", f"ROC curve of {called(label)}", points, drawing)
    bins = [
        {
            "series": KINDS[kind],
            "confidence": one.confidence,
            "value": one.correct / one.n,
            **dict(zip(("low", "high"), wilson(one.correct, one.n), strict=True)),
            "n": one.n,
        }
        for kind, each in found.items()
        for one in each.reliability
    ]
    drawing = dots(bins, share("value", "right answers"), share("confidence", "mean confidence"), "series")
    drawing = {**drawing, "layer": [diagonal(), *drawing["layer"]]}
    yield Figure("calibration", "right answers by confidence", bins, drawing)
