"""The outcome of a round's training: valid replies, failures with reasons, and the next weights."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from fedrobust.aggregation import Memory
from fedrobust.models.layout import Weights
from fedrobust.runs.record import ClientsRecord, DefenceRecord
from server.replies import Failure, Reply


@dataclass(frozen=True)
class RoundOutcome:
    """The outcome of a round's training.

    Attributes:
        sampled: number of sampled clients.
        trained: number of valid replies.
        failures: clients dropped, with reasons.
        loss: mean training loss over the images of valid replies.
        client_seconds: sum of the clients' training times.
        defence: record of the defence, None for a mean of honest clients.
    """

    sampled: int
    trained: int
    failures: tuple[Failure, ...]
    loss: float
    client_seconds: float
    defence: DefenceRecord | None = None

    def record(self) -> ClientsRecord:
        """Return the record of the clients in ``result.json``."""
        return ClientsRecord(
            sampled=self.sampled,
            trained=self.trained,
            failed=len(self.failures),
            failures=tuple(failure.record() for failure in self.failures),
            loss=self.loss if math.isfinite(self.loss) else None,
            seconds=self.client_seconds,
        )


@dataclass(frozen=True, eq=False)
class Aggregated:
    """The aggregate of a round's replies.

    Attributes:
        outcome: its figures.
        weights: of the next global model; None if there are none.
        memory: state of rules and server optimiser if the round is accepted.
        fault: why the weights are missing or unusable; "" if they are usable.
    """

    outcome: RoundOutcome
    weights: Weights | None
    memory: Memory = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True, eq=False)
class Made:
    """The result of a round: the next global model, or the previous one.

    Attributes:
        weights: the global weights for the next round.
        memory: the next state of rules and server optimiser.
        outcomes: outcomes of the clients' training, for each global model.
        kept: why weights and state are those of the previous round, "" if they are new.
        failed: whether the round failed; see `RoundLoop.round`.
        unsound: the first client or model whose numbers are not finite or impossible, with its layer; "" if none.
        model: the weights that are evaluated and selected: `weights`, or an average over rounds.
    """

    weights: Weights
    memory: Memory
    outcomes: tuple[RoundOutcome, ...]
    kept: str = ""
    failed: bool = False
    unsound: str = ""
    model: Weights | None = None


def unsound_client(number: int, outcomes: Sequence[RoundOutcome]) -> str:
    """Return the first client that was dropped because of its numbers, with the reason; "" if there is none."""
    dropped = (one for outcome in outcomes for one in outcome.failures if one.numbers)
    first = next(dropped, None)
    return "" if first is None else f"round {number}, client {first.client_id}: {first.reason}"


def failure_of(answer: Reply | Failure) -> str:
    """Return the reason why a client is dropped, "" if it is not."""
    return answer.reason if isinstance(answer, Failure) else ""


@dataclass
class RoundReplies:
    """The replies of a round: valid ones, and failures by kind.

    Attributes:
        valid: notes of valid replies.
        unexpected: replies of nodes that were not sampled.
        rejected: invalid replies.
        failed: clients that failed, or did not reply in time.
    """

    valid: "list[ReplyNote]" = field(default_factory=list)
    unexpected: list[Failure] = field(default_factory=list)
    rejected: list[Failure] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class ReplyNote:
    """A valid reply without its weights."""

    client_id: int
    examples: int
    loss: float
    seconds: float


def outcome_of(sampled: int, counted: list[ReplyNote], failures: list[Failure]) -> RoundOutcome:
    """Return the outcome of a round, independent of the order of replies; the loss is weighted by images."""
    counted = sorted(counted, key=lambda note: note.client_id)
    failures = sorted(failures, key=lambda failure: failure.client_id)
    finite = [reply for reply in counted if math.isfinite(reply.loss)]
    images = sum(reply.examples for reply in finite)
    loss = sum(reply.loss * reply.examples for reply in finite) / images if images else math.nan
    return RoundOutcome(
        sampled,
        len(counted),
        tuple(failures),
        loss,
        sum(reply.seconds for reply in counted if math.isfinite(reply.seconds)),
    )


def together(outcomes: Sequence[RoundOutcome]) -> RoundOutcome:
    """Return the outcome of a round over several global models; the loss is weighted by valid replies."""
    finite = [one for one in outcomes if one.trained and math.isfinite(one.loss)]
    trained = sum(one.trained for one in finite)
    return RoundOutcome(
        sum(one.sampled for one in outcomes),
        sum(one.trained for one in outcomes),
        tuple(failure for one in outcomes for failure in one.failures),
        sum(one.loss * one.trained for one in finite) / trained if trained else math.nan,
        sum(one.client_seconds for one in outcomes),
    )


def first_reason(failures: Sequence[Failure]) -> str:
    """Return the sentence on the first failure of a failed round.

    Example:
        >>> first_reason([Failure(3, "no reply in time")]), first_reason([])
        ('first reason: client 3: no reply in time', 'no client is a member of the federation in this round')
    """
    if not failures:
        return "no client is a member of the federation in this round"
    return f"first reason: client {failures[0].client_id}: {failures[0].reason}"
