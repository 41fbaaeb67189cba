"""Read and check the untrusted replies of a round.

An invalid reply gives a `Failure`: no reply ends a study.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord

from fedrobust.code_digest import code_digest
from fedrobust.engines.exchange import last_line
from fedrobust.flower.guard import described
from fedrobust.flower.records import vector_of
from fedrobust.models.layout import Layout, Weights
from fedrobust.plain import plain_text
from fedrobust.reasons import first_reason
from fedrobust.runs.record import FailureRecord
from server.not_finite import all_finite, not_finite

MOST_EXAMPLES = 2**31
"""Largest accepted number of images of a client."""

NONE_BESIDE: Mapping[str, int] = MappingProxyType({})

MOST_LOSS = 1e30
MOST_SECONDS = 1e8
"""Largest accepted number of seconds: three years."""
MOST_STEP_SECONDS = 1e5
MOST_MEMORY = 2**46
"""Largest accepted memory in bytes: 70 TB."""


@dataclass(frozen=True)
class Reply:
    """One client's valid reply.

    Attributes:
        client_id: the client.
        weights: its weights after training.
        examples: its claimed number of images.
        loss: its mean training loss; NaN if missing or impossible.
        seconds: of its local update; NaN if missing or impossible.
        beside: (n,) float32, the algorithm's arrays beside the weights, in sequence.
    """

    client_id: int
    weights: Weights
    examples: int
    loss: float
    seconds: float
    beside: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))

    @property
    def averaged(self) -> Weights:
        """The weights, with the algorithm's arrays appended to the statistics, which are aggregated alike."""
        if not len(self.beside):
            return self.weights
        statistics = np.concatenate([self.weights.statistics, self.beside])
        return Weights(self.weights.trainable, statistics)


CLAIMED = frozenset(("examples", "num-examples", "steps", "loss", "accuracy", "seconds", "round"))
"""The metrics that a client sends."""


@dataclass(frozen=True)
class NodeInfo:
    """A node's report before the first round.

    Attributes:
        client_id: its client.
        node: Flower's id.
        examples: its number of images.
        step_seconds: duration of a trial step.
        memory_bytes: peak memory of its process.
    """

    client_id: int
    node: int
    examples: int
    step_seconds: float
    memory_bytes: int


@dataclass(frozen=True)
class Failure:
    """One client that is dropped from a round, and the reason.

    The reason appears in records, terminals and pages: it is cut to one short printable line.

    Attributes:
        client_id: the client.
        reason: why.
        numbers: whether its numbers are the reason: they are not finite, or impossible.
    """

    client_id: int
    reason: str
    numbers: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", plain_text(self.reason))

    def record(self) -> FailureRecord:
        """Return the failure as ``result.json`` holds it."""
        return FailureRecord(partition=self.client_id, reason=self.reason)


class ReplyError(ValueError):
    """A reply is invalid."""


class ReplyNumbersError(ReplyError):
    """A reply holds numbers that are not finite."""


def read_reply(
    message: Message,
    client_id: int,
    layout: Layout,
    round: int,
    most_examples: int = MOST_EXAMPLES,
    beside: Mapping[str, int] = NONE_BESIDE,
    sums: bool = False,
) -> Reply | Failure:
    """Return the checked content of `message`, or the failure that drops its client.

    Records, keys, shapes, dtypes, finiteness, the round and the number of examples are checked.

    Args:
        message: a reply.
        client_id: its client.
        layout: of the global model.
        round: the expected round.
        most_examples: largest number of images that the client may claim.
        beside: lengths of the algorithm's arrays beside weights, by name.
        sums: whether the server sees only sums: the values of one reply are then not looked at.
    """
    try:
        if message.has_error():
            return Failure(client_id, last_line(message))
        return _checked(message, client_id, layout, round, most_examples, beside, sums)
    except ReplyError as error:
        return Failure(client_id, str(error), isinstance(error, ReplyNumbersError))
    except Exception as error:  # an untrusted reply may cause any exception: its client fails
        return Failure(client_id, f"it cannot be read: {first_reason(described(error))}")


def read_node_info(message: Message, layout: Layout, clients: int) -> NodeInfo | Failure:
    """Return a node's report, or the failure that excludes it."""
    node = message.metadata.src_node_id
    try:
        if message.has_error():
            return Failure(node, last_line(message))
        return _introduced(message, node, layout, clients)
    except ReplyError as error:
        return Failure(node, str(error))
    except Exception as error:
        return Failure(node, f"its introduction cannot be read: {first_reason(described(error))}")


