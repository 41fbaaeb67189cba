"""The forecast of time, memory and messages, before the first round."""

import heapq
from collections.abc import Iterable
from typing import Any

import psutil

from fedrobust.errors import FedrobustError
from fedrobust.runs.codec import to_json
from fedrobust.runs.record.parts import ForecastRecord, ToleranceRecord

HEADROOM = 0.9
"""Largest share of the free memory that a study may use."""


class DoesNotFitError(FedrobustError, ValueError):
    """A study needs more memory than is free."""


class Forecast(ForecastRecord):
    """The forecast of time, memory and messages."""

    def line(self) -> str:
        """Return the forecast as one line."""
        return (
            f"a round: {self.clients} clients, {self.steps} steps, about {duration(self.training_seconds)} of "
            f"training; {2 * self.clients} messages of {size(self.message_bytes)}; "
            f"memory {size(self.memory_bytes)} of {size(self.available_bytes)}; "
            f"an evaluation: about {duration(self.evaluation_seconds)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``result.json``."""
        plain: dict[str, Any] = to_json(self)
        return plain

    def check(self) -> None:
        """Check that the study fits into memory.

        Raises:
            DoesNotFitError: more memory is needed than there is.
        """
        check_memory(self.memory_bytes, self.matrix_bytes, self.available_bytes, self.clients)

    @property
    def study_seconds(self) -> float:
        """Seconds of all rounds with their evaluations, without the stages before and after."""
        return self.rounds * self.training_seconds + self.evaluations * self.evaluation_seconds

    def rows(self) -> list[tuple[str, str]]:
        """Return the forecast as a table of names and values."""
        return [
            ("model", f"{self.parameters:,} parameters"),
            ("message", f"{size(self.message_bytes)}, {2 * self.clients} of them a round"),
            ("step", f"{1000 * self.step_seconds:.1f} ms, {self.workers} clients at a time"),
            (
                "training a round",
                f"{duration(self.training_seconds)}: {self.clients} clients, {self.steps} steps",
            ),
            *([("asked of models", f"{self.rule_passes:,} images a round")] if self.rule_passes else []),
            ("an evaluation", f"{duration(self.evaluation_seconds)}, {self.evaluations} times"),
            ("all rounds", f"{duration(self.study_seconds)}: {self.rounds} rounds"),
            ("memory", f"{size(self.memory_bytes)}, of it {size(self.matrix_bytes)} for aggregation"),
            ("free memory", size(self.available_bytes)),
            ("disk", f"up to {size(self.disk_bytes)} while it runs"),
            *([] if self.tolerance is None else [("attackers", attackers(self.tolerance))]),
        ]


def attackers(tolerance: ToleranceRecord) -> str:
    """Return a study's tolerance as text.

    Example:
        >>> attackers(ToleranceRecord(clients=2, source="truth", sampled=6, malicious=6, population=20,
        ...     probability_of_more=0.2571))
        '6 of 20 clients; the defence tolerates 2 of the 6 in a round (the true number: an oracle): there are \
more in 26 % of rounds'
    """
    if not tolerance.malicious:
        return "none"
    start = f"{tolerance.malicious} of {tolerance.population} clients"
    if not tolerance.given:
        return f"{start}; the rule takes no number of attackers"
    source = " (the true number: an oracle)" if tolerance.source == "truth" else ""
    more = tolerance.probability_of_more or 0.0
    share = f"{100 * more:.2g} % of" if more >= 0.0001 else "hardly any" if more else "no"
    return (
        f"{start}; the defence tolerates {tolerance.clients} of the {tolerance.sampled} in a round{source}: "
        f"there are more in {share} rounds"
    )


def check_memory(needed: int, matrix: int, available: int, clients: int) -> None:
    """Check that a study fits into memory.

    Args:
        needed: bytes that the study needs.
        matrix: bytes of these for its aggregation rule.
        available: free bytes.
        clients: number per round.

    Raises:
        DoesNotFitError: more memory is needed than available.
    """
    if needed <= HEADROOM * available:
        return
    raise DoesNotFitError(
        f"the study needs {size(needed)} of memory, {size(matrix)} of it for aggregating {clients} clients, and "
        f"{size(available)} are free: lower federation.participation, engine.workers or training.batch-size, or "
        'choose federation.aggregator = "mean", which needs no matrix of clients'
    )


def aggregation_bytes(numbers: int, clients: int, streams: bool) -> int:
    """Return the memory of a rule, in bytes, for `clients` vectors of `numbers` float32.

    Example:
        >>> aggregation_bytes(1000, clients=1_000_000, streams=True)
        20000
    """
    # Two float64 sums and the result; or one float32 row per client and the result.
    return numbers * (8 + 8 + 4) if streams else numbers * 4 * (clients + 1)


def makespan(durations: Iterable[float], workers: int) -> float:
    """Return the time of `workers` for tasks assigned in the given order, each to the first idle worker.

    Example:
        >>> makespan([4.0, 3.0, 2.0, 1.0], workers=2)
        5.0
    """
    free_at = [0.0] * workers
    for duration in durations:
        heapq.heapreplace(free_at, free_at[0] + duration)
    return max(free_at)


def available_memory() -> int:
    """Return the free memory of this machine plus that of this process and its children, in bytes."""
    process = psutil.Process()
    own = sum(int(each.memory_info().rss) for each in [process, *process.children(recursive=True)])
    return int(psutil.virtual_memory().available) + own


def size(count: float) -> str:
    """Return a number of bytes as text.

    Example:
        >>> size(950), size(9_021_000), size(13.25e9)
        ('950 B', '9.0 MB', '13.2 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a duration as text.

    Example:
        >>> duration(0.25), duration(600), duration(86400)
        ('0.2 s', '10 min', '24.0 h')
    """
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
