"""What every section of the page says, as plain data for the template: numbers are already text here.

plotly is imported inside of functions: whoever only writes a card waits for none of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.report import card, pictures, toml, wording
from fedrobust.report.folder import Epsilon, Evaluation, Examples, Metrics, Round, Run
from fedrobust.report.poisoning import poisoning
from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, percent, score
from fedrobust.runs.outcome import invalid_line, measured_after
from fedrobust.runs.tolerance import is_oracle, told_in

HALF_A_GREY_LEVEL = 0.5 / 255
SHOWN_EXAMPLES = 12


@dataclass(frozen=True)
class Tile:
    """A key figure."""

    name: str
    text: str
    note: str


@dataclass(frozen=True)
class Picture:
    """One image under one epsilon, with the model's answer."""

    image: str
    change: str
    answer: str
    confidence: str
    right: bool


def sections(run: Run) -> dict[str, Any]:
    """Lay out a run as the variables of the template; what it lacks is said in words, under ``missing``."""
    return {
        "name": str(run.result.get("name") or "unnamed"),
        "facts_line": _facts(run),
        "summary": wording.summary(run),
        "unfinished": wording.unfinished(run),
        "error": str(run.result.get("error") or "no reason was recorded"),
        "go_on": wording.go_on(run),
        "tolerance": told_in(run.result),
        "invalid": invalid_line(run.result),
        "warnings": wording.warnings(run),
        "cautions": wording.cautions(run),
        "tiles": _tiles(run),
        "rounds": _rounds(run),
        "attacks": _attacks(run),
        "examples": _examples(run),
        "models": _models(run),
        "poisoning": poisoning(run),
        "audit": card.section(run.result.get("audit")),
        "student_audit": card.section(run.part("student").get("audit")),
        "clients": _clients(run),
        "study": toml.dumps(run.part("experiment")),
        "data": _data(run),
        "environment": [(str(name), wording.plain(value)) for name, value in run.part("environment").items()],
    }


def _facts(run: Run) -> list[str]:
    dataset, model = run.part("dataset"), run.part("model")
    facts = [str(dataset["name"])] if dataset.get("name") else []
    if model.get("name"):
        facts.append(
            f"{model['name']}, {model['parameters']:,} parameters"
            if model.get("parameters")
            else model["name"]
        )
    if model.get("weights"):
        facts.append(f"{model['weights']} initial weights")
    if run.result.get("seconds") is not None:
        facts.append(f"ran {wording.duration(run.result['seconds'])}")
    return facts


def _tiles(run: Run) -> list[Tile]:
    evaluation = run.global_model[0]
    clean = evaluation.clean
    tiles = _clean_tiles(run, clean) if clean else []
    attacked = wording.headline(evaluation.attacked)
    if attacked:
        name, size, metrics = attacked
        tiles.append(_tile(run, f"Under {wording.attack_name(name)} at {size.name}", metrics, "accuracy"))
    tiles += _attack_tiles(run)
    audit = run.part("audit")
    if audit:
        standing = audit["attacked"]["standing"]["counts"]
        note = f"{audit['threat']['norm']} {audit['threat']['epsilon']}; {standing[0]:,} of {standing[1]:,} stand"
        tiles.append(Tile("Audit’s verdict", str(audit["verdict"]["word"]), note))
    if run.student and run.student.clean:
        parameters = run.part("student").get("parameters")
        note = f"{parameters:,} parameters" if parameters else ""
        tiles.append(Tile("Student’s accuracy", percent(run.student.clean.accuracy), note))
    exports = [one for one in run.result.get("export") or () if one.get("bytes")]
    if exports:
        least = min(exports, key=lambda one: int(one["bytes"]))
        latency = (least.get("latency_ms") or {}).get("p50")
        note = str(least.get("format", "")) + (
            f", {_milliseconds(latency)} an image" if latency is not None else ""
        )
        tiles.append(Tile("Smallest file", wording.size_in_bytes(least["bytes"]), note))
    return tiles


def _clean_tiles(run: Run, clean: Metrics) -> list[Tile]:
    tiles = [_tile(run, "Accuracy", clean, "accuracy")]
    if clean.majority_rate is not None:
        tiles.append(
            Tile("A constant answer", percent(clean.majority_rate), f"always “{wording.majority(run)}”")
        )
    tiles.append(_tile(run, "Balanced accuracy", clean, "balanced_accuracy"))
    tiles.append(_tile(run, "AUC", clean, "auc"))
    diseases = [i for i in run.part("dataset").get("disease") or () if i < len(clean.recall)]
    known = [(clean.recall[i], i) for i in diseases]
    worst = min(((value, i) for value, i in known if value is not None), default=None)
    if worst:
        value, index = worst
        name = "Sensitivity" if len(diseases) == 1 else "Lowest sensitivity"
        tiles.append(Tile(name, percent(value), f"recall of “{run.label(index)}”"))
    return tiles


