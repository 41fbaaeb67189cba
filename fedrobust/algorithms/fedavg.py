"""Federated averaging."""

from dataclasses import dataclass

from fedrobust.algorithms.contract import ALGORITHMS


@ALGORITHMS.register("fedavg")
@dataclass(frozen=True, kw_only=True)
class FedAvg:
    """Send the weights after the local update (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1)."""
