"""Server optimisers of the aggregated update, as in Flower's strategies. One file an optimiser."""

from fedrobust.aggregation.server_optimizers.fedadam import FedAdam
from fedrobust.aggregation.server_optimizers.fedavgm import FedAvgM
from fedrobust.aggregation.server_optimizers.fedyogi import FedYogi
from fedrobust.aggregation.server_optimizers.server_optimizer import SERVER_OPTIMIZERS, ServerOptimizer

__all__ = ["SERVER_OPTIMIZERS", "FedAdam", "FedAvgM", "FedYogi", "ServerOptimizer"]
