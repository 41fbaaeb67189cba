"""The share of the clients' weight that takes part in a round."""

from collections.abc import Sequence

import numpy as np

from fedrobust.aggregation import AggregationContext
from fedrobust.aggregation.rules.mean import Mean
from fedrobust.aggregation.weights import SiteWeights
from fedrobust.algorithms.contract import Received
from server.aggregation_step import AggregationStep
from server.client_registry import ClientRegistry


def received_of(
    step: AggregationStep, registry: ClientRegistry, population: int, replied: Sequence[int]
) -> Received:
    """Return how many clients replied, and their share of the weight of all, without arrays.

    Where a rule weights clients by their images, a mean of a round times this share is a part of the weighted mean
    over all clients: states at the server that sum over rounds (SCAFFOLD's c, FedDyn's h) then have the weights of the
    objective.

    Args:
        step: the study's; its rule may weight clients, and its algorithm may have a side at the server.
        registry: the clients and the numbers of images that they registered.
        population: number of clients of the study.
        replied: the clients with valid replies.
    """
    plain = Received(clients=len(replied), population=population)
    defence, rule = step.defence, step.defence.rule
    everybody = registry.client_ids
    if not (hasattr(step.algorithm, "server") and isinstance(rule, Mean | SiteWeights)):
        return plain
    if any(left != len(everybody) for _, left in defence.stages(len(everybody))):
        return plain  # a pre-aggregator mixes clients, whose sizes are then not known
    context = AggregationContext(everybody, registry.sizes, typical=float(np.median(registry.sizes)))
    each = rule.weights(context, len(everybody))
    taking = each[np.searchsorted(everybody, np.asarray(replied, np.int64))]
    return Received(clients=len(replied), population=population, weight=float(taking.sum() / each.sum()))
