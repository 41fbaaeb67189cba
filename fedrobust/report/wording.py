"""Numbers and findings in words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fedrobust.report.folder import Attacked, Epsilon, Evaluation, Interval, Metrics, Run
from fedrobust.runs.outcome import measured_after

THIN = "\u202f"  # the narrow no-break space that the SI asks for between a number and its unit
JOINER = "\u2060"  # keeps a range on one line of running text
NONE = "–"
PAPER_EPSILON = 0.005  # the largest perturbation of the paper's tables, quoted beside the largest of the run
COLLAPSED = 0.95


def percent(value: float | None) -> str:
    r"""Write a share in percent.

    Example:
        >>> percent(0.8429)
        '84.3\u202f%'
    """
    return NONE if value is None else f"{100 * value:.1f}{THIN}%"


def score(metric: str, value: float | None) -> str:
    """Write one score the way the field does: an AUC as a number in [0, 1], anything else in percent."""
    if value is None:
        return NONE
    return f"{value:.3f}" if metric == "auc" else percent(value)


def interval(metric: str, bounds: Interval | None) -> str:
    """Write an interval without its unit, as it stands after a score.

    Example:
        >>> interval("accuracy", (0.812, 0.870)), interval("auc", (0.93, 0.97)), interval("auc", None)
        ('81.2–87.0', '0.930–0.970', '')
    """
    if bounds is None:
        return ""
    if metric == "auc":
        return f"{bounds[0]:.3f}–{bounds[1]:.3f}"
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"


def epsilon(size: Epsilon) -> str:
    """Write an epsilon in both notations.

    Example:
        >>> epsilon(Epsilon.read("0.005")), epsilon(Epsilon.read("8/255"))
        ('0.005 = 1.3/255', '8/255 = 0.0314')
    """
    return f"{size.name} = {size.value:.3g}" if "/" in size.name else f"{size.name} = {grey(size)}/255"


def grey(size: Epsilon) -> str:
    """Write an epsilon in grey levels."""
    return f"{size.grey:.2f}" if size.grey < 0.995 else f"{size.grey:.1f}".removesuffix(".0")


def attack_name(name: str) -> str:
    """Write an attack's name: acronyms in capitals, words as they are."""
    return name.upper() if name.isalpha() and len(name) <= 4 else name