def _attack_tiles(run: Run) -> list[Tile]:
    """Return the poisoning attack's success beside what the defence was told; why it is absent where it is."""
    entries = [entry for entry in run.result.get("rounds") or () if entry.get("defence")]
    aimed = any("attack-success" in entry and entry["attack-success"] for entry in entries)
    success = run.part("model-evaluation").get("attack-success")
    if not success and run.global_model[1] is not None:
        measured = [entry for entry in entries if entry["round"] == run.global_model[1]]
        success = measured[0].get("attack-success") if measured else None
    invalid = invalid_line(run.result)
    name = "Poisoning’s success"
    if invalid:
        return [Tile(name, NOT_MEASURED, invalid)]
    if success and success.get("rate") is not None:
        bounds = wording.interval("accuracy", tuple(success["interval"])) if success.get("interval") else ""
        many = f"{success['successes']:,} of {success['n']:,}" if success.get("n") else ""
        oracle = "the rule was told f (an oracle)" if is_oracle(run.result) else ""
        return [Tile(name, percent(success["rate"]), ", ".join(filter(None, (bounds, many, oracle))))]
    return [Tile(name, NOT_MEASURED, "not on this model")] if aimed else []


NOT_MEASURED = "not measured"


def _tile(run: Run, name: str, metrics: Metrics, metric: str) -> Tile:
    number = run.global_model[1]
    name = f"{name} {measured_after(run.result, number)}" if number is not None else name
    why = wording.not_measured(run, metrics, metric)
    if why:
        return Tile(name, NOT_MEASURED, why)
    bounds = wording.interval(metric, metrics.intervals[metric])
    note = f"{metrics.correct:,} of {metrics.n:,}" if metric == "accuracy" else ""
    return Tile(
        name, score(metric, metrics.scores[metric]), ", ".join(part for part in (bounds, note) if part)
    )


def _rounds(run: Run) -> dict[str, Any]:
    if not run.rounds:
        return {
            "figure": None,
            "table": None,
            "missing": wording.missing(run, "no round was completed"),
        }
    return {
        "figure": _round_figure(run),
        "table": _round_table(run),
        "missing": wording.missing(run, "no round was evaluated on the test images"),
    }


def _round_figure(run: Run) -> Any:
    if not any(one.evaluation.clean for one in run.rounds):
        return None
    from fedrobust.report import figures

    return figures.by_round(run.rounds, run.part("model").get("selected-round")).to_plotly_json()


def _round_table(run: Run) -> Table:
    attacked = list(
        dict.fromkeys(
            (attack, size)
            for one in run.rounds
            for attack, size, _ in wording.headlines(one.evaluation.attacked)
        )
    )
    head = [Cell("Accuracy", "test"), Cell("Balanced accuracy", "test"), Cell("AUC", "test")]
    head += [Cell(f"{wording.attack_name(attack)} {size.name}", "accuracy") for attack, size in attacked]
    head += [
        Cell("Accuracy", "validation"),
        Cell("Loss", "training"),
        Cell("Clients", "trained"),
        Cell("Time"),
    ]
    selected = run.part("model").get("selected-round")
    rows = []
    for one in run.rounds:
        name = Cell(str(one.number), "kept" if one.number == selected else "start" if one.number == 0 else "")
        rows.append((name, _round_cells(one, attacked)))
    filled = [any(cells[index].text != NONE for _, cells in rows) for index in range(len(head))]
    return Table("Round", _kept(head, filled), [(name, _kept(cells, filled)) for name, cells in rows])


def _kept(cells: Sequence[Cell], filled: Sequence[bool]) -> list[Cell]:
    return [cell for cell, full in zip(cells, filled, strict=True) if full]


def _round_cells(one: Round, attacked: Sequence[tuple[str, Epsilon]]) -> list[Cell]:
    clean = one.evaluation.clean
    cells = [_score_cell(clean, metric) for metric in ("accuracy", "balanced_accuracy", "auc")]
    for attack, size in attacked:
        cells.append(_score_cell(one.evaluation.attacked.get(attack, {}).get(size), "accuracy", note=False))
    cells.append(_score_cell(one.validation, "accuracy", note=False))
    cells.append(Cell(NONE if one.loss is None else f"{one.loss:.3f}"))
    trained = NONE if one.trained is None else f"{one.trained:,}"
    if one.sampled is not None and one.trained is not None and one.sampled != one.trained:
        trained += f" of {one.sampled:,}"
    cells.append(Cell(trained, f"{one.failed:,} failed" if one.failed else ""))
    cells.append(Cell(wording.duration(one.seconds)))
    return cells


