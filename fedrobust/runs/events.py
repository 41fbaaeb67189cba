"""The events of a run, and their listeners. The engine prints nothing itself.

A listener is a function of one event. Listeners are held in a context variable, because the signatures of Flower apps
are fixed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedrobust.runs.record import FindingRecord, RoundRecord, RunRecord


@dataclass(frozen=True)
class StudyStarted:
    """A study begins: its name, run folder, one line on data, model and federation, and warnings.

    `after` names the stages after the rounds that take time.
    """

    name: str
    folder: str
    rounds: int
    summary: str
    remarks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageStarted:
    """A stage without rounds begins: "loading data", "compiling", "distilling", ..."""

    stage: str


@dataclass(frozen=True)
class ForecastMade:
    """The forecast of a study, before its first round: a line, the figures as in ``result.json``, and a table.

    `remarks` are the warnings of a study that is not started; of one that is, `StudyStarted` has them.
    """

    line: str
    figures: Mapping[str, Any]
    rows: Sequence[tuple[str, str]]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class StudyResumed:
    """A study is resumed after `rounds` finished rounds."""

    rounds: int


@dataclass(frozen=True)
class RoundStarted:
    """Round `round` begins with `clients` sampled clients."""

    round: int
    clients: int


@dataclass(frozen=True)
class ClientReplied:
    """One client's reply arrived; `failure` is empty if it trained."""

    node: int
    failure: str = ""


@dataclass(frozen=True)
class AttackProgressed:
    """An attack has made `done` passes of one image through a model, of at most `done` + `left`."""

    attack: str
    done: int
    left: int


@dataclass(frozen=True)
class CheckFinished:
    """One check of an audit has ended; `finding` is its entry in ``card.json``."""

    finding: "FindingRecord"


@dataclass(frozen=True)
class RoundFinished:
    """Round `record.round` has ended; the record is its entry in ``result.json``."""

    record: "RoundRecord"


@dataclass(frozen=True)
class StudyFinished:
    """The study has ended; `record` is the content of ``result.json``."""

    record: "RunRecord"


Event = (
    StudyStarted
    | StageStarted
    | ForecastMade
    | StudyResumed
    | RoundStarted
    | ClientReplied
    | AttackProgressed
    | CheckFinished
    | RoundFinished
    | StudyFinished
)
Listener = Callable[[Event], None]

_listeners: ContextVar[Sequence[Listener]] = ContextVar("fedrobust_listeners", default=())


def emit(event: Event) -> None:
    """Call every listener of this context with `event`."""
    for listener in _listeners.get():
        listener(event)


def teller() -> Listener:
    """Return `emit` bound to this context's listeners, for worker threads, which do not share context variables.

    Example:
        >>> heard = []
        >>> with listening(heard.append):
        ...     tell = teller()
        >>> tell(StageStarted("attacking"))
        >>> len(heard)
        1
    """
    listeners = _listeners.get()

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def anybody_listens() -> bool:
    """Return whether this context has a listener."""
    return bool(_listeners.get())


@contextmanager
def listening(*listeners: Listener) -> Iterator[None]:
    """Add `listeners` for the events of the block.

    Example:
        >>> heard = []
        >>> with listening(heard.append):
        ...     emit(StageStarted("distilling"))
        >>> heard
        [StageStarted(stage='distilling')]
    """
    token = _listeners.set((*_listeners.get(), *listeners))
    try:
        yield
    finally:
        _listeners.reset(token)
