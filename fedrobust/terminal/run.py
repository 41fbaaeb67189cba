"""Terminal output of a run: live on a screen, plain lines in a pipe."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fedrobust.epsilon import ascending
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
from fedrobust.runs.outcome import cut_short
from fedrobust.runs.record import DefenceRecord, RoundRecord, RunRecord
from fedrobust.runs.tolerance import described_in
from fedrobust.terminal.audit import check_line, verdict_line
from fedrobust.terminal.figures import scores
from fedrobust.terminal.screen import say, standard_output
from fedrobust.terminal.summary import limits, summary_tables
from fedrobust.terminal.time_left import TimeLeft


class WholeRunColumn(TimeRemainingColumn):
    """The time left of the whole run; where nothing is forecast, of what is under way."""

    def __init__(self, time_left: TimeLeft):
        super().__init__()
        self.time_left = time_left

    def render(self, task: Task) -> Text:
        """Return the time left now."""
        line = self.time_left.line()
        return Text(line, style="dim") if line else super().render(task)


class ConsoleListener:
    """Shows the events of a run; use it as a context manager.

    Args:
        console: where to write; standard output by default.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or standard_output()
        self.live = self.console.is_terminal
        self.time_left = TimeLeft(self.console.get_time)
        self.progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            WholeRunColumn(self.time_left),
            console=self.console,
            transient=True,
            disable=not self.live,
        )
        self.rounds = 0
        self.seconds, self.seen = 0.0, 0
        self.after: tuple[str, ...] = ()
        self.folder = ""
        self.clients = self.sampled = 0
        self.task = self.progress.add_task("starting", total=None, count="")

    def __enter__(self) -> "ConsoleListener":
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        self.time_left(event)
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
                self.sampled = event.clients
            case ClientReplied():
                self.clients += 1
                self.progress.update(self.task, advance=1, count=f"{self.clients} of {self.sampled} clients")
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
                self._round(event.record)
            case StudyFinished():
                self.progress.stop()
                self._end(event.record)

    def _round(self, one: RoundRecord) -> None:
        """Show a finished round and its failures."""
        self.seconds += one.seconds or 0.0
        self.seen += 1
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
        """Show the results of a study."""
        if words := cut_short(run):
            self._say(f"the run {words}; what was measured is in its folder", style="yellow")
            return
        for table in summary_tables(run):
            self.console.print()
            self.console.print(table)
        self.console.print()
        for caution in limits(run):
            self._say(f"[yellow]{escape(caution)}[/]")
        if words := described_in(run):
            self._say(f"defence: {escape(words)}")
        if run.audit:
            self._say(f"\naudit: {verdict_line(run.audit)}")
            for line in run.audit.detector.sentences() if run.audit.detector else ():
                self._say(f"  {escape(line)}")
        if run.student and run.student.audit:
            self._say(f"audit of the student: {verdict_line(run.student.audit)}")

    def _left(self, round: int) -> str:
        """Return the estimated time of the whole run; without a forecast, that of the rounds of this session."""
        if known := self.time_left.line():
            return f"  {known}"
        left = self.rounds - round
        if left <= 0 or not self.seconds:
            return ""
        after = f", then {', '.join(self.after)}" if self.after else ""
        return f"  about {duration(left * self.seconds / self.seen)} of rounds left{after}"

    def _begin(self, description: str, clients: int | None) -> None:
        self.progress.remove_task(self.task)
        self.clients = 0
        self.task = self.progress.add_task(description, total=clients, count="")

    def _say(self, text: str, **style: Any) -> None:
        say(self.console, text, **style)


def round_line(one: RoundRecord, rounds: int) -> str:
    """Return one round as one line."""
    clients, defence = one.clients, one.defence or DefenceRecord()
    parts = [f"round {one.round:>{len(str(rounds))}}/{rounds}"]
    if clients.sampled is not None:
        parts.append(f"{clients.trained}/{clients.sampled} clients")
    if clients.loss is not None:
        parts.append(f"loss {clients.loss:.3f}")
    if one.clean:
        parts.append(scores(one.clean))
    for attack, curve in one.robust.items():
        epsilon, metrics = ascending(curve)[-1]
        parts.append(f"{attack} {epsilon}: {metrics.accuracy:.1%}")
    if not defence.valid:
        parts.append("invalid: the attack failed")
    elif defence.true_positive_rate is not None:
        parts.append(f"attackers left out: {defence.true_positive_rate:.0%}")
    if defence.valid and one.attack_success and one.attack_success.rate is not None:
        parts.append(f"attack success {one.attack_success.rate:.1%}")
    if one.epsilon is not None:
        parts.append(f"epsilon {one.epsilon:.2f}")
    parts.append(f"{one.seconds or 0.0:.1f} s")
    return "  ".join(parts)