def _score_cell(metrics: Metrics | None, metric: str, *, note: bool = True) -> Cell:
    if metrics is None or (metric != "accuracy" and metrics.one_class):
        return Cell(NONE)
    bounds = wording.interval(metric, metrics.intervals[metric]) if note else ""
    return Cell(score(metric, metrics.scores[metric]), bounds)


def _attacks(run: Run) -> dict[str, Any]:
    models = {run.global_name: run.global_model[0]} | ({"Student": run.student} if run.student else {})
    models = {name: evaluation for name, evaluation in models.items() if evaluation.attacked}
    if not models:
        text = wording.missing(run, "no model was attacked")
        return {"figure": None, "tables": [], "metrics": {}, "missing": text, "note": ""}
    from fedrobust.report import figures

    attacks = list(dict.fromkeys(attack for evaluation in models.values() for attack in evaluation.attacked))
    figure = figures.by_epsilon(models, len(run.labels))
    return {
        "figure": figure.to_plotly_json(),
        "tables": [_attack_table(attack, models) for attack in attacks],
        # A score that no model has needs no button.
        "metrics": {
            metric: name
            for metric, name in figures.NAMES.items()
            if any("epsilon" in trace.meta and trace.meta["metric"] == metric for trace in figure.data)
        },
        "missing": "",
        "note": _attack_note(attacks, models),
    }


def _attack_note(attacks: Sequence[str], models: Mapping[str, Evaluation]) -> str:
    notes = []
    if set(attacks) == {"fgsm"}:
        notes.append(
            "FGSM takes a single step; what withstands it may still fall to an attack of many steps."
        )
    if any(0 < size.value < HALF_A_GREY_LEVEL for size, _ in _all_metrics(models)):
        notes.append("An image of 8 bits cannot carry a perturbation under half a grey level (†).")
    if any(wording.versus_majority(one) == "level" for _, one in _all_metrics(models)):
        notes.append("“Level” is an accuracy whose interval holds the majority rate.")
    if any(_versus(one).note for _, one in _all_metrics(models)):
        notes.append("“One class” stands where one class is more than 95\u202f% of the answers.")
    return " ".join(notes)


def _all_metrics(models: Mapping[str, Evaluation]) -> list[tuple[Epsilon, Metrics]]:
    return [
        pair
        for evaluation in models.values()
        for table in evaluation.attacked.values()
        for pair in table.items()
    ]


def _attack_table(attack: str, models: Mapping[str, Evaluation]) -> Table:
    measures = ("Accuracy", "Right", "Balanced", "AUC", "vs. majority")
    head = [Cell("Grey levels")] + [Cell(measure) for measure in measures] * len(models)
    sizes = sorted({size for evaluation in models.values() for size in evaluation.attacked.get(attack, {})})
    rows = [
        (Cell("0"), [Cell("clean"), *_attack_cells([evaluation.clean for evaluation in models.values()])])
    ]
    for size in sizes:
        mark = "†" if 0 < size.value < HALF_A_GREY_LEVEL else ""
        metrics = [evaluation.attacked.get(attack, {}).get(size) for evaluation in models.values()]
        rows.append((Cell(size.name), [Cell(wording.grey(size) + mark), *_attack_cells(metrics)]))
    groups = [("", 1)] + [(name, len(measures)) for name in models]
    return Table("ε", head, rows, wording.attack_name(attack), groups)


def _attack_cells(models: Sequence[Metrics | None]) -> list[Cell]:
    cells = []
    for metrics in models:
        cells.append(_score_cell(metrics, "accuracy"))
        cells.append(_right(metrics))
        cells += [_score_cell(metrics, metric, note=False) for metric in ("balanced_accuracy", "auc")]
        cells.append(_versus(metrics))
    return cells


def _right(metrics: Metrics | None) -> Cell:
    return Cell(f"{metrics.correct:,} / {metrics.n:,}" if metrics else NONE)


def _versus(metrics: Metrics | None) -> Cell:
    if metrics is None:
        return Cell(NONE)
    top = wording.most_frequent(metrics)
    note = "one class" if top and top[1] > wording.COLLAPSED else ""
    return Cell(wording.versus_majority(metrics), note)


