"""Aggregation steps and federations of a few clients, put together from settings as a server does, without images."""

import numpy as np

from fedrobust.config import Experiment
from fedrobust.data.problem import Problem
from fedrobust.study import Study
from server.aggregation_step import AggregationStep
from server.client_registry import ClientRegistry
from server.federation import Federation
from server.sampling import Sampling

PROBLEM = Problem((4, 4, 1), 2)
FIRST_NODE = 100
"""The node of client 0; those of the others follow."""


def ones(current, images, round, typical=None):
    """Return an update of the server's own."""
    return np.ones_like(current.trainable)


def step_of(experiment: Experiment, root=ones, rare=()) -> AggregationStep:
    """Return a study's aggregation step.

    Args:
        experiment: the study.
        root: returns the server's own update.
        rare: honest clients whose patients are unlike the others'.
    """
    study, federation = Study(experiment, PROBLEM), experiment.federation
    return AggregationStep(
        study.defence,
        study.tolerated,
        study.server_optimizer,
        study.attack,
        study.schedule,
        study.seed,
        root,
        frozenset(rare),
        (federation.aggregator, federation.pre_aggregators),
    )


def federation_of(layout, sizes, partitions=None, **settings) -> Federation:
    """Return a federation whose clients introduced themselves.

    Args:
        layout: of the global model.
        sizes: images of each client.
        partitions: which clients they are; by default all, from 0.
        settings: of the study.
    """
    experiment = Experiment.of(**{"federation__clients": len(sizes), **settings})
    known = np.arange(len(sizes)) if partitions is None else np.array(partitions)
    nodes = {int(client): FIRST_NODE + int(client) for client in known}
    registry = ClientRegistry(known, nodes, np.array(sizes), 0.1, 10**9)
    return Federation(
        experiment.federation,
        experiment.poisoning,
        layout,
        PROBLEM,
        registry,
        Sampling(experiment.federation, registry, experiment.seed, Study(experiment, PROBLEM).availability),
        step_of(experiment),
        experiment.seed,
    )
