"""The simulated nodes: their configuration, and the state that each keeps between rounds."""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from fedrobust.engines.worker import Worker, WorkerDiedError
from fedrobust.flower.guard import described, failed_reply, plain_reply, plain_state
from fedrobust.flower.identity import RUN_ID


class SimulatedNodes:
    """Nodes 1 to `clients`; a node's id is its client's plus one.

    Args:
        clients: number of nodes.
        run_config: Flower's flat run config, given to every node.
    """

    def __init__(self, clients: int, run_config: Mapping[str, Any]):
        self.clients = clients
        self._run_config = dict(run_config)
        self._states: dict[int, RecordDict] = {}

    def __contains__(self, node: int) -> bool:
        return 1 <= node <= self.clients

    def answered(self, message: Message, worker: Worker, is_heard: Callable[[], bool]) -> Message:
        """Return a node's reply, computed by a worker; whatever the client raises becomes an error reply.

        Args:
            message: to the node.
            worker: runs the node's app.
            is_heard: returns whether the worker is still waited for; only then the node's state is kept.

        Raises:
            WorkerDiedError: the worker died.
        """
        node = message.metadata.dst_node_id
        context = Context(
            run_id=RUN_ID,
            node_id=node,
            node_config={"partition-id": node - 1, "num-partitions": self.clients},
            state=plain_state(self._states.get(node, RecordDict())),
            run_config=dict(self._run_config),
        )
        try:
            reply = plain_reply(worker.answer(message, context), message)
            if is_heard():
                self._remember(node, context)
        except WorkerDiedError:
            raise
        except BaseException as error:  # whatever a client raises, or its objects do when they are read
            reply = failed_reply(message, described(error))
        return reply

    def states(self) -> dict[int, bytes]:
        """Return the encoded state that clients keep between rounds, by node; empty states are left out."""
        return {node: recorddict_to_proto(state).SerializeToString() for node, state in self._states.items()}

    def state(self, node: int) -> RecordDict:
        """Return what a client keeps between rounds, empty if it keeps nothing."""
        return self._states.get(node, RecordDict())

    def restore(self, states: Mapping[int, bytes]) -> None:
        """Restore the clients' states, as `states` returned them."""
        self._states = {
            node: plain_state(recorddict_from_proto(ProtoRecordDict.FromString(state)))
            for node, state in states.items()
        }

    def _remember(self, node: int, context: Context) -> None:
        """Store a client's state for its next round; a client that failed keeps the previous one."""
        state = plain_state(context.state)
        # Empty states are not stored: memory grows only with the clients that keep something.
        if state:
            self._states[node] = state
        else:
            self._states.pop(node, None)