def _examples(run: Run) -> dict[str, Any]:
    if run.examples is None:
        problem = run.problems.get("examples.npz")
        text = wording.missing(run, "no attacked images were kept")
        text = f"examples.npz cannot be read: {problem}" if problem else text
        return {"columns": [], "rows": [], "missing": text, "more": ""}
    examples = run.examples
    total = len(examples.labels)
    columns = [
        Cell("clean")
        if value == 0
        else Cell(f"ε {name}", f"{wording.grey(Epsilon(float(value), name))} grey levels")
        for value, name in zip(examples.epsilons, examples.names, strict=True)
    ]
    rows = [_example(run, examples, index) for index in range(min(total, SHOWN_EXAMPLES))]
    more = f"The first {SHOWN_EXAMPLES} of {total:,} kept images." if total > SHOWN_EXAMPLES else ""
    return {
        "columns": columns,
        "rows": rows,
        "missing": "" if rows else "examples.npz holds no images.",
        "more": more,
    }


def _example(run: Run, examples: Examples, index: int) -> tuple[str, list[Picture]]:
    truth = int(examples.labels[index])
    images = examples.images[index]
    row = []
    for column, size in enumerate(examples.epsilons):
        answers = np.nan_to_num(examples.probabilities[index, column])
        answer = int(answers.argmax())
        change = pictures.difference(images[0], images[column], float(size))
        row.append(
            Picture(
                image=pictures.data_uri(images[column]),
                change=pictures.data_uri(change) if size > 0 else "",
                answer=run.label(answer),
                confidence=f"{100 * answers[answer]:.0f}{wording.THIN}%",
                right=answer == truth,
            )
        )
    return run.label(truth), row


@dataclass(frozen=True)
class _Model:
    """A column of the comparison."""

    name: Cell
    evaluation: Evaluation
    facts: Mapping[str, Any]


def _models(run: Run) -> dict[str, Any]:
    columns = _columns(run)
    absent = []
    if run.student is None:
        absent.append(wording.missing(run, "no student was distilled"))
    if not run.result.get("export"):
        absent.append(wording.missing(run, "no file was exported for the edge"))
    return {
        "table": _comparison(run, columns) if columns else None,
        "distillation": _distillation(run),
        "missing": " ".join(dict.fromkeys(absent)),
        "nothing": wording.missing(run, "no model was evaluated"),
    }


def _columns(run: Run) -> list[_Model]:
    columns = []
    if run.global_model[0].clean:
        model = run.part("model")
        name = Cell(run.global_name, str(model.get("name") or ""))
        columns.append(_Model(name, run.global_model[0], model))
    if run.student:
        student = run.part("student")
        columns.append(_Model(Cell("Student", str(student.get("name") or "")), run.student, student))
    for file in run.result.get("export") or ():
        name = Cell(str(file.get("format") or "file"), str(file.get("file") or ""))
        columns.append(_Model(name, Evaluation(Metrics.read(file.get("metrics")), {}), file))
    return columns


def _comparison(run: Run, columns: Sequence[_Model]) -> Table:
    rows: list[tuple[Cell, Sequence[Cell]]] = []

    def row(name: Cell, cell: Callable[[_Model], Cell]) -> None:
        cells = [cell(column) for column in columns]
        if any(one.text != NONE for one in cells):
            rows.append((name, cells))

    row(Cell("Accuracy"), _accuracy_cell)
    row(Cell("Right"), lambda one: _right(one.evaluation.clean))
    row(_against(run, columns), lambda one: _versus(one.evaluation.clean))
    row(Cell("Balanced accuracy"), lambda one: _score_cell(one.evaluation.clean, "balanced_accuracy"))
    row(Cell("AUC"), lambda one: _score_cell(one.evaluation.clean, "auc"))
    diseases = run.part("dataset").get("disease") or ()
    for index in range(
        max((len(one.evaluation.clean.recall) for one in columns if one.evaluation.clean), default=0)
    ):
        name = Cell(f"Recall of “{run.label(index)}”", "disease" if index in diseases else "")
        row(name, lambda one, index=index: _recall_cell(one.evaluation.clean, index))  # type: ignore[misc]
    for attack, size in dict.fromkeys(
        (attack, size) for one in columns for attack, size, _ in wording.headlines(one.evaluation.attacked)
    ):
        name = Cell(f"Accuracy under {wording.attack_name(attack)}", f"ε {wording.epsilon(size)}")
        row(
            name,
            lambda one, attack=attack, size=size: _score_cell(  # type: ignore[misc]
                one.evaluation.attacked.get(attack, {}).get(size), "accuracy"
            ),
        )
    row(Cell("Parameters"), lambda one: _number(one.facts.get("parameters")))
    row(Cell("File size"), lambda one: Cell(wording.size_in_bytes(one.facts.get("bytes"))))
    row(Cell("Latency of one image", "median"), _latency_cell)
    row(Cell("Agreement", "same answer as the model exported"), _agreement_cell)
    return Table("On the test images", [column.name for column in columns], rows)


