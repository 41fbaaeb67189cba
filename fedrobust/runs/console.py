"""A run as it is seen in a terminal: live on a screen, plain lines in a pipe."""

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from fedrobust.reasons import first_reason
from fedrobust.runs.events import (
    AttackProgressed,
    CheckFinished,
    ClientReplied,
    Event,
    ForecastMade,
    RoundFinished,
    RoundStarted,
    StageStarted,
    StudyFinished,
    StudyResumed,
    StudyStarted,
)
from fedrobust.runs.forecast import duration
from fedrobust.runs.outcome import cut_short, invalid_line
from fedrobust.runs.tolerance import told_in
from fedrobust.streams import silence_output

PIPE_WIDTH = 120
"""Columns where the output is no terminal and has no width of its own."""


class Screen(Console):
    """A console whose reader may leave: what it would have been shown is dropped, and the run goes on."""

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        self.quiet = True
        silence_output()


def standard_output() -> Console:
    """Return a console on standard output, as wide as the terminal, or wide enough for tables in a pipe."""
    console = Screen(highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


class ConsoleListener:
    """Shows the events of a run; use it as a context manager.

    Args:
        console: where to write; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or standard_output()
        self.live = self.console.is_terminal
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self.rounds = 0
        self.seconds: list[float] = []
        self.after: tuple[str, ...] = ()
        self.folder = ""
        self.clients = 0
        self.task = self.progress.add_task("starting", total=None, count="")

    def __enter__(self) -> "ConsoleListener":
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StudyStarted():
                self.rounds = event.rounds
                self.after = event.after
                self._say(f"[bold]{escape(event.name)}[/]  {escape(event.summary)}")
                self._say(f"run folder: {escape(event.folder)}")
                for remark in event.remarks:
                    self._say(escape(remark), style="yellow")
                self.folder = event.folder
            case StageStarted():
                self._begin(escape(event.stage), None)
                if not self.live:
                    self._say(f"{escape(event.stage)} ...")
            case ForecastMade():
                self._say(escape(event.line), style="dim")
            case StudyResumed():
                self._say(f"resumed after round {event.rounds}")
            case RoundStarted():
                self._begin(f"round {event.round}/{self.rounds}", event.clients)
            case ClientReplied():
                self.clients += 1
                self.progress.update(self.task, advance=1, count=f"{self.clients} clients")
            case AttackProgressed():
                passes = f"{event.done:,} passes"
                total = event.done + event.left
                name = escape(event.attack)
                self.progress.update(
                    self.task, description=name, completed=event.done, total=total, count=passes
                )
            case CheckFinished():
                self._say(check_line(event.finding))
            case RoundFinished():
                self.seconds.append(float(event.record.get("seconds") or 0.0))
                line = round_line(event.record, self.rounds) + self._left(event.record["round"])
                self._say(escape(line))
                for failure in (event.record.get("defence") or {}).get("attack-failures", [])[:3]:
                    reason = first_reason(str(failure["reason"]))
                    self._say(
                        f"    the attack of client {failure['partition']} failed: {escape(reason)}",
                        style="red",
                    )
                if event.record.get("kept"):
                    stays = f"    the global model stays as it was: {escape(str(event.record['kept']))}"
                    self._say(stays, style="yellow")
                for failure in event.record["clients"].get("failures", [])[:3]:
                    self._say(
                        f"    client {failure['partition']} left out: {escape(first_reason(failure['reason']))}",
                        style="yellow",
                    )
            case StudyFinished():
                self.progress.stop()
                if event.result["status"] == "finished":
                    for table in summary_tables(event.result):
                        self.console.print()
                        self.console.print(table)
                    self.console.print()
                    for caution in limits(event.result):
                        self._say(f"[yellow]{escape(caution)}[/]")
                    if words := told_in(event.result):
                        self._say(f"defence: {escape(words)}")
                    if event.result.get("audit"):
                        self._say(f"\naudit: {verdict_line(event.result['audit'])}")
                    if (event.result.get("student") or {}).get("audit"):
                        self._say(f"audit of the student: {verdict_line(event.result['student']['audit'])}")
                elif words := cut_short(event.result):
                    self._say(f"the run {words}; what was measured is in its folder", style="yellow")

    def _left(self, round: int) -> str:
        """Return how long the rounds that are left will take, judged by those of this session."""
        left = self.rounds - round
        if left <= 0 or not any(self.seconds):
            return ""
        after = f", then {', '.join(self.after)}" if self.after else ""
        return f"  about {duration(left * sum(self.seconds) / len(self.seconds))} of rounds left{after}"

    def _begin(self, description: str, clients: int | None) -> None:
        self.progress.remove_task(self.task)
        self.clients = 0
        self.task = self.progress.add_task(description, total=clients, count="")

    def _say(self, text: str, **style: Any) -> None:
        say(self.console, text, **style)


def say(console: Console, text: str, **style: Any) -> None:
    """Print one line: a terminal's own line breaks would fall inside of words, a pipe's lines stay whole.

    Args:
        console: where to.
        text: in Rich's markup.
        style: as Rich's `Console.print` takes it.
    """
    console.print(text, soft_wrap=not console.is_terminal, **style)


def limits(result: Mapping[str, Any]) -> list[str]:
    """Return what the figures of a finished run cannot say: its attack failed, or its test images do not suffice."""
    invalid = invalid_line(result)
    found = [f"{invalid}: its figures say nothing of the defence"] if invalid else []
    dataset = result.get("dataset") or {}
    counts = (dataset.get("counts") or {}).get("test") or ()
    present = [str(label) for label, count in zip(dataset.get("labels") or (), counts, strict=False) if count]
    if len(present) == 1 and len(counts) > 1:
        found.append(f"all test images are {present[0]!r}: balanced accuracy and AUC are not measured")
    total = (dataset.get("samples") or {}).get("test")
    if total is not None and total < FEW_IMAGES:
        found.append(f"only {total} test images: their figures have wide intervals")
    return found


FEW_IMAGES = 30
"""Test images under which one image is more than three percentage points."""


def round_line(record: Mapping[str, Any], rounds: int) -> str:
    """Return one round as one line."""
    clients = record["clients"]
    parts = [f"round {record['round']:>{len(str(rounds))}}/{rounds}"]
    if clients:
        parts.append(f"{clients['trained']}/{clients['sampled']} clients")
        if clients["loss"] is not None:
            parts.append(f"loss {clients['loss']:.3f}")
    if record["clean"]:
        parts.append(_scores(record["clean"]))
    for attack, curve in record["robust"].items():
        epsilon, metrics = list(curve.items())[-1]
        parts.append(f"{attack} {epsilon}: {metrics['accuracy']:.1%}")
    defence = record.get("defence") or {}
    caught = defence.get("true-positive-rate")
    if not defence.get("valid", True):
        parts.append("invalid: the attack failed")
    elif caught is not None:
        parts.append(f"attackers left out: {caught:.0%}")
    if record.get("attack-success") and defence.get("valid", True):
        parts.append(f"attack success {record['attack-success']['rate']:.1%}")
    parts.append(f"{record['seconds']:.1f} s")
    return "  ".join(parts)


MARKS = {
    "passed": "[green]passed[/]",
    "failed": "[red]failed[/]",
    "not applicable": "[dim]-     [/]",
    "not made": "[yellow]open  [/]",
}


def check_line(finding: Mapping[str, Any]) -> str:
    """Return one check of an audit as one line, in Rich's markup."""
    mark = MARKS.get(finding["outcome"], escape(str(finding["outcome"])))
    check = f"{finding['check']:<32}"
    return f"  {mark}  {escape(check)} {escape(finding['figure'])}"


def verdict_line(card: Mapping[str, Any]) -> str:
    """Return an audit's verdict as one line, in Rich's markup."""
    verdict, threat = card["verdict"], card["threat"]
    colour = {"robust": "green", "not proven": "yellow"}.get(verdict["word"], "red")
    because = f" ({', '.join(verdict['deciding'])})" if verdict["deciding"] else ""
    within = f"{threat['norm']}, epsilon {threat['epsilon']}"
    sentence = escape(str(verdict["sentence"]) + because)
    return f"[bold {colour}]{escape(str(verdict['word']))}[/] at {escape(within)}: {sentence}"


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return what the reader of an audit or an attack should know of the model, a line each, in Rich's markup."""
    return [f"  [dim]{escape(str(note))}[/]" for note in result.get("notes", ())]


def attack_table(result: Mapping[str, Any]) -> Table:
    """Return what is left of a model under attack, as a table."""
    data, threat = result["data"], result["threat"]
    table = Table(
        title=escape(
            f"{result['model']['name']}: {data['n']} images of {data['name']}, {threat['norm']}, {threat['space']}"
        ),
        caption=f"Always answering the most frequent class: accuracy {result['clean']['accuracy']['constant']:.1%}, "
        f"balanced accuracy {result['clean']['balanced accuracy']['constant']:.1%}, AUC 0.500. Missed: diseased images "
        "that are given a healthy class.",
        **PLAIN,
    )
    _columns(table, "", "right", "acc.", "95 %", "bal.", "AUC", "missed")
    table.add_row("clean", *_left(result["clean"]))
    name = ""
    for row in result["attacked"]:
        if row["attack"] != name:
            table.add_section()
        name = row["attack"]
        table.add_row(escape(f"{name} {row['epsilon']}"), *_left(row))
    return table


def _left(figures: Mapping[str, Any]) -> tuple[str, ...]:
    accuracy, missed = figures["accuracy"], figures.get("disease missed")
    low, high = accuracy["interval"]
    return (
        f"{accuracy['counts'][0]}/{accuracy['counts'][1]}",
        f"{accuracy['value']:.1%}",
        f"{100 * low:.1f}-{100 * high:.1f}",
        f"{figures['balanced accuracy']['value']:.1%}",
        "-" if figures["auc"]["value"] is None else f"{figures['auc']['value']:.3f}",
        f"{missed['counts'][0]}/{missed['counts'][1]}" if missed else "-",
    )


def summary_tables(result: Mapping[str, Any]) -> list[Table]:
    """Return the tables that end a run: global model and student under attack, and the exported files."""
    dataset = result["dataset"]
    samples = dataset["samples"]["test"]
    majority = result["model-evaluation"]["clean"]["majority_rate"]
    scores = Table(
        title=escape(
            f"{result['name']}: {dataset['name']}, {samples} test images, seed {result['experiment']['seed']}"
        ),
        caption=f"Always answering the most frequent class: accuracy {majority:.1%}, "
        f"balanced accuracy {1 / len(dataset['labels']):.1%}, AUC 0.500.",
        **PLAIN,
    )
    _columns(scores, "", "right", "accuracy", "95 %", "balanced", "AUC")
    _add_model(scores, f"{result['model']['name']}, global", result["model-evaluation"])
    if result["student"]:
        _add_model(scores, f"{result['student']['name']}, student", result["student"])
    tables = [scores]
    if result["export"]:
        files = Table(
            title="exported student", caption="Agreement is with Keras; latency at batch 1.", **PLAIN
        )
        _columns(files, "file", "size", "accuracy", "AUC", "agreement", "p50", "p95", "threads")
        for export in result["export"]:
            _add_file(files, export)
        tables.append(files)
    return tables


PLAIN: dict[str, Any] = {"box": SIMPLE_HEAD, "title_justify": "left", "caption_justify": "left"}


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, overflow="fold")  # settings may be long; numbers are not cut for them
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)


