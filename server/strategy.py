"""The Flower strategy: who is sampled, what is sent, which replies count, and how they become the next model."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedrobust.config import Experiment
from fedrobust.errors import FedrobustError
from fedrobust.models.layout import Layout, Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.simulation.records import weights_record
from fedrobust.study import rule_of
from server.replies import Failure, Reply, read_reply


class RoundError(FedrobustError, RuntimeError):
    """A round has too few replies to go on."""


@dataclass(frozen=True)
class RoundOutcome:
    """What a round's training came to.

    Attributes:
        sampled: how many clients were asked.
        trained: how many replies count.
        failures: clients left out, with reasons.
        loss: mean training loss over the images of the clients that count.
        client_seconds: sum of the clients' own seconds of training.
    """

    sampled: int
    trained: int
    failures: tuple[Failure, ...]
    loss: float
    client_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain data for ``result.json``."""
        return {
            "sampled": self.sampled,
            "trained": self.trained,
            "failed": len(self.failures),
            "failures": [
                {"partition": failure.partition, "reason": failure.reason} for failure in self.failures
            ],
            "loss": self.loss if math.isfinite(self.loss) else None,
            "seconds": self.client_seconds,
        }


class FederatedStrategy(Strategy):
    """Seeded sampling, checked replies, and one aggregation rule.

    Flower samples and orders clients by random node ids, so that a seed does not fix a run; here both go by
    partition.

    Args:
        experiment: the study.
        layout: of the global model.
        nodes: partition -> Flower's node id.
    """

    def __init__(self, experiment: Experiment, layout: Layout, nodes: Mapping[int, int]):
        self.experiment = experiment
        self.layout = layout
        self.nodes = dict(sorted(nodes.items()))
        self.partitions = {node: partition for partition, node in self.nodes.items()}
        self.outcome: RoundOutcome | None = None
        self._sampled: list[int] = []
        self.rule = rule_of(experiment)

    def summary(self) -> None:
        """Say nothing: events do."""

    def sample(self, round: int) -> list[int]:
        """Return the partitions that take part in `round`, sorted."""
        available = np.array(list(self.nodes))
        wanted = max(1, round_half_up(self.experiment.federation.participation * len(available)))
        draw = generator(self.experiment.seed, Purpose.SAMPLING, round)
        return sorted(int(partition) for partition in draw.choice(available, wanted, replace=False))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return one message to every sampled client: the global weights and the number of the round."""
        self._sampled = self.sample(server_round)
        content = RecordDict({"weights": arrays, "config": ConfigRecord({**config, "round": server_round})})
        return [
            Message(content, self.nodes[partition], MessageType.TRAIN, group_id=str(server_round))
            for partition in self._sampled
        ]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord, MetricRecord]:
        """Return the next global weights from the replies that pass the checks.

        Raises:
            RoundError: fewer than ``federation.min-replies`` of the sampled clients are left.
        """
        by_partition = {self.partitions[message.metadata.src_node_id]: message for message in replies}
        trainable = self.rule.start(self.layout.parameters)
        statistics = self.rule.start(self.layout.statistics)
        counted: list[Reply] = []
        failures: list[Failure] = []
        # The order of the sums is the order of the partitions, whoever answered first.
        for partition in self._sampled:
            message = by_partition.pop(partition, None)
            answer = (
                Failure(partition, "no reply in time")
                if message is None
                else read_reply(message, partition, self.layout)
            )
            if isinstance(answer, Failure):
                failures.append(answer)
                continue
            trainable.add(answer.weights.trainable, answer.examples)
            statistics.add(answer.weights.statistics, answer.examples)
            counted.append(Reply(partition, NO_WEIGHTS, answer.examples, answer.loss, answer.seconds))
        self.outcome = outcome_of(len(self._sampled), counted, failures)
        needed = max(1, math.ceil(self.experiment.federation.min_replies * len(self._sampled)))
        if len(counted) < needed:
            raise RoundError(
                f"round {server_round}: {len(counted)} of {len(self._sampled)} sampled clients are left, "
                f"federation.min-replies = {self.experiment.federation.min_replies} asks for {needed}; first reason: "
                f"client {failures[0].partition}: {failures[0].reason}"
            )
        record = weights_record(Weights(trainable.result(), statistics.result()))
        return record, MetricRecord({"loss": self.outcome.loss, "clients": len(counted)})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> list[Message]:
        """Return no messages: the server evaluates."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Return nothing: the server evaluates."""
        return None


NO_WEIGHTS = Weights(np.zeros(0, np.float32), np.zeros(0, np.float32))


def outcome_of(sampled: int, counted: list[Reply], failures: list[Failure]) -> RoundOutcome:
    """Return the figures of a round; the loss weights clients by their images."""
    images = sum(reply.examples for reply in counted)
    loss = sum(reply.loss * reply.examples for reply in counted) / images if images else math.nan
    return RoundOutcome(
        sampled,
        len(counted),
        tuple(failures),
        loss,
        sum(reply.seconds for reply in counted if math.isfinite(reply.seconds)),
    )


def round_half_up(value: float) -> int:
    """Return the nearest whole number; halves go up, unlike Python's `round`."""
    return math.floor(value + 0.5)
