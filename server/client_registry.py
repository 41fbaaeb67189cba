"""The registry of available clients: node, client id and number of images of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

import numpy as np
from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from fedrobust.data.problem import Problem
from fedrobust.deployment.keys import admitted_nodes, site_names
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
        client_ids: of available clients, ascending (n,).
        nodes: client id -> Flower's node id; None if it is the client id plus one, as in a simulation.
        sizes: number of images of each of `client_ids`, (n,).
        step_seconds: median seconds of a local step over the nodes, measured with as many in parallel as train.
        memory_bytes: median peak memory of a node's process.
        refused: reasons of nodes that cannot take part.
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
        """Return whether a node belongs to one of these clients."""
        client = self.client_of(node)
        place = None if client is None else int(np.searchsorted(self.client_ids, client))
        return place is not None and place < len(self.client_ids) and int(self.client_ids[place]) == client

    def size(self, client_id: int) -> int:
        """Return the number of images that a client reported."""
        return int(self.sizes[np.searchsorted(self.client_ids, client_id)])

    def largest_first(self, client_ids: list[int]) -> list[int]:
        """Return `client_ids` sorted by descending number of images, so that long trainings do not start last."""
        sizes = dict(zip(client_ids, self.sizes[np.searchsorted(self.client_ids, client_ids)], strict=True))
        return sorted(client_ids, key=lambda client_id: (-sizes[client_id], client_id))


def registry_of(
    grid: Grid,
    problem: Problem,
    layout: Layout,
    clients: int,
    sizes: Callable[[], Sequence[int] | np.ndarray],
    timeout: float = 0.0,
    round: int = 1,
) -> ClientRegistry:
    """Prepare the clients, and register those that report themselves.

    In a simulation the workers report for all clients; on Flower's own grids every node reports.

    Args:
        grid: delivers messages to the nodes.
        problem: image shape and classes, which are sent to the nodes.
        layout: of the global model.
        clients: number of clients of the study.
        sizes: returns the number of images of each simulated client.
        timeout: most seconds of a node; 0: no limit.
        round: from 1, with which the run begins or goes on: a site's privacy budget has to last from there.

    Raises:
        RoundError: no node sends a valid report.
    """
    config = {"round": round, **problem_config(problem, layout.frozen, layout.network)}
    content = RecordDict({"config": ConfigRecord(config)})
    # On a coordinator every key is bound to one client of the study.
    admitted = None if isinstance(grid, SimulatedGrid) else admitted_nodes()
    introductions: dict[int, NodeInfo] = {}
    refused: list[str] = []
    asked = 0
    for replies in _answers(grid, content, clients, timeout):
        asked += len(replies)
        for reply in sorted(replies, key=lambda reply: reply.metadata.src_node_id):
            read = read_node_info(reply, layout, clients)
            if isinstance(read, Failure):
                refused.append(f"{_site(reply.metadata.src_node_id, admitted)}{read.reason}")
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
    # Nodes' reports are used only to forecast costs; the median limits the effect of false ones.
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
"""Most clients for which a simulation's workers are prepared, a few at a time, until one succeeds."""


def _answers(grid: Grid, content: RecordDict, clients: int, timeout: float) -> Iterator[list[Message]]:
    """Yield the replies of all nodes, or in a simulation those of a few clients at a time."""
    if not isinstance(grid, SimulatedGrid):
        messages = [
            Message(content, node, MessageType.QUERY, group_id="0") for node in sorted(grid.get_node_ids())
        ]
        yield list(exchange(grid, messages, timeout))
        return
    for first in range(1, min(clients, MOST_ASKED) + 1, grid.workers):
        yield grid.ask_every_worker(MessageType.QUERY, content, first)


def _site(node: int, admitted: Mapping[int, int] | None) -> str:
    """Return the name of a node's site with a colon, empty where it has none."""
    client, names = (admitted or {}).get(node), site_names()
    return "" if client is None or names is None else f"{names[client]}: "


def misnamed(introduction: NodeInfo, admitted: Mapping[int, int]) -> str:
    """Return the reason for the refusal of a node that claims another client number."""
    node, said = introduction.node, introduction.client_id
    if node not in admitted:
        return f"node {node} says it is partition {said}: its key is not in the coordinator's list"
    return (
        f"node {node} says it is partition {said}, but its key is that of partition {admitted[node]}: start it with "
        f"--partition {admitted[node]}, or name its key's file NAME-{said}.pub"
    )
