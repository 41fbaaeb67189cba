"""The clients that can be asked to train: node, client id and number of images of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedrobust.data.dataset import Problem
from fedrobust.deployment.keys import admitted_nodes
from fedrobust.engines.exchange import exchange
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.flower.records import problem_config
from fedrobust.models.layout import Layout
from server.errors import RoundError
from server.replies import Failure, NodeInfo, read_node_info


@dataclass(frozen=True)
class ClientRegistry:
    """The clients of a study.

    Attributes:
        client_ids: of the clients that can be asked, ascending (n,).
        nodes: client id -> Flower's node id; None where it is the client id plus one, as in a simulation.
        sizes: how many images each of `client_ids` has, (n,).
        step_seconds: a local step's, measured at the nodes that introduced themselves, as many at a time as train:
            their median.
        memory_bytes: the most that one of their processes holds: their median.
        refused: nodes that cannot take part, and why.
    """

    client_ids: np.ndarray
    nodes: Mapping[int, int] | None
    sizes: np.ndarray
    step_seconds: float
    memory_bytes: int
    refused: tuple[str, ...] = ()

    def node(self, client_id: int) -> int:
        """Return the node of a client."""
        return client_id + 1 if self.nodes is None else self.nodes[client_id]

    def client_of(self, node: int) -> int | None:
        """Return the client of a node, None if it has none."""
        if self.nodes is None:
            return node - 1
        return next((client_id for client_id, known in self.nodes.items() if known == node), None)

    def knows(self, node: int) -> bool:
        """Return whether a node is that of one of these clients."""
        client = self.client_of(node)
        place = None if client is None else int(np.searchsorted(self.client_ids, client))
        return place is not None and place < len(self.client_ids) and int(self.client_ids[place]) == client

    def size(self, client_id: int) -> int:
        """Return how many images a client introduced itself with."""
        return int(self.sizes[np.searchsorted(self.client_ids, client_id)])

    def largest_first(self, client_ids: list[int]) -> list[int]:
        """Return `client_ids` in the order in which they should be trained: no long one is left to the end."""
        sizes = dict(zip(client_ids, self.sizes[np.searchsorted(self.client_ids, client_ids)], strict=True))
        return sorted(client_ids, key=lambda client_id: (-sizes[client_id], client_id))


def registry_of(
    grid: Grid,
    problem: Problem,
    layout: Layout,
    clients: int,
    sizes: Callable[[], Sequence[int] | np.ndarray],
    timeout: float = 0.0,
) -> ClientRegistry:
    """Have the clients get ready and say who they are.

    In a simulation the workers do, in all their clients' names; on Flower's own carriers, every node.

    Args:
        grid: reaches the nodes.
        problem: shape and classes of the study's images, which are sent to them.
        layout: of the global model.
        clients: of the study.
        sizes: returns how many images each simulated client has.
        timeout: seconds that a node may take; 0 for no limit.

    Raises:
        RoundError: no node answers properly.
    """
    content = RecordDict({"config": problem_config(problem, layout.frozen)})
    # On a coordinator every key is bound to one client of the study, whatever its node claims.
    admitted = None if isinstance(grid, SimulatedGrid) else admitted_nodes()
    introductions: dict[int, NodeInfo] = {}
    refused: list[str] = []
    asked = 0
    for replies in _answers(grid, content, clients, timeout):
        asked += len(replies)
        for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
            read = read_node_info(reply, layout, clients)
            if isinstance(read, Failure):
                refused.append(read.reason)
            elif isinstance(grid, SimulatedGrid) and read.client_id != read.node - 1:
                refused.append(f"client {read.node - 1} introduced itself as client {read.client_id}")
            elif admitted is not None and admitted.get(read.node) != read.client_id:
                refused.append(misnamed(read, admitted))
            elif read.client_id in introductions:
                refused.append(f"partition {read.client_id} stands for another node already")
            else:
                introductions[read.client_id] = read
        if introductions:
            break
    if not introductions:
        why = f"; first reason: {refused[0]}" if refused else ""
        raise RoundError(f"none of {asked} nodes is ready{why}")
    # What nodes say of themselves only foretells costs. Of few or hostile ones, the middle one is nearest the truth.
    steps = median_low(each.step_seconds for each in introductions.values())
    memory = median_low(each.memory_bytes for each in introductions.values())
    if isinstance(grid, SimulatedGrid):
        return ClientRegistry(np.arange(clients), None, np.asarray(sizes()), steps, memory, tuple(refused))
    found = sorted(introductions.values(), key=lambda each: each.client_id)
    return ClientRegistry(
        np.array([each.client_id for each in found]),
        {each.client_id: each.node for each in found},
        np.array([each.examples for each in found]),
        steps,
        memory,
        tuple(refused),
    )


MOST_ASKED = 32
"""Clients in whose name a simulation's workers get ready, a few at a time, until one does properly."""


def _answers(grid: Grid, content: RecordDict, clients: int, timeout: float) -> Iterator[list[Message]]:
    """Yield replies to a query: those of all nodes, or in a simulation those of a few clients at a time."""
    if not isinstance(grid, SimulatedGrid):
        messages = [
            Message(content, node, MessageType.QUERY, group_id="0") for node in sorted(grid.get_node_ids())
        ]
        yield list(exchange(grid, messages, timeout))
        return
    for first in range(1, min(clients, MOST_ASKED) + 1, grid.workers):
        yield grid.ask_every_worker(MessageType.QUERY, content, first)


def misnamed(introduction: NodeInfo, admitted: Mapping[int, int]) -> str:
    """Return why a node is refused that claims to be another client."""
    node, said = introduction.node, introduction.client_id
    if node not in admitted:
        return f"node {node} says it is partition {said}: its key is not in the coordinator's list"
    return (
        f"node {node} says it is partition {said}, but its key is that of partition {admitted[node]}: start it with "
        f"--partition {admitted[node]}, or name its key's file NAME-{said}.pub"
    )
