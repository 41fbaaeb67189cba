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
from fedrobust.runs.codec import read
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
from fedrobust.runs.record import (
    AttackTableRecord,
    CardRecord,
    ClinicalRecord,
    DatasetRecord,
    DefenceRecord,
    EvaluationRecord,
    ExportRecord,
    FindingRecord,
    MetricsRecord,
    ModelEvaluationRecord,
    ModelRecord,
    RoundRecord,
    RunRecord,
)
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
                self._say(check_line(read(FindingRecord, event.finding)))
            case RoundFinished():
                self._round(RoundRecord.read(event.record))
            case StudyFinished():
                self.progress.stop()
                self._end(RunRecord.read(event.result))

    def _round(self, one: RoundRecord) -> None:
        """Show a round that is over, and what went wrong in it."""
        self.seconds.append(one.seconds or 0.0)
        self._say(escape(round_line(one, self.rounds) + self._left(one.round)))
        for failure in one.defence.attack_failures[:3] if one.defence else ():
            reason = escape(first_reason(failure.reason))
            self._say(f"    the attack of client {failure.partition} failed: {reason}", style="red")
        if one.kept:
            self._say(f"    the global model stays as it was: {escape(one.kept)}", style="yellow")
        for failure in one.clients.failures[:3]:
            reason = escape(first_reason(failure.reason))
            self._say(f"    client {failure.partition} left out: {reason}", style="yellow")

    def _end(self, run: RunRecord) -> None:
        """Show what a study came to."""
        if words := cut_short(run):
            self._say(f"the run {words}; what was measured is in its folder", style="yellow")
            return
        for table in summary_tables(run):
            self.console.print()
            self.console.print(table)
        self.console.print()
        for caution in limits(run):
            self._say(f"[yellow]{escape(caution)}[/]")
        if words := told_in(run):
            self._say(f"defence: {escape(words)}")
        if run.audit:
            self._say(f"\naudit: {verdict_line(run.audit)}")
        if run.student and run.student.audit:
            self._say(f"audit of the student: {verdict_line(run.student.audit)}")

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


def limits(run: RunRecord) -> list[str]:
    """Return what the figures of a finished run cannot say: its attack failed, or its test images do not suffice."""
    invalid = invalid_line(run)
    found = [f"{invalid}: its figures say nothing of the defence"] if invalid else []
    dataset = run.dataset or DatasetRecord()
    counts = dataset.counts.get("test", ())
    present = [label for label, count in zip(dataset.labels, counts, strict=False) if count]
    if len(present) == 1 and len(counts) > 1:
        found.append(f"all test images are {present[0]!r}: balanced accuracy and AUC are not measured")
    total = dataset.samples.get("test")
    if total is not None and total < FEW_IMAGES:
        found.append(f"only {total} test images: their figures have wide intervals")
    return found


FEW_IMAGES = 30
"""Test images under which one image is more than three percentage points."""


def round_line(one: RoundRecord, rounds: int) -> str:
    """Return one round as one line."""
    clients, defence = one.clients, one.defence or DefenceRecord()
    parts = [f"round {one.round:>{len(str(rounds))}}/{rounds}"]
    if clients.sampled is not None:
        parts.append(f"{clients.trained}/{clients.sampled} clients")
    if clients.loss is not None:
        parts.append(f"loss {clients.loss:.3f}")
    if one.clean:
        parts.append(_scores(one.clean))
    for attack, curve in one.robust.items():
        epsilon, metrics = list(curve.items())[-1]
        parts.append(f"{attack} {epsilon}: {metrics.accuracy:.1%}")
    if not defence.valid:
        parts.append("invalid: the attack failed")
    elif defence.true_positive_rate is not None:
        parts.append(f"attackers left out: {defence.true_positive_rate:.0%}")
    if defence.valid and one.attack_success and one.attack_success.rate is not None:
        parts.append(f"attack success {one.attack_success.rate:.1%}")
    parts.append(f"{one.seconds or 0.0:.1f} s")
    return "  ".join(parts)


MARKS = {
    "passed": "[green]passed[/]",
    "failed": "[red]failed[/]",
    "not applicable": "[dim]-     [/]",
    "not made": "[yellow]open  [/]",
}


def check_line(finding: FindingRecord) -> str:
    """Return one check of an audit as one line, in Rich's markup."""
    mark = MARKS.get(finding.outcome, escape(finding.outcome))
    return f"  {mark}  {escape(f'{finding.check:<32}')} {escape(finding.figure)}"


def verdict_line(card: CardRecord) -> str:
    """Return an audit's verdict as one line, in Rich's markup."""
    verdict, threat = card.verdict, card.threat
    colour = {"robust": "green", "not proven": "yellow"}.get(verdict.word, "red")
    because = f" ({', '.join(verdict.deciding)})" if verdict.deciding else ""
    within = escape(f"{threat.norm}, epsilon {threat.epsilon}")
    return f"[bold {colour}]{escape(verdict.word)}[/] at {within}: {escape(verdict.sentence + because)}"


def verdict_of(content: Mapping[str, Any]) -> str:
    """Return the verdict in the content of a ``card.json`` as one line, in Rich's markup."""
    return verdict_line(CardRecord.read(content))


