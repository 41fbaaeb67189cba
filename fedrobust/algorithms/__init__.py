"""Federated algorithms: their client side and server side. One file an algorithm."""

from fedrobust.algorithms.contract import ALGORITHMS, Algorithm, Received, Sent, State, Train
from fedrobust.algorithms.ditto import Ditto
from fedrobust.algorithms.fedavg import FedAvg
from fedrobust.algorithms.fedbn import FedBN
from fedrobust.algorithms.feddyn import FedDyn
from fedrobust.algorithms.fednova import FedNova
from fedrobust.algorithms.fedper import FedPer
from fedrobust.algorithms.fedprox import FedProx
from fedrobust.algorithms.fedrep import FedRep
from fedrobust.algorithms.scaffold import Scaffold

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "Ditto",
    "FedAvg",
    "FedBN",
    "FedDyn",
    "FedNova",
    "FedPer",
    "FedProx",
    "FedRep",
    "Received",
    "Scaffold",
    "Sent",
    "State",
    "Train",
]
