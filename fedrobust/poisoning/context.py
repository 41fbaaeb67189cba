"""The knowledge of a malicious client, that of colluding clients, and the success criterion of an attack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.models.layout import Layout
from fedrobust.poisoning.memory import AttackMemory
from fedrobust.poisoning.tools import AttackerTools
from fedrobust.spec import SpecError

Perturb = Callable[..., np.ndarray]
"""``perturb(images, labels, epsilon=..., steps=..., step_size=..., ascend=...)``: uint8 images perturbed along the
gradient of the global model's loss, as uint8."""


def _no_model(*_: Any, **__: Any) -> np.ndarray:
    raise SpecError("this attack needs the global model's gradients: it runs in a study only")


@dataclass(frozen=True, eq=False)
class AttackContext:
    """The knowledge of a malicious client.

    Attributes:
        client_id: the client's number, from 0.
        rank: its place among the malicious clients, from 0.
        malicious: number of malicious clients among all clients.
        clients: number of clients.
        sampled: clients sampled in each round; 0 for all.
        classes: number of classes.
        round: from 1.
        seed: the study's, shared by all malicious clients.
        fixed: the client's random numbers that repeat in every round.
        generator: random numbers of this round.
        current: the global weights (d,) float32.
        statistics: the global model's BatchNorm statistics (s,) float32.
        variances: positions of variances among the statistics (k,).
        means: positions of the means that belong to them (k,), if the server averages second moments; else empty.
        perturb: perturbs images along the global model's gradient.
        layout: of the model's weights; None outside of a study.
        memory: what the client kept of the last round in which it took part.
        target: the target class of the attack's backdoor, 0 if it has none.
        tools: its images, and functions of weights: local updates, logits, gradients.
        divisor: what the client's update is divided by before it is sent: 1 unless the federated algorithm normalises.
    """

    client_id: int = 0
    rank: int = 0
    malicious: int = 1
    clients: int = 1
    sampled: int = 0
    classes: int = 2
    round: int = 1
    seed: int = 0
    fixed: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    current: np.ndarray | None = None
    statistics: np.ndarray | None = None
    variances: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    means: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    perturb: Perturb = _no_model
    layout: Layout | None = None
    memory: AttackMemory = field(default_factory=AttackMemory)
    target: int = 0
    tools: AttackerTools = field(default_factory=AttackerTools)
    divisor: float = 1.0

    @property
    def change(self) -> np.ndarray | None:
        """The change of the global weights (d,) float32 since the client last took part; None if it has not.

        With full participation it is the last global update, w_t - w_(t-1); otherwise that of several rounds, because a
        client is sent the weights of its own rounds only. It is known to attacks with ``keeps = ("weights",)``.
        """
        if self.current is None or self.memory.weights is None:
            return None
        return self.current - self.memory.weights

    @property
    def participants(self) -> int:
        """Number of clients in a round."""
        return self.sampled or self.clients

    @property
    def expected_malicious(self) -> float:
        """Expected number of malicious clients in a round, given that this one is sampled.

        It is 1 + (m - 1)(n - 1) / (N - 1) where n of N clients are drawn without replacement and m of the N are
        malicious; with full participation it is m.

        Example:
            >>> AttackContext(clients=100, sampled=10, malicious=12).expected_malicious
            2.0
            >>> AttackContext(clients=100, sampled=10, malicious=1).expected_malicious
            1.0
        """
        others = max(1, self.clients - 1)
        return 1 + (max(1, self.malicious) - 1) * (self.participants - 1) / others


@dataclass(frozen=True, eq=False)
class CollusionContext:
    """The knowledge of colluding clients in a round (omniscient): all updates, and the server's defence.

    Attributes:
        own: the updates that they would send if they were honest, (malicious, d).
        clients: number of updates that the server aggregates.
        tolerated: number of malicious clients that the server's defence is set to tolerate.
        generator: random numbers of this round.
        outcome: function from what they send, one update (d,) or one each (malicious, d), to the server's aggregate
            (d,).
        step: function from what they send to the change of the global weights (d,): the aggregate after
            postprocessors, algorithm and server optimiser. NaN where the server would reject the round. None: the
            aggregate is that change.
        poisoned: whether other parts of the attack made `own`: poisoned data, training or updates.
        value: function from the change of the global weights (d,) to how good the model after it is for the attackers,
            on images of their own (`server.attack_objective`); larger is better. None where it is not measured: outside
            of a study, with several labels an image, and with a trigger that is learnt.
        client_ids: the clients whose updates stand for the honest ones (n,); empty: not known.
        memory: what the colluding clients agreed on (`fedrobust.poisoning.contract`), by name; empty before.
    """

    own: Updates
    clients: int
    tolerated: int
    generator: np.random.Generator
    outcome: Callable[[np.ndarray], np.ndarray]
    step: Callable[[np.ndarray], np.ndarray] | None = None
    poisoned: bool = False
    value: Callable[[np.ndarray], float] | None = None
    client_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    memory: Mapping[str, np.ndarray] = field(default_factory=dict)

    def ids_of(self, honest: Updates) -> np.ndarray:
        """Return the numbers of the clients of `honest` updates (n,); their places where they are not known."""
        return self.client_ids if len(self.client_ids) else np.arange(len(honest))

    @property
    def malicious(self) -> int:
        """Number of malicious updates."""
        return len(self.own)


@dataclass(frozen=True, eq=False)
class SuccessCriterion:
    """The success criterion of a targeted attack: images, and the class that the attacker wants for each.

    Attributes:
        images: uint8 (n, height, width, channels), with the trigger, if the attack has one.
        clean: the same images without the trigger, as the control; None where the attack has no trigger (a run without
            the attack is then the only control).
        target_labels: (n,) the class that the attacker wants for each.
        rows: (n,) positions of the clean images in their split, whose predictions are then not computed again; None
            where they are not known.
        control: what the success rate is to be compared with, where the attack has a trigger.
    """

    images: np.ndarray
    clean: np.ndarray | None
    target_labels: np.ndarray
    rows: np.ndarray | None = None
    control: str = "the same images without the trigger"
