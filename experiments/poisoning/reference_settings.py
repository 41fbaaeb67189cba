"""The settings of the reference tables of rules and attacks: federations, and what they learn."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

PNEUMONIA, DERMA, WHOLE = "PneumoniaMNIST", "DermaMNIST", "PneumoniaMNIST, all of an edge-cnn"

STUDIES: Mapping[str, Mapping[str, Any]] = {
    PNEUMONIA: {},
    DERMA: {
        "data": {"name": "dermamnist_rebuilt.npz"},
        "training": {"loss": "balanced-softmax", "class-weights": "none"},
    },
    WHOLE: {
        "model": {"name": "edge-cnn(width=8)", "weights": "random", "image-size": 28},
        "training": {"layers": "all", "learning-rate": 0.003, "batch-size": 32},
    },
}
"""What is learnt: changes in the study of the first pass."""


@dataclass(frozen=True)
class Setting:
    """One federation.

    Attributes:
        partition: of the images over clients.
        clients: their number.
        participation: share of them in a round.
        malicious: share of attackers.
        study: what is learnt, one of `STUDIES`.
    """

    partition: str
    clients: int
    participation: float
    malicious: float
    study: str = PNEUMONIA

    @property
    def name(self) -> str:
        """What the page calls it."""
        part = "" if self.participation == 1 else f", {round(self.clients * self.participation)} in a round"
        learnt = "" if self.study == PNEUMONIA else f"{self.study}, "
        return f"{learnt}{self.partition}, {self.clients} clients{part}, {self.malicious:.0%} malicious"

    def values(self) -> dict[str, Any]:
        """Return its settings, as in a study file.

        Where few take part in a round there are more rounds. Where most clients have images of one class, class weights
        within a client say nothing, and the mean predicts one class: the loss knows the class shares of clients.
        """
        skewed = {"training": {"loss": "balanced-softmax", "class-weights": "none"}}
        return {
            **(skewed if self.partition == "dirichlet(alpha=0.1)" else {}),
            "data": {"partition": self.partition},
            "federation": {
                "clients": self.clients,
                "participation": self.participation,
                "rounds": 8 if self.participation == 1 else 24,
            },
            "evaluation": {"every": 8 if self.participation == 1 else 24},
            "poisoning": {"malicious": self.malicious},
        }


FEDERATIONS = ((10, 1.0), (50, 0.2), (50, 1.0))
"""Clients, and the share of them in a round. Two of ten are too few for most rules: ten all take part."""

PARTITIONS = ("dirichlet(alpha=0.5)", "iid", "dirichlet(alpha=0.1)")
SHARES = (0.3, 0.2, 0.1)

SETTINGS = tuple(
    Setting(partition, clients, participation, malicious)
    for (clients, participation), partition, malicious in product(FEDERATIONS, PARTITIONS, SHARES)
) + tuple(
    Setting(partition, 10, 1.0, malicious, study)
    for study, partition, malicious in (
        (DERMA, "dirichlet(alpha=0.5)", 0.3),
        (DERMA, "iid", 0.3),
        (DERMA, "dirichlet(alpha=0.1)", 0.3),
        (DERMA, "dirichlet(alpha=0.5)", 0.1),
        (WHOLE, "dirichlet(alpha=0.5)", 0.3),
        (WHOLE, "iid", 0.3),
    )
)