def notes(result: Mapping[str, Any]) -> list[str]:
    """Return what the reader of an audit or an attack should know of the model, a line each, in Rich's markup."""
    return [f"  [dim]{escape(str(note))}[/]" for note in result.get("notes", ())]


def attack_table(content: Mapping[str, Any]) -> Table:
    """Return what is left of a model under attack, the content of an ``attack.json``, as a table."""
    found = read(AttackTableRecord, content)
    clean = found.clean
    table = Table(
        title=escape(
            f"{found.model.name}: {found.data.n} images of {found.data.name}, {found.threat.norm}, {found.threat.space}"
        ),
        caption=f"Always answering the most frequent class: accuracy {_percent(clean.constant('accuracy'))}, balanced "
        f"accuracy {_percent(clean.constant('balanced_accuracy'))}, AUC 0.500. Missed: diseased images that are given "
        "a healthy class.",
        **PLAIN,
    )
    _columns(table, "", "right", "acc.", "95 %", "bal.", "AUC", "missed")
    table.add_row("clean", *_left(clean))
    name = ""
    for row in found.attacked:
        if row.attack != name:
            table.add_section()
        name = row.attack
        table.add_row(escape(f"{name} {row.epsilon}"), *_left(row.metrics))
    return table


def _left(metrics: ClinicalRecord) -> tuple[str, ...]:
    missed = metrics.figures.get("disease missed")
    counts = missed.counts if missed else None
    return (*_cells(metrics), f"{counts[0]}/{counts[1]}" if counts else "-")


def summary_tables(run: RunRecord) -> list[Table]:
    """Return the tables that end a run: global model and student under attack, and the exported files."""
    dataset, model = run.dataset or DatasetRecord(), run.model or ModelRecord()
    evaluation = run.model_evaluation or ModelEvaluationRecord()
    scores = Table(
        title=escape(
            f"{run.name}: {dataset.name}, {dataset.samples.get('test', 0)} test images, "
            f"seed {run.experiment.get('seed')}"
        ),
        caption=_constant(evaluation.clean, len(dataset.labels)),
        **PLAIN,
    )
    _columns(scores, "", "right", "accuracy", "95 %", "balanced", "AUC")
    _add_model(scores, f"{model.name}, global", evaluation)
    if run.student:
        _add_model(scores, f"{run.student.name}, student", run.student)
    tables = [scores]
    if run.export:
        files = Table(
            title="exported student", caption="Agreement is with Keras; latency at batch 1.", **PLAIN
        )
        _columns(files, "file", "size", "accuracy", "AUC", "agreement", "p50", "p95", "threads")
        for export in run.export:
            _add_file(files, export)
        tables.append(files)
    return tables


def _constant(clean: MetricsRecord | None, classes: int) -> str | None:
    """Return what a constant classifier scores, None where that is unknown."""
    if clean is None or clean.majority_rate is None or not classes:
        return None
    return (
        f"Always answering the most frequent class: accuracy {clean.majority_rate:.1%}, "
        f"balanced accuracy {1 / classes:.1%}, AUC 0.500."
    )


PLAIN: dict[str, Any] = {"box": SIMPLE_HEAD, "title_justify": "left", "caption_justify": "left"}


def _columns(table: Table, first: str, *others: str) -> None:
    table.add_column(first, overflow="fold")  # settings may be long; numbers are not cut for them
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)


def _add_model(table: Table, name: str, evaluation: EvaluationRecord) -> None:
    if evaluation.clean is None:
        return
    table.add_section()
    table.add_row(escape(name), *_cells(evaluation.clean))
    for attack, curve in evaluation.robust.items():
        for epsilon, metrics in curve.items():
            table.add_row(escape(f"  {attack} {epsilon}"), *_cells(metrics))


def _add_file(table: Table, export: ExportRecord) -> None:
    latency, metrics = export.latency, export.metrics
    table.add_row(
        escape(export.file),
        "-" if export.bytes is None else f"{export.bytes / 1000:.0f} kB",
        _percent(metrics.accuracy if metrics else export.accuracy),
        "-" if metrics is None else _auc(metrics),
        _percent(export.agreement),
        _milliseconds(latency.p50),
        _milliseconds(latency.p95),
        "-" if latency.threads is None else str(latency.threads),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms"


def _cells(metrics: MetricsRecord) -> tuple[str, ...]:
    limits = metrics.interval.accuracy
    return (
        f"{metrics.correct}/{metrics.n}",
        _percent(metrics.accuracy),
        "-" if limits is None else f"{100 * limits[0]:.1f}-{100 * limits[1]:.1f}",
        _balanced(metrics),
        _auc(metrics),
    )


def _balanced(metrics: MetricsRecord) -> str:
    # Of one class alone it is that class's recall, and compares nothing.
    return "-" if metrics.one_class else _percent(metrics.balanced_accuracy)


def _auc(metrics: MetricsRecord) -> str:
    return "-" if metrics.auc is None or metrics.one_class else f"{metrics.auc:.3f}"


def _scores(metrics: MetricsRecord) -> str:
    majority = "" if metrics.majority_rate is None else f" (majority {metrics.majority_rate:.1%})"
    return f"accuracy {metrics.accuracy:.1%}{majority}  balanced {_balanced(metrics)}  AUC {_auc(metrics)}"
