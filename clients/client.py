"""One client's round: a local update on its images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clients.attacker import Attacker
from fedrobust.algorithms import Algorithm, FedAvg, State
from fedrobust.algorithms.contract import NOTHING, Sent, sent_by_client
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Layout, Weights
from fedrobust.privacy import Postprocessor, promise_of
from fedrobust.privacy.sent import postprocessed
from fedrobust.study.local_training import LocalRound, LocalTraining


def all_batches(round: int, client: int) -> float:
    """Return 1.0: the client is never slow."""
    return 1.0


@dataclass(frozen=True, eq=False)
class Client:
    """One client of a study.

    Attributes:
        client_id: the client's number, from 0.
        shard: its training images.
        training: its local training.
        layout: of the model's weights.
        algorithm: the federated algorithm.
        postprocessors: applied to its update before it is sent.
        attacker: its behaviour in the rounds in which it attacks; None for an honest client.
        measure: returns weights with BatchNorm statistics of all of its images; None: moving statistics are sent.
        work: function from round and client to the share of its batches on which it trains.
        changed: settings of ``[training]`` that differ at this client.
        secret: whether its noise comes from the system's randomness, not from the study's seed.
    """

    client_id: int
    shard: Split
    training: LocalTraining
    layout: Layout
    algorithm: Algorithm = field(default_factory=FedAvg)
    postprocessors: tuple[Postprocessor, ...] = ()
    attacker: Attacker | None = None
    measure: Callable[[Weights], Weights] | None = None
    work: Callable[[int, int], float] = all_batches
    changed: Mapping[str, Any] = field(default_factory=dict)
    secret: bool = False

    def train(
        self,
        weights: Weights,
        round: int,
        state: State,
        broadcast: State = NOTHING,
        memory: State = NOTHING,
    ) -> tuple[Sent, Mapping[str, Any]]:
        """Return the client's weights and arrays for the server, its next state, and its metrics.

        Args:
            weights: the global weights.
            round: from 1.
            state: its state after the last round in which it took part.
            broadcast: the server's arrays beside the weights.
            memory: what a malicious client's attack kept of its last round.
        """
        work = self.work(round, self.client_id)
        train = LocalRound(
            self.training, self.shard, self.client_id, round, self.layout, broadcast, self.changed, work
        )
        if self.attacker is not None and self.attacker.schedule.active(round):
            return self.attacker.train(train, weights, self.algorithm, state, self.measure, memory)
        sent = sent_by_client(self.algorithm, weights, state, train)
        measured = sent.weights if self.measure is None else self.measure(sent.weights)
        kept = postprocessed(
            self.postprocessors,
            measured,
            weights,
            self.training.noise_seed,
            round,
            self.client_id,
            self.secret,
        )
        sent = replace(sent, weights=kept)
        if self.attacker is not None:
            sent = self.attacker.observed(sent, weights, round, memory)
        return sent, told(self.postprocessors, train.metrics)


PUBLIC = ("num-examples", "round", "seconds")
"""What a client tells beside its weights where its images are protected: no metric of them."""


def told(postprocessors: Sequence[Postprocessor], metrics: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the metrics that a client sends: with a promise of privacy none of its images, which no noise protects."""
    if promise_of(postprocessors) is None:
        return metrics
    return {name: metrics[name] for name in PUBLIC}
