"""Who can be asked to train: which node stands for which client, and how many images each has."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedrobust.config import Experiment
from fedrobust.models.layout import Layout
from fedrobust.simulation.exchange import exchange
from fedrobust.simulation.grid import SimulatedGrid
from fedrobust.simulation.records import problem_config
from fedrobust.study import Problem, partition_of
from server.replies import Failure, Introduction, read_introduction
from server.strategy import RoundError


@dataclass(frozen=True)
class Population:
    """The clients of a study.

    Attributes:
        partitions: of the clients that can be asked, ascending (n,).
        nodes: partition -> Flower's node id; None where it is the partition plus one, as in a simulation.
        sizes: how many images each of `partitions` has, (n,).
        step_seconds: a local step's, measured at the nodes that introduced themselves, as many at a time as train.
        memory_bytes: the most that one of their processes holds.
        refused: nodes that cannot take part, and why.
    """

    partitions: np.ndarray
    nodes: Mapping[int, int] | None
    sizes: np.ndarray
    step_seconds: float
    memory_bytes: int
    refused: tuple[str, ...] = ()

    def node(self, partition: int) -> int:
        """Return the node that stands for a client."""
        return partition + 1 if self.nodes is None else self.nodes[partition]

    def partition(self, node: int) -> int | None:
        """Return the client that a node stands for, None if it stands for none."""
        if self.nodes is None:
            return node - 1
        return next((partition for partition, known in self.nodes.items() if known == node), None)

    def size(self, partition: int) -> int:
        """Return how many images a client introduced itself with."""
        return int(self.sizes[np.searchsorted(self.partitions, partition)])

    def largest_first(self, partitions: list[int]) -> list[int]:
        """Return `partitions` in the order in which they should be trained: no long one is left to the end."""
        sizes = dict(zip(partitions, self.sizes[np.searchsorted(self.partitions, partitions)], strict=True))
        return sorted(partitions, key=lambda partition: (-sizes[partition], partition))


def population_of(grid: Grid, experiment: Experiment, problem: Problem, layout: Layout) -> Population:
    """Have the clients get ready and say who they are.

    In a simulation the workers do, in all their clients' names; on Flower's own carriers, every node.

    Raises:
        RoundError: no node answers properly.
    """
    content = RecordDict({"config": problem_config(problem)})
    clients = experiment.federation.clients
    if isinstance(grid, SimulatedGrid):
        replies = grid.ask_every_worker(MessageType.QUERY, content)
    else:
        nodes = sorted(grid.get_node_ids())
        messages = [Message(content, node, MessageType.QUERY, group_id="0") for node in nodes]
        replies = list(exchange(grid, messages, experiment.engine.client_timeout))
    introductions: dict[int, Introduction] = {}
    refused = []
    for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
        read = read_introduction(reply, layout, clients)
        if isinstance(read, Failure):
            refused.append(read.reason)
        elif read.partition in introductions:
            refused.append(f"partition {read.partition} stands for another node already")
        else:
            introductions[read.partition] = read
    if not introductions:
        why = f"; first reason: {refused[0]}" if refused else ""
        raise RoundError(f"none of {len(replies)} nodes is ready{why}")
    steps = float(np.mean([each.step_seconds for each in introductions.values()]))
    memory = max(each.memory_bytes for each in introductions.values())
    if isinstance(grid, SimulatedGrid):
        sizes = np.asarray(partition_of(experiment).sizes)
        return Population(np.arange(clients), None, sizes, steps, memory, tuple(refused))
    found = sorted(introductions.values(), key=lambda each: each.partition)
    return Population(
        np.array([each.partition for each in found]),
        {each.partition: each.node for each in found},
        np.array([each.examples for each in found]),
        steps,
        memory,
        tuple(refused),
    )