def _against(run: Run, columns: Sequence[_Model]) -> Cell:
    rates = (one.evaluation.clean.majority_rate for one in columns if one.evaluation.clean)
    rate = next((rate for rate in rates if rate is not None), None)
    return Cell(
        "Against the majority",
        f"always “{wording.majority(run)}”: {percent(rate)}" if rate is not None else "",
    )


def _accuracy_cell(model: _Model) -> Cell:
    if model.evaluation.clean:
        return _score_cell(model.evaluation.clean, "accuracy")
    bounds = model.facts.get("interval")
    note = wording.interval("accuracy", (bounds[0], bounds[1])) if bounds else ""
    return Cell(percent(model.facts.get("accuracy")), note)


def _recall_cell(metrics: Metrics | None, index: int) -> Cell:
    if metrics is None or index >= len(metrics.recall):
        return Cell(NONE)
    return Cell(percent(metrics.recall[index]), wording.interval("recall", metrics.recall_intervals[index]))


def _latency_cell(model: _Model) -> Cell:
    latency = model.facts.get("latency_ms") or {}
    if latency.get("p50") is None:
        return Cell(NONE)
    notes = [f"p95 {_milliseconds(latency['p95'])}"] if latency.get("p95") is not None else []
    notes += [wording.count(int(latency["threads"]), "thread")] if latency.get("threads") else []
    return Cell(_milliseconds(latency["p50"]), ", ".join(notes))


def _agreement_cell(model: _Model) -> Cell:
    return Cell(percent(model.facts.get("agreement")))


def _number(value: Any) -> Cell:
    return Cell(NONE if value is None else f"{value:,}")


def _milliseconds(value: float) -> str:
    return f"{value:.2f}{wording.THIN}ms" if value < 10 else f"{value:,.0f}{wording.THIN}ms"


def _distillation(run: Run) -> str:
    facts = run.part("student").get("distillation") or {}
    if not facts:
        return ""
    parts = [f"{facts['images']:,} images"] if facts.get("images") is not None else []
    parts += [f"the {facts['source']}"] if facts.get("source") else []
    text = f"The student learnt from {' of '.join(parts)}" if parts else "The student was distilled"
    settings = [f"{facts['epochs']:,} epochs"] if facts.get("epochs") is not None else []
    settings += [f"temperature {facts['temperature']:g}"] if facts.get("temperature") is not None else []
    settings += [wording.duration(facts["seconds"])] if facts.get("seconds") is not None else []
    return text + (f": {', '.join(settings)}." if settings else ".")


def _clients(run: Run) -> dict[str, Any]:
    failures: dict[tuple[int, str], list[str]] = {}
    for one in run.rounds:
        for client, reason in one.failures:
            failures.setdefault((client, reason), []).append(str(one.number))
    rows = [
        (client, wording.enumerate_words(rounds), reason)
        for (client, reason), rounds in sorted(failures.items())
    ]
    return {"failures": rows, **_partition(run)}


def _partition(run: Run) -> dict[str, Any]:
    if run.partition is None:
        problem = run.problems.get("partition.json")
        text = wording.missing(run, "partition.json is absent, so the clients’ shares are unknown")
        text = f"partition.json cannot be read: {problem}" if problem else text
        return {"figure": None, "sentence": text, "facts": []}
    from fedrobust.report import figures

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
        "figure": figures.by_client(full, labels).to_plotly_json(),
        "sentence": wording.of_first(len(full), run.partition.clients) + wording.dealt(full, labels),
        "facts": facts,
    }


def _data(run: Run) -> list[tuple[str, str]]:
    dataset = run.part("dataset")
    facts = [
        (name.capitalize(), wording.plain(dataset[name]))
        for name in ("name", "task", "source", "licence", "digest")
        if dataset.get(name) is not None
    ]
    if dataset.get("image-shape"):
        facts.append(("Images", " × ".join(str(length) for length in dataset["image-shape"])))
    for split, total in (dataset.get("samples") or {}).items():
        counts = (dataset.get("counts") or {}).get(split) or ()
        classes = ", ".join(f"{number:,} {run.label(index)}" for index, number in enumerate(counts))
        facts.append((f"{split.capitalize()} set", f"{total:,}" + (f" ({classes})" if classes else "")))
    return facts