def _add_model(table: Table, name: str, evaluation: Mapping[str, Any]) -> None:
    table.add_section()
    table.add_row(escape(name), *_cells(evaluation["clean"]))
    for attack, curve in evaluation["robust"].items():
        for epsilon, metrics in curve.items():
            table.add_row(escape(f"  {attack} {epsilon}"), *_cells(metrics))


def _add_file(table: Table, export: Mapping[str, Any]) -> None:
    latency, metrics = export["latency_ms"], export["metrics"]
    table.add_row(
        export["file"],
        f"{export['bytes'] / 1000:.0f} kB",
        f"{metrics['accuracy']:.1%}",
        _auc(metrics),
        f"{export['agreement']:.1%}",
        f"{latency['p50']:.2f} ms",
        f"{latency['p95']:.2f} ms",
        str(latency["threads"]),
    )


def _cells(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = metrics["interval"]["accuracy"]
    return (
        f"{metrics['correct']}/{metrics['n']}",
        f"{metrics['accuracy']:.1%}",
        f"{100 * low:.1f}-{100 * high:.1f}",
        _balanced(metrics),
        _auc(metrics),
    )


def _one_class(metrics: Mapping[str, Any]) -> bool:
    recall = metrics.get("recall") or ()
    return len(recall) > 1 and sum(value is not None for value in recall) == 1


def _balanced(metrics: Mapping[str, Any]) -> str:
    # Of one class alone it is that class's recall, and compares nothing.
    unknown = metrics["balanced_accuracy"] is None or _one_class(metrics)
    return "-" if unknown else f"{metrics['balanced_accuracy']:.1%}"


def _auc(metrics: Mapping[str, Any]) -> str:
    return "-" if metrics["auc"] is None or _one_class(metrics) else f"{metrics['auc']:.3f}"


def _scores(metrics: Mapping[str, Any]) -> str:
    return (
        f"accuracy {metrics['accuracy']:.1%} (majority {metrics['majority_rate']:.1%})  "
        f"balanced {_balanced(metrics)}  AUC {_auc(metrics)}"
    )