def _introduced(message: Message, node: int, layout: Layout, clients: int) -> NodeInfo:
    hospital = message.content.get("hospital")
    if not isinstance(hospital, MetricRecord):
        raise ReplyError(f"records {_few(message.content)}: a node introduces itself with hospital")
    software = message.content.get("software")
    code = software.get("code") if isinstance(software, ConfigRecord) else None
    if code != code_digest():
        raise ReplyError(
            f"fedrobust's code there has digest {str(code)[:12]}, here {code_digest()[:12]}: install the same version"
        )
    client_id, parameters = hospital.get("partition"), hospital.get("parameters")
    if type(client_id) is not int or not 0 <= client_id < clients:
        raise ReplyError(f"partition = {short(client_id)}: the study has 0 to {clients - 1}")
    if type(parameters) is not int or parameters != layout.parameters:
        raise ReplyError(
            f"a model of {short(parameters)} parameters, the server's has {layout.parameters}: not the same study"
        )
    examples = _examples(hospital)
    seconds = _number(hospital, "step-seconds", 0.0, MOST_STEP_SECONDS)
    if not seconds > 0:
        raise ReplyError(
            f"step-seconds = {short(hospital.get('step-seconds'))}: a number above 0, up to {MOST_STEP_SECONDS:g}"
        )
    memory = hospital.get("memory-bytes")
    if type(memory) is not int or not 0 <= memory <= MOST_MEMORY:
        raise ReplyError(f"memory-bytes = {short(memory)}: a whole number from 0 to {MOST_MEMORY}")
    return NodeInfo(client_id, node, examples, seconds, memory)


def _checked(
    message: Message,
    client_id: int,
    layout: Layout,
    round: int,
    most_examples: int,
    beside: Mapping[str, int],
    sums: bool,
) -> Reply:
    arrays = message.content.get("weights")
    metrics = message.content.get("metrics")
    if not isinstance(arrays, ArrayRecord) or not isinstance(metrics, MetricRecord):
        raise ReplyError(f"records {_few(message.content)}: a reply has weights and metrics")
    if len(message.content) > (3 if beside else 2):
        raise ReplyError(
            f"records {_few(message.content)}: a reply has weights and metrics, and nothing else"
        )
    strange = set(metrics) - CLAIMED
    if strange:
        raise ReplyError(f"metrics {_few(strange)} were not asked for")
    number = metrics.get("round")
    if type(number) is not int or number != round:
        raise ReplyError(f"a reply to round {short(number)}: this is round {round}")
    weights = Weights(
        _vector(arrays, "trainable", layout.parameters, sums, layout),
        _vector(arrays, "statistics", layout.statistics, sums, layout),
    )
    if len(arrays) > 2:
        raise ReplyError(
            f"weights hold {_few(arrays)}: trainable and statistics are expected, and nothing else"
        )
    examples = _examples(metrics)
    if examples > most_examples:
        raise ReplyError(f"num-examples = {examples}: it introduced itself with {most_examples} images")
    own = _beside(message, beside, sums) if beside else np.zeros(0, np.float32)
    return Reply(
        client_id,
        weights,
        examples,
        _number(metrics, "loss", -MOST_LOSS, MOST_LOSS),
        _number(metrics, "seconds", 0.0, MOST_SECONDS),
        own,
    )


def _beside(message: Message, sizes: Mapping[str, int], sums: bool) -> np.ndarray:
    """Return the algorithm's arrays beside weights, in sequence, in the order of `sizes`."""
    arrays = message.content.get("algorithm")
    if not isinstance(arrays, ArrayRecord) or len(arrays) > len(sizes):
        raise ReplyError(f"records {_few(message.content)}: the algorithm sends {list(sizes)} beside weights")
    return np.concatenate([_vector(arrays, name, size, sums) for name, size in sizes.items()])


def _vector(record: ArrayRecord, name: str, size: int, sums: bool, of: Layout | None = None) -> np.ndarray:
    if name not in record:
        raise ReplyError(f"weights have no {name}, only {_few(record)}")
    array = record[name]
    if array.dtype != "float32" or tuple(array.shape) != (size,):
        raise ReplyError(
            f"{name} is {short(array.dtype)} {short(tuple(array.shape))}: float32 ({size},) is expected"
        )
    try:
        vector = vector_of(array)
    except Exception as error:  # malformed bytes can make the decoder raise any exception
        raise ReplyError(f"{name} cannot be decoded: {error}") from error
    vector = np.asarray(vector)  # drops a subclass of ndarray
    if vector.dtype != np.float32 or vector.shape != (size,):
        raise ReplyError(f"{name} holds {vector.dtype} {short(vector.shape)}: float32 ({size},) is expected")
    if not sums and not all_finite(vector):
        raise ReplyNumbersError(not_finite(name, vector, of))
    return vector


def _few(names: Iterable[str]) -> list[str]:
    """Return the first names, shortened, so that a malicious reply cannot fill the run's record."""
    return [name[:40] for name in islice(sorted(names), 5)]


def _examples(metrics: MetricRecord) -> int:
    examples = metrics.get("num-examples")
    if type(examples) is not int or not 1 <= examples <= MOST_EXAMPLES:
        raise ReplyError(f"num-examples = {short(examples)}: a whole number from 1 to {MOST_EXAMPLES}")
    return examples


def _number(metrics: MetricRecord, name: str, least: float, most: float) -> float:
    """Return a metric that is only reported; NaN if missing or out of range."""
    value = metrics.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        return float("nan")
    return float(value)


def short(value: Any) -> str:
    """Return a claimed value, shortened."""
    # Python refuses to convert integers of more than some thousand digits to text.
    if isinstance(value, int) and value.bit_length() > 10_000:
        return f"a whole number of {value.bit_length()} bits"
    return plain_text(str(value)[:200], 60)
