"""Ten thousand malformed replies on each carrier: does any end a study, does any take a good one with it?

    python experiments/reliability/replies.py --replies 10000

In every round twenty nodes answer, fifteen of them hostile. A round is lost if anything is raised, a good reply is lost
if it is not read to the bit; the resident memory is measured after a tenth of the rounds and at the end.
"""

import argparse
import gc
import json
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.app.message.message import remove_content_from_message
from flwr.clientapp import ClientApp
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import ConfirmMessageReceivedResponse, PullObjectResponse, PushObjectResponse
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import GetNodesResponse, PullAppMessagesResponse, PushAppMessagesResponse
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.superlink.grid import HttpGrid
from malformed import LAYOUT, Deflated, SlyError, deflated, honest_content, hostile_object, hostile_wire

from fedrobust.engines.exchange import exchange
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.engines.threads import ThreadWorker
from fedrobust.flower.identity import RUN_ID, server_identity
from fedrobust.flower.message_arrays import opened, pack, values_of
from server.replies import Failure, Reply, read_reply

NODES = 20
HOSTILE = 15


@dataclass
class Tally:
    """What came of the rounds on one carrier.

    Attributes:
        hostile: malformed replies sent.
        refused: of them, refused with a reason; the others were valid after all.
        good: honest replies sent.
        lost: of them, not read to the bit.
        crashes: what ended a round.
        reasons: how often which reason was given, its first words.
    """

    hostile: int = 0
    refused: int = 0
    good: int = 0
    lost: int = 0
    crashes: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)


def value_of(node: int, round: int) -> float:
    """Return what all weights of an honest node are in a round: no two are alike."""
    return node + round % 1000 / 1024


def is_hostile(node: int, round: int) -> bool:
    """Return whether a node is hostile in a round; each is honest in some."""
    return (node + round) % NODES < HOSTILE


def generator(node: int, round: int) -> np.random.Generator:
    """Return the randomness of one node in one round."""
    return np.random.default_rng([node, round])


# -- Carriers ----------------------------------------------------------------------------------------------------------


def round_of(message: Message) -> int:
    """Return the round that a message asks to train in."""
    round = message.content["config"]["round"]
    assert isinstance(round, int)
    return round


def client_app() -> ClientApp:
    """Return an app whose hostile nodes return, or raise, malformed replies."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        round = round_of(message)
        node = context.node_id
        if not is_hostile(node, round):
            return Message(honest_content(value_of(node, round), 1), reply_to=message)
        answer: Any = hostile_object(generator(node, round), message)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return app


@contextmanager
def in_process() -> Iterator[Grid]:
    """The threads engine."""
    app = client_app()
    with server_identity(), SimulatedGrid(lambda _: ThreadWorker(app), {}, NODES, workers=2) as grid:
        yield grid


class Posted:
    """A worker that does what the Ray engine's does, its process' part included; pickled, but in this process."""

    def __init__(self, app: ClientApp):
        from fedrobust.engines.ray_worker import Actor

        self.actor = Actor.__new__(Actor)
        self.actor._app, self.actor._run_config = app, {}

    def answer(self, message: Message, context: Context) -> Message:
        """Return the reply, both ways in envelopes."""
        envelope, arrays = pack(message)
        sent = pickle.loads(pickle.dumps((envelope, dict(context.node_config), context.state)))
        answer = self.actor.answer(*sent, *[values_of(array) for array in arrays])
        draw = np.random.default_rng(context.node_id)
        reply, context.state = opened(spoiled(draw, pickle.loads(pickle.dumps(answer)), message))
        return reply

    def close(self) -> None:
        """Do nothing."""


def spoiled(draw: np.random.Generator, answer: Any, message: Message) -> Any:
    """Return the answer of a hostile node's worker, now and then with something else in its place."""
    node, round = message.metadata.dst_node_id, round_of(message)
    if not is_hostile(node, round) or generator(node, round).random() < 0.7:
        return answer
    envelope, state, values = answer
    return [
        None, (), (envelope, state), (None, state, values), (envelope, None, values), (envelope, state, None),
        (envelope, state, [*values, np.ones(1)]), (envelope, state, [None for _ in values]), "answer", [1, 2, 3],
    ][draw.integers(10)]  # fmt: skip


@contextmanager
def envelopes() -> Iterator[Grid]:
    """The Ray engine's envelopes, without its cluster."""
    app = client_app()
    with server_identity(), SimulatedGrid(lambda _: Posted(app), {}, NODES, workers=2) as grid:
        yield grid