def count(number: int, noun: str) -> str:
    """Write a count with its noun in the right number.

    Example:
        >>> count(1, "round"), count(1200, "hospital")
        ('1 round', '1,200 hospitals')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size_in_bytes(number: float | None) -> str:
    """Write a file size in decimal units."""
    if number is None:
        return NONE
    if number < 1000:
        return f"{number:.0f}{THIN}bytes"
    if number < 999_500:  # beyond, three digits would round to 1000 kB
        return f"{number / 1e3:.3g}{THIN}kB"
    return f"{number / 1e6:.3g}{THIN}MB" if number < 999.5e6 else f"{number / 1e6:,.0f}{THIN}MB"


def duration(seconds: float | None) -> str:
    r"""Write a time span.

    Example:
        >>> duration(4.21), duration(125), duration(7300)
        ('4.2\u202fs', '2\u202fmin 5\u202fs', '2\u202fh 1\u202fmin')
    """
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60}{THIN}min"


def headline(attacked: Attacked) -> tuple[str, Epsilon, Metrics] | None:
    """Choose the one attacked score to quote: the first attack at epsilon 0.005, else at its largest."""
    return next(iter(headlines(attacked)), None)


def headlines(attacked: Attacked) -> list[tuple[str, Epsilon, Metrics]]:
    """Choose the attacked scores to follow: every attack at epsilon 0.005 and at its largest epsilon."""
    chosen = []
    for attack, table in attacked.items():
        sizes = [size for size in table if math.isclose(size.value, PAPER_EPSILON)][:1]
        sizes += [size for size in (max(table),) if size not in sizes]
        chosen += [(attack, size, table[size]) for size in sizes]
    return chosen


def majority(run: Run) -> str | None:
    """Name the largest class of the test set."""
    counts = (run.part("dataset").get("counts") or {}).get("test") or ()
    return run.label(counts.index(max(counts))) if counts else None


def summary(run: Run) -> str:
    """Say in one sentence what the run found, with its numbers; one cut short says how far it came."""
    rounds = max((one.number for one in run.rounds), default=0)
    federation = run.part("experiment").get("federation") or {}
    clients = run.partition.clients if run.partition else federation.get("clients")
    size = (
        f"{count(int(clients), 'hospital')}, {count(rounds, 'round')}" if clients else count(rounds, "round")
    )
    evaluation, number = run.global_model
    when = f" {measured_after(run.result, number)}" if number is not None else ""
    end = f" before the run {ended(run)}" if run.unfinished else ""
    if evaluation.clean is None:
        return f"{size}{end}: no model was evaluated on the test images."
    return f"{size}{end}: {_findings(run, evaluation, evaluation.clean, when)}."


def ended(run: Run) -> str:
    """Say what ended a run that did not come to its end."""
    return (
        "failed" if run.failed else "was stopped" if run.result.get("status") == "stopped" else "was recorded"
    )


def unfinished(run: Run) -> str:
    """Say that a run did not come to its end, and how far it came; "" if it did."""
    if not run.unfinished:
        return ""
    state = {"failed": "This run failed", "stopped": "This run was stopped"}
    begun = state.get(str(run.result.get("status")), "This run is not finished")
    return f"{begun}: {run.progress} are done; its figures are not those of the study"


def go_on(run: Run) -> str:
    """Say how to go on with a run that did not come to its end; "" for one that did."""
    if not run.unfinished:
        return ""
    if run.resumable:
        return f"Go on with: fedrobust run --resume {run.folder} (the folder of this page)"
    return "It left no checkpoint to go on from: run the study again."


def not_measured(run: Run, metrics: Metrics, metric: str) -> str:
    """Return why a score cannot be measured on the images that it would be measured on; "" where it was.

    AUC and balanced accuracy compare classes: of one class alone they say nothing, whatever number a formula gives.
    """
    if not metrics.n:
        return "there are no images"
    present = [index for index, value in enumerate(metrics.recall) if value is not None]
    if metric != "accuracy" and len(present) == 1:
        return f"all images are “{run.label(present[0])}”"
    return "" if metrics.scores[metric] is not None else "it is undefined for these answers"


def _findings(run: Run, evaluation: Evaluation, clean: Metrics, when: str) -> str:
    bounds = interval("accuracy", clean.intervals["accuracy"]).replace("–", f"–{JOINER}")
    text = f"{percent(clean.accuracy)} of {clean.n:,} test images right{when}" + (
        f" ({bounds})" if bounds else ""
    )
    if clean.scores["auc"] is not None and not clean.one_class:
        text += f", AUC {score('auc', clean.scores['auc'])}"
    name = majority(run)
    if clean.majority_rate is not None and name is not None:
        text += f"; always saying “{name}” scores {percent(clean.majority_rate)}"
    attacked = headline(evaluation.attacked)
    if attacked:
        text += f"; {attack_name(attacked[0])} at {attacked[1].name} leaves {percent(attacked[2].accuracy)}"
    return text


def versus_majority(metrics: Metrics) -> str:
    """Say whether an accuracy's interval lies above, level with or below what the largest class scores."""
    bounds = metrics.intervals["accuracy"]
    if bounds is None or metrics.majority_rate is None:
        return NONE
    if bounds[0] > metrics.majority_rate:
        return "above"
    return "below" if bounds[1] < metrics.majority_rate else "level"


def most_frequent(metrics: Metrics) -> tuple[int, float] | None:
    """The class answered most often, and its share of the answers."""
    total = sum(metrics.predicted)
    if not total:
        return None
    return metrics.predicted.index(max(metrics.predicted)), max(metrics.predicted) / total


def warnings(run: Run) -> list[str]:
    """Say where a model does no better than a constant answer.

    Two signs are looked for, clean and under attack: one class is more than 95 % of the answers, or the 95 %
    interval of the accuracy holds what always answering the largest class scores.
    """
    found: list[str] = []
    for subject, evaluation in _subjects(run):
        if evaluation.clean:
            found += _clean_warning(run, subject, evaluation.clean)
        for attack, table in evaluation.attacked.items():
            found += _attacked_warnings(run, f"{subject} under {attack_name(attack)}", table)
    return found


FEW = 30
"""Test images under which an interval of a share is wider than a quarter of the scale."""


def cautions(run: Run) -> list[str]:
    """Say where the test images are too few, or of too few classes, for a figure to mean much."""
    counts = list((run.part("dataset").get("counts") or {}).get("test") or ())
    if not counts:
        return []
    found = []
    present = [index for index, number in enumerate(counts) if number]
    if len(present) == 1:
        found.append(
            f"All {counts[present[0]]:,} test images are “{run.label(present[0])}”: accuracy is that class's recall, "
            "and balanced accuracy and AUC cannot be measured."
        )
    elif len(present) < len(counts):
        absent = [f"“{run.label(index)}”" for index, number in enumerate(counts) if not number]
        found.append(
            f"No test image is {enumerate_words(absent)}: nothing is known of how the model answers there."
        )
    few = [index for index in present if counts[index] < FEW]
    if few and len(present) > 1:
        named = enumerate_words([f"{counts[index]:,} “{run.label(index)}”" for index in few])
        found.append(f"The test images hold only {named}: a recall of so few has a wide interval.")
    return found


