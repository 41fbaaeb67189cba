"""The simulated nodes: what each is told of itself, and what it keeps between rounds."""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as ProtoRecordDict

from fedrobust.engines.worker import Worker, WorkerDiedError
from fedrobust.flower.guard import failed_reply, plain_reply, plain_state, told
from fedrobust.flower.identity import RUN_ID


class SimulatedNodes:
    """Nodes 1 to `clients`; their ids are the partitions plus one.

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
        """Return what a worker answers in the name of a node; whatever the client raises becomes an error reply.

        Args:
            message: to the node.
            worker: answers it.
            is_heard: whether the worker was not given up meanwhile; the node then keeps what it wants to keep.

        Raises:
            WorkerDiedError: the worker is gone.
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
            reply = failed_reply(message, told(error))
        return reply

    def states(self) -> dict[int, bytes]:
        """Return what clients keep between rounds, encoded, by node; those that keep nothing are left out."""
        return {node: recorddict_to_proto(state).SerializeToString() for node, state in self._states.items()}

    def restore(self, states: Mapping[int, bytes]) -> None:
        """Give clients what they kept, as `states` returned it."""
        self._states = {
            node: plain_state(recorddict_from_proto(ProtoRecordDict.FromString(state)))
            for node, state in states.items()
        }

    def _remember(self, node: int, context: Context) -> None:
        """Keep what a client wants to find in its next round; one that failed finds what it found before."""
        state = plain_state(context.state)
        # Most clients keep nothing between rounds: a population of phones costs only those that do.
        if state:
            self._states[node] = state
        else:
            self._states.pop(node, None)
