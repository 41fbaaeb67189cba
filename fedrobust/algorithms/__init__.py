"""Federated algorithms: what a client does with the global weights, and what the server does with the aggregate."""

from fedrobust.algorithms.contract import ALGORITHMS, Algorithm, State, Train
from fedrobust.algorithms.fedavg import FedAvg
from fedrobust.algorithms.fedprox import FedProx

__all__ = ["ALGORITHMS", "Algorithm", "FedAvg", "FedProx", "State", "Train"]