def _subjects(run: Run) -> Iterator[tuple[str, Evaluation]]:
    yield f"The {run.global_name[0].lower()}{run.global_name[1:]}", run.global_model[0]
    if run.student:
        yield "The student", run.student
    for file in run.result.get("export") or ():
        yield f"The {file.get('format', '')} file", Evaluation(Metrics.read(file.get("metrics")), {})


def _clean_warning(run: Run, subject: str, metrics: Metrics) -> list[str]:
    top = most_frequent(metrics)
    if top and top[1] > COLLAPSED:
        times, total = max(metrics.predicted), sum(metrics.predicted)
        return [
            f"{subject} answers “{run.label(top[0])}” for {times:,} of {total:,} test images "
            f"({percent(top[1])}): it is close to a constant."
        ]
    if versus_majority(metrics) != "level":
        return []
    bounds = interval("accuracy", metrics.intervals["accuracy"])
    return [
        f"{subject} scores {percent(metrics.accuracy)} ({bounds}), which is not told apart from the "
        f"{percent(metrics.majority_rate)} of a constant answer."
    ]


def _attacked_warnings(run: Run, subject: str, table: Mapping[Epsilon, Metrics]) -> list[str]:
    constant: dict[int, list[str]] = {}
    level: list[str] = []
    for size, metrics in table.items():
        top = most_frequent(metrics)
        if top and top[1] > COLLAPSED:
            constant.setdefault(top[0], []).append(size.name)
        elif versus_majority(metrics) == "level":
            level.append(size.name)
    found = [
        f"{subject} {_at(sizes, table)} answers “{run.label(index)}” for more than 95{THIN}% of the images."
        for index, sizes in constant.items()
    ]
    if level:
        rate = next(iter(table.values())).majority_rate
        found.append(
            f"{subject} {_at(level, table)} is not told apart from the {percent(rate)} of a constant answer."
        )
    return found


def _at(sizes: Sequence[str], table: Mapping[Epsilon, Metrics]) -> str:
    return "at every ε" if 1 < len(sizes) == len(table) else f"at ε = {enumerate_words(sizes)}"


def enumerate_words(words: Sequence[str]) -> str:
    """Join words as a sentence does.

    Example:
        >>> enumerate_words(["a", "b", "c"])
        'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def dealt(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    """Say how many images clients hold, and how many lack a class altogether.

    Args:
        counts: images by client and class.
        labels: the names of the classes.

    Example:
        >>> dealt([[3, 1], [0, 5], [0, 2]], ["ill", "well"])
        '3 hospitals hold 2 to 5 images each (median 4). 2 of them have no “ill”.'
    """
    sizes = sorted(sum(row) for row in counts)
    middle = (sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2
    if len(sizes) == 1:
        text = f"1 hospital holds {count(sizes[0], 'image')}."
    elif sizes[0] == sizes[-1]:
        text = f"{count(len(sizes), 'hospital')} hold {count(sizes[0], 'image')} each."
    else:
        extent = f"{sizes[0]:,} to {sizes[-1]:,} images each (median {middle:g})"
        text = f"{count(len(sizes), 'hospital')} hold {extent}."
    lacking = [(sum(not row[index] for row in counts), label) for index, label in enumerate(labels)]
    parts = [
        f"{number:,} of them {'has' if number == 1 else 'have'} no “{label}”"
        for number, label in lacking
        if number and len(sizes) > 1
    ]
    return f"{text} {enumerate_words(parts)}." if parts and len(parts) <= 3 else text


def of_first(shown: int, clients: int) -> str:
    """Say that only the first of many clients are shown; nothing if they all are.

    Example:
        >>> of_first(1000, 100_000), of_first(5, 5)
        ('Of 100,000 hospitals, the first 1,000 are shown. ', '')
    """
    return f"Of {clients:,} hospitals, the first {shown:,} are shown. " if shown < clients else ""


def missing(run: Run, statement: str) -> str:
    """Say why a part of the page is empty: `statement` alone, or what ended the run, so that it holds."""
    if run.unfinished:
        return f"The run {ended(run)}: {statement}."
    return f"{statement[0].upper()}{statement[1:]}."


def plain(value: Any) -> str:
    """Write a setting."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return NONE if value is None else str(value)
