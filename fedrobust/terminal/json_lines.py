"""Output of a run for other programs: JSON lines, or nothing."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from fedrobust.plain import plain
from fedrobust.runs.codec import to_json
from fedrobust.runs.events import AttackProgressed, ClientReplied, Event, ForecastMade, StudyStarted

SKIPPED = (AttackProgressed, ClientReplied)
"""Events that are many and tell of progress only."""


class Silent:
    """Shows nothing of a run; remembers its folder."""

    def __init__(self) -> None:
        self.folder = ""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, StudyStarted):
            self.folder = event.folder


class JsonLines(Silent):
    """Writes each event of a run as one line of JSON, as soon as it happens.

    Args:
        write: takes one line.

    Example:
        >>> from fedrobust.runs.events import StageStarted
        >>> JsonLines(print)(StageStarted("distilling"))
        {"event": "stage-started", "stage": "distilling"}
    """

    def __init__(self, write: Callable[[str], object]):
        super().__init__()
        self.write = write

    def __call__(self, event: Event) -> None:
        """Write one event."""
        super().__call__(event)
        if not isinstance(event, SKIPPED):
            self.write(line(event))


def line(event: Event) -> str:
    """Return an event as JSON on one line: its name, then its fields; records as in ``result.json``.

    A number that JSON cannot hold, as a loss that is not finite, is null.
    """
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    if isinstance(event, ForecastMade):
        fields.pop("rows")  # the figures as text
        fields.pop("remarks")  # those of `StudyStarted`
    content = {"event": event_name(event), **{key: _plain(value) for key, value in fields.items()}}
    return json.dumps(plain(content), allow_nan=False)


def event_name(event: object) -> str:
    """Return the name of an event in JSON.

    Example:
        >>> from fedrobust.runs.events import StageStarted
        >>> event_name(StageStarted("distilling"))
        'stage-started'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(event).__name__).lower()


def _plain(value: Any) -> Any:
    return to_json(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
