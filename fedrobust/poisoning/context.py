"""The knowledge of an attacker, that of colluding clients, and the success criterion of an attack."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.spec import SpecError

Perturb = Callable[..., np.ndarray]
"""``perturb(images, labels, epsilon, steps, step_size, random_start, ascend)``: uint8 images moved by the gradient of
the global model's loss, as uint8."""


def _no_model(*_: Any, **__: Any) -> np.ndarray:
    raise SpecError("this attack needs the global model's gradients: it runs in a study only")


@dataclass(frozen=True, eq=False)
class AttackContext:
    """What a malicious client knows.

    Attributes:
        client_id: which client it is, from 0.
        rank: its place among the malicious clients, from 0.
        malicious: how many of them there are among all clients.
        clients: how many clients there are.
        sampled: how many of them take part in a round; 0 for all.
        classes: of the data set.
        round: from 1.
        seed: the study's, shared by all malicious clients.
        fixed: random numbers of the client that are the same in every round.
        generator: random numbers of this round.
        current: the global weights (d,) float32.
        statistics: the global model's BatchNorm statistics (s,) float32.
        variances: where variances lie among the statistics (k,).
        perturb: moves images by the gradient of the global model.
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
    perturb: Perturb = _no_model

    @property
    def participants(self) -> int:
        """How many clients take part in a round."""
        return self.sampled or self.clients

    @property
    def expected_malicious(self) -> float:
        """How many malicious clients a round has on average, of the rounds in which this one takes part.

        It is 1 + (m - 1)(n - 1) / (N - 1) for n of N clients drawn without replacement, m of them malicious: a client
        knows of itself that it was drawn. With full participation it is m.

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
    """What colluding clients know in a round: all updates and the server's defence (omniscient).

    Attributes:
        own: what they would have sent had they been honest, (malicious, d).
        clients: how many updates the server has.
        tolerated: how many malicious clients its defence tolerates.
        generator: random numbers of this round.
        outcome: returns the server's aggregate (d,) if they all sent the given update (d,).
    """

    own: Updates
    clients: int
    tolerated: int
    generator: np.random.Generator
    outcome: Callable[[np.ndarray], np.ndarray]

    @property
    def malicious(self) -> int:
        """How many of the updates are theirs."""
        return len(self.own)


@dataclass(frozen=True, eq=False)
class Goal:
    """The success criterion of an attack: images, and the predictions that the attacker wants.

    Attributes:
        images: uint8 (n, height, width, channels), with the trigger, if the attack has one.
        plain: the same images without the trigger, for comparison; None where the attack has no trigger: a run without
            the attack is then the only control.
        wanted: (n,) the prediction that the attacker wants for each.
        rows: (n,) positions of the images without the trigger in their split, so that their predictions need not be
            computed again; None where they are not known.
    """

    images: np.ndarray
    plain: np.ndarray | None
    wanted: np.ndarray
    rows: np.ndarray | None = None
