"""A run as it is seen in a terminal: live on a screen, plain lines in a pipe."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from fedrobust.runs.events import (
    ClientReplied,
    Event,
    RoundFinished,
    RoundStarted,
    StageStarted,
    StudyFinished,
    StudyStarted,
)


class ConsoleListener:
    """Shows the events of a run; use it as a context manager.

    Args:
        console: where to write; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(highlight=False)
        self.live = self.console.is_terminal
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self.rounds = 0
        self.task = self.progress.add_task("starting", total=None)

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
                self._say(f"[bold]{event.name}[/]  {event.summary}")
                self._say(f"run folder: {event.folder}", soft_wrap=True)
            case StageStarted():
                self.progress.reset(self.task, total=None, description=event.stage)
                if not self.live:
                    self._say(f"{event.stage} ...")
            case RoundStarted():
                description = f"round {event.round}/{self.rounds}, clients"
                self.progress.reset(self.task, total=event.clients, description=description)
            case ClientReplied():
                self.progress.advance(self.task)
            case RoundFinished():
                self._say(round_line(event.record, self.rounds))
                for failure in event.record["clients"].get("failures", [])[:3]:
                    self._say(
                        f"    client {failure['partition']} left out: {failure['reason']}", style="yellow"
                    )
            case StudyFinished():
                self.progress.stop()
                if event.result["status"] == "finished":
                    self.console.print(summary_table(event.result))

    def _say(self, text: str, **style: Any) -> None:
        self.console.print(text, **style)


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
    parts.append(f"{record['seconds']:.1f} s")
    return "  ".join(parts)


def summary_table(result: Mapping[str, Any]) -> Table:
    """Return the table that ends a run: global model, student and exported files."""
    dataset = result["dataset"]
    samples = dataset["samples"]["test"]
    majority = result["model-evaluation"]["clean"]["majority_rate"]
    table = Table(
        title=f"{result['name']}: {dataset['name']}, {samples} test images, seed {result['experiment']['seed']}",
        caption=f"always answering the most frequent class: accuracy {majority:.1%}, balanced accuracy "
        f"{1 / len(dataset['labels']):.1%}, AUC 0.500",
        title_justify="left",
        caption_justify="left",
    )
    for column in ("model", "images", "accuracy (95 %)", "balanced acc.", "AUC", "size / latency p50, p95"):
        table.add_column(column, justify="left" if column == "model" else "right")
    _add_model(table, f"{result['model']['name']} (global)", result["model-evaluation"])
    student = result["student"]
    if student:
        table.add_section()
        _add_model(table, f"{student['name']} (student)", student)
    if result["export"]:
        table.add_section()
    for export in result["export"]:
        latency = export["latency_ms"]
        table.add_row(
            export["file"],
            f"clean, agrees {export['agreement']:.1%}",
            *_cells(export["metrics"]),
            f"{export['bytes'] / 1000:.0f} kB / {latency['p50']:.2f}, {latency['p95']:.2f} ms",
        )
    return table


def _add_model(table: Table, name: str, evaluation: Mapping[str, Any]) -> None:
    table.add_row(name, "clean", *_cells(evaluation["clean"]), "")
    for attack, curve in evaluation["robust"].items():
        for epsilon, metrics in curve.items():
            table.add_row("", f"{attack} {epsilon}", *_cells(metrics), "")


def _cells(metrics: Mapping[str, Any]) -> tuple[str, str, str]:
    low, high = metrics["interval"]["accuracy"]
    auc = "-" if metrics["auc"] is None else f"{metrics['auc']:.3f}"
    accuracy = f"{metrics['accuracy']:.1%} ({low:.1%}-{high:.1%})"
    return accuracy, f"{metrics['balanced_accuracy']:.1%}", auc


def _scores(metrics: Mapping[str, Any]) -> str:
    auc = "-" if metrics["auc"] is None else f"{metrics['auc']:.3f}"
    return (
        f"accuracy {metrics['accuracy']:.1%} (majority {metrics['majority_rate']:.1%})  "
        f"balanced {metrics['balanced_accuracy']:.1%}  AUC {auc}"
    )
