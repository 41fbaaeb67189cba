"""Groups of honest simulated clients that get one message and send one reply."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord

from fedrobust.engines.exchange import last_line
from fedrobust.flower.records import vector_of
from fedrobust.models.layout import Layout, Weights
from fedrobust.poisoning import Schedule
from server.not_finite import all_finite, not_finite
from server.replies import Failure, Reply, ReplyError, short
from server.soundness import statistics_fault

FEWEST, MOST = 32, 128
"""Fewest and most clients in a group: those of one call of the graph, and a limit on the size of a message."""

TOGETHER = "train.group"
"""The type of a message to a group; its node is the first client's."""


def nobody(round: int) -> bool:
    """Return False: each client of `round` gets its own message."""
    return False


@dataclass(frozen=True, eq=False)
class Grouping:
    """The division of a round's clients into groups that get one message.

    The bits of a client's reply do not depend on its group.

    Attributes:
        together: whether the honest clients of a round are grouped.
        schedule: malicious clients and their rounds; they are not grouped.
        workers: number of workers among which the groups are divided.
        alone: clients that are never grouped, because they keep something of every round.
    """

    together: Callable[[int], bool] = nobody
    schedule: Schedule = field(default_factory=Schedule)
    workers: int = 1
    alone: frozenset[int] = frozenset()

    def groups(self, round: int, clients: Sequence[int]) -> list[list[int]]:
        """Return `clients` in groups, those of one client first, otherwise in order.

        Example:
            >>> grouping = Grouping(lambda round: True, Schedule(malicious=(3,)), workers=2)
            >>> grouping.groups(1, [5, 3, 4])
            [[3], [5, 4]]
            >>> [len(group) for group in grouping.groups(1, list(range(101)))]
            [1, 50, 50]
        """
        if not self.together(round):
            return [[client] for client in clients]
        single = self.schedule.attackers(round, clients) | self.alone
        honest = [client for client in clients if client not in single]
        size = min(MOST, max(FEWEST, -(-len(honest) // self.workers)))
        alone = [[client] for client in clients if client in single]
        return alone + [honest[start : start + size] for start in range(0, len(honest), size)]


def read_group(message: Message, clients: Sequence[int], layout: Layout, round: int) -> list[Reply | Failure]:
    """Return the reply of each of `clients`, or the failure that drops it.

    Args:
        message: the reply of a group.
        clients: of the group.
        layout: of the global model.
        round: the expected round.
    """
    try:
        if message.has_error():
            return [Failure(client, last_line(message)) for client in clients]
        return _read(message, clients, layout, round)
    except (ReplyError, KeyError, ValueError, TypeError) as error:
        return [Failure(client, f"its group's reply cannot be read: {error}") for client in clients]


def _read(message: Message, clients: Sequence[int], layout: Layout, round: int) -> list[Reply | Failure]:
    arrays, metrics = message.content["weights"], message.content["metrics"]
    if not isinstance(arrays, ArrayRecord) or not isinstance(metrics, MetricRecord):
        raise ReplyError("weights and metrics are expected")
    if metrics["round"] != round:
        raise ReplyError(f"a reply to round {short(metrics['round'])}: this is round {round}")
    trainable = _matrix(arrays, "trainable", len(clients), layout.parameters)
    statistics = _matrix(arrays, "statistics", len(clients), layout.statistics)
    faults = [fault_of(trainable[row], statistics[row], layout) for row in range(len(clients))]
    unknown = [math.nan] * len(clients)
    examples, losses, seconds = (
        unknown if name == "loss" and name not in metrics else _column(metrics, name, len(clients))
        for name in COLUMNS
    )
    return [
        Reply(client, Weights(trainable[row], statistics[row]), int(examples[row]), losses[row], seconds[row])
        if not faults[row]
        else Failure(client, faults[row], numbers=True)
        for row, client in enumerate(clients)
    ]


def fault_of(trainable: np.ndarray, statistics: np.ndarray, layout: Layout) -> str:
    """Return why a client's weights are unusable, with the layer; "" if they are usable."""
    for name, vector in (("trainable", trainable), ("statistics", statistics)):
        if not all_finite(vector):
            return not_finite(name, vector, layout)
    return statistics_fault(statistics, layout)


COLUMNS = ("num-examples", "loss", "seconds")


def _matrix(arrays: ArrayRecord, name: str, rows: int, columns: int) -> np.ndarray:
    matrix = np.asarray(vector_of(arrays[name]))
    if matrix.dtype != np.float32 or matrix.shape != (rows, columns):
        raise ReplyError(f"{name} is {matrix.dtype} {matrix.shape}: float32 {(rows, columns)} is expected")
    return matrix


def _column(metrics: MetricRecord, name: str, rows: int) -> list[float]:
    column = metrics[name]
    if not isinstance(column, list) or len(column) != rows:
        raise ReplyError(f"{name} is {short(column)}: a list of {rows} numbers is expected")
    return [float(value) for value in column]
