"""What one client does in a round: one local update on its images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clients.attacker import Attacker
from fedrobust.algorithms import Algorithm, FedAvg, State
from fedrobust.algorithms.contract import sent_by_client
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Weights
from fedrobust.privacy import Postprocessor, at_client
from fedrobust.randomness import Purpose, generator
from fedrobust.study.local_training import LocalTraining


@dataclass(frozen=True, eq=False)
class Client:
    """One client of a study.

    Attributes:
        client_id: which client it is, from 0.
        shard: its training images.
        training: what it does with them.
        algorithm: what it sends and remembers.
        postprocessors: what is done to its update before it is sent.
        attacker: what it does instead where it is malicious, in the rounds in which it attacks; None for an honest one.
    """

    client_id: int
    shard: Split
    training: LocalTraining
    algorithm: Algorithm = field(default_factory=FedAvg)
    postprocessors: tuple[Postprocessor, ...] = ()
    attacker: Attacker | None = None

    def train(self, weights: Weights, round: int, state: State) -> tuple[Weights, Mapping[str, Any], State]:
        """Return what the client sends in `round` (from 1), its metrics, and what it remembers.

        Args:
            weights: the global ones.
            round: from 1.
            state: what it remembers of the last round in which it took part.
        """
        if self.attacker is not None and self.attacker.schedule.active(round):
            return *self.attacker.train(self.shard, self.training, weights, round), state
        metrics: Mapping[str, Any] = {}

        def train(start: Weights) -> Weights:
            nonlocal metrics
            trained, metrics = self.training(self.shard, start, round, self.client_id)
            return trained

        sent, state = sent_by_client(self.algorithm, weights, state, train)
        sent = postprocessed(self.postprocessors, sent, weights, self.training.seed, round, self.client_id)
        return sent, metrics, state


def postprocessed(
    postprocessors: Sequence[Postprocessor],
    sent: Weights,
    current: Weights,
    seed: int,
    round: int,
    client: int,
) -> Weights:
    """Return what a client sends in place of `sent`, having been sent the weights `current` in `round`."""
    if not postprocessors:
        return sent
    draw = generator(seed, Purpose.POSTPROCESSING, round, client + 1)
    update = at_client(postprocessors, sent.trainable - current.trainable, draw)
    return Weights(current.trainable + update, sent.statistics)