class Link:
    """A SuperLink's side of the wire, in memory.

    It forgets replies once they are pulled, and their objects once it is told that they have arrived, as the real one
    does.
    """

    def __init__(self, answer: Callable[[Message], Deflated]):
        self.answer = answer
        self.replies: dict[str, Any] = {}
        self.held: dict[str, dict[str, bytes]] = {}
        self.pulled: dict[str, bytes] = {}

    def GetNodes(self, request: Any) -> GetNodesResponse:  # noqa: N802
        """Return all nodes."""
        return GetNodesResponse(nodes=[NodeInfo(node_id=node) for node in range(1, NODES + 1)])

    def PushMessages(self, request: Any) -> PushAppMessagesResponse:  # noqa: N802
        """Have every node answer at once."""
        names = [proto.metadata.message_id for proto in request.messages_list]
        for proto in request.messages_list:
            asked = message_from_proto(proto)
            found = self.answer(asked)
            reply = Message(RecordDict(), reply_to=asked)
            reply.metadata.__dict__["_message_id"] = found.name
            self.replies[proto.metadata.message_id] = (
                message_to_proto(remove_content_from_message(reply)),
                found.tree,
            )
            # Nobody's objects can take the place of another's: the real one goes by their digests.
            self.held[found.name] = found.objects
        return PushAppMessagesResponse(message_ids=names, objects_to_push=[], session_id="s")

    def PushObject(self, request: Any) -> PushObjectResponse:  # noqa: N802
        """Take an object of a message; the nodes here do not look into them."""
        return PushObjectResponse(stored=True)

    def PullMessages(self, request: Any) -> PullAppMessagesResponse:  # noqa: N802
        """Return replies, each once."""
        found = [self.replies.pop(name) for name in request.message_ids if name in self.replies]
        self.pulled = {}
        for proto, _ in found:
            self.pulled.update(self.held[proto.metadata.message_id])
        return PullAppMessagesResponse(
            messages_list=[proto for proto, _ in found], message_object_trees=[tree for _, tree in found]
        )

    def PullObject(self, request: Any) -> PullObjectResponse:  # noqa: N802
        """Return one object of the replies that were pulled last."""
        content = self.pulled.get(request.object_id)
        if content is None:
            return PullObjectResponse(object_found=False)
        return PullObjectResponse(object_found=True, object_available=True, object_content=content)

    def ConfirmMessageReceived(self, request: Any) -> ConfirmMessageReceivedResponse:  # noqa: N802
        """Forget a message's objects."""
        self.held.pop(request.message_object_id)
        return ConfirmMessageReceivedResponse()


@contextmanager
def wire() -> Iterator[Grid]:
    """Flower's own grid, with a SuperLink that is a dictionary."""

    def answer(asked: Message) -> Deflated:
        node, round = asked.metadata.dst_node_id, int(asked.metadata.group_id)
        if is_hostile(node, round):
            return hostile_wire(generator(node, round), asked)
        return deflated(Message(honest_content(value_of(node, round), 1), reply_to=asked))

    grid = HttpGrid(token="none")
    grid.set_run(Run.create_empty(RUN_ID))
    link = Link(answer)
    grid.__dict__["_client"] = link
    with server_identity():
        yield grid
    assert grid.__dict__["_client"] is link
    assert not link.held, "what was refused is left at the SuperLink"


CARRIERS = {"in process": in_process, "envelope": envelopes, "wire": wire}

# -- Rounds ------------------------------------------------------------------------------------------------------------


def questions(round: int) -> list[Message]:
    """Return one message to every node."""
    content = RecordDict({**honest_content(0.0, 1), "config": ConfigRecord({"round": round})})
    return [Message(content, node, MessageType.TRAIN, group_id=str(round)) for node in range(1, NODES + 1)]


def play(grid: Grid, round: int, tally: Tally) -> None:
    """Have all nodes answer once, and count."""
    heard: dict[int, Reply | Failure] = {}
    try:
        for reply in exchange(grid, questions(round)):
            node = reply.metadata.src_node_id
            heard[node] = read_reply(reply, node - 1, LAYOUT, 1)
    except (Exception, SlyError) as error:
        tally.crashes.append(f"round {round}: {type(error).__name__}: {error}"[:300])
    for node in range(1, NODES + 1):
        answer = heard.get(node)
        if is_hostile(node, round):
            tally.hostile += 1
            tally.refused += isinstance(answer, Failure)
            if isinstance(answer, Failure):
                tally.reasons[" ".join(answer.reason.split()[:5])] += 1
                assert answer.reason.isprintable()
                assert len(answer.reason) <= 300
        else:
            tally.good += 1
            tally.lost += not is_whole(answer, value_of(node, round))


def is_whole(answer: Reply | Failure | None, value: float) -> bool:
    """Return whether a good reply was read as it was sent."""
    if not isinstance(answer, Reply):
        return False
    vectors: Iterable[np.ndarray] = (answer.weights.trainable, answer.weights.statistics)
    return all((vector == np.float32(value)).all() for vector in vectors)


def resident() -> float:
    """Return this process' memory in MB."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def measure(name: str, replies: int) -> dict[str, Any]:
    """Return what came of so many malformed replies on one carrier."""
    tally, rounds = Tally(), -(-replies // HOSTILE)
    before, began = 0.0, time.perf_counter()
    with CARRIERS[name]() as grid:
        for round in range(rounds):
            play(grid, round, tally)
            if round == rounds // 10:
                before = resident()
    return {
        "carrier": name,
        "malformed": tally.hostile,
        "refused": tally.refused,
        "crashes": len(tally.crashes),
        "first crash": tally.crashes[0] if tally.crashes else "",
        "good": tally.good,
        "lost": tally.lost,
        "kinds of reasons": len(tally.reasons),
        "MB after a tenth": round_to(before),
        "MB at the end": round_to(resident()),
        "seconds": round_to(time.perf_counter() - began),
        "reasons": dict(tally.reasons.most_common(12)),
    }


def round_to(value: float) -> float:
    """Return a figure with one decimal."""
    return float(f"{value:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replies", type=int, default=10_000)
    parser.add_argument("--carrier", choices=CARRIERS, action="append")
    arguments = parser.parse_args()
    for name in arguments.carrier or CARRIERS:
        print(json.dumps(measure(name, arguments.replies), indent=1), flush=True)
