import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.supercore.task_identity import TaskIdentity

from fedrobust.engines.exchange import exchange
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.engines.threads import ThreadWorker
from fedrobust.engines.worker import EngineError, NoPlaceError, WorkerDiedError
from fedrobust.engines.worker_pool import Job, WorkerSlot
from fedrobust.flower import guard
from fedrobust.flower.identity import server_identity
from fedrobust.reasons import first_reason
from fedrobust.runs.events import ClientReplied, listening


def echo_app():
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        config: Any = message.content["config"]
        state: Any = context.state
        if config["round"] == context.node_config["partition-id"]:
            raise OSError("the disk of this hospital is full")
        config["mine"] = context.node_id
        state["seen"] = MetricRecord({"n": state.get("seen", {"n": 0})["n"] + 1})
        return Message(
            RecordDict({"answer": MetricRecord({"node": context.node_id, "n": state["seen"]["n"]})}),
            reply_to=message,
        )

    return app


def threads(app, clients, workers, **settings):
    return SimulatedGrid(lambda _: ThreadWorker(app), {"seed": 0}, clients, workers, **settings)


@pytest.fixture
def grid():
    with server_identity(), threads(echo_app(), clients=5, workers=3) as grid:
        yield grid


def ask(grid, round=99):
    content = RecordDict({"config": ConfigRecord({"round": round})})
    return [grid.create_message(content, MessageType.TRAIN, node, "1") for node in grid.get_node_ids()]


def test_replies_come_in_the_order_of_the_messages_and_state_stays_with_its_node(grid):
    for turn in (1, 2):
        replies = grid.send_and_receive(ask(grid))
        assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3, 4, 5]
        assert [dict(reply.content["answer"]) for reply in replies] == [
            {"node": node, "n": turn} for node in range(1, 6)
        ]


def test_a_client_that_raises_is_an_error_reply_and_an_event(grid):
    heard = []
    with listening(heard.append):
        replies = sorted(exchange(grid, ask(grid, round=2)), key=lambda reply: reply.metadata.src_node_id)
    assert [reply.has_error() for reply in replies] == [False, False, True, False, False]
    assert "the disk of this hospital is full" in replies[2].error.reason
    failures = {event.node: event.failure for event in heard if isinstance(event, ClientReplied)}
    assert failures == {1: "", 2: "", 3: "OSError: the disk of this hospital is full", 4: "", 5: ""}


def test_clients_do_not_see_what_neighbours_write_into_a_shared_message(grid):
    content = RecordDict({"config": ConfigRecord({"round": 99})})
    messages = [Message(content, node, MessageType.TRAIN) for node in grid.get_node_ids()]
    grid.send_and_receive(messages)
    assert "answer" not in content


def test_push_and_pull(grid):
    keys = grid.push_messages(ask(grid))
    replies = []
    while len(replies) < 5:
        replies += grid.pull_messages(keys)
    assert {reply.metadata.src_node_id for reply in replies} == {1, 2, 3, 4, 5}
    assert grid.pull_messages(keys) == []


def hanging_app(release):
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        if context.node_id == 2:
            release.wait(30)
        return Message(RecordDict(), reply_to=message)

    return app


def to_nodes(*nodes):
    return [Message(RecordDict(), node, MessageType.TRAIN) for node in nodes]


def test_replies_that_take_too_long_are_left_out():
    release = threading.Event()
    with server_identity(), threads(hanging_app(release), clients=3, workers=2) as grid:
        replies = grid.send_and_receive(to_nodes(1, 2, 3), timeout=0.5)
        release.set()
    assert [reply.metadata.src_node_id for reply in replies] == [1, 3]


def test_a_client_over_its_time_is_an_error_reply_and_its_seat_is_filled_anew():
    release = threading.Event()
    with server_identity(), threads(hanging_app(release), 3, workers=1, client_timeout=0.3) as grid:
        for _ in range(2):
            replies = grid.send_and_receive(to_nodes(1, 2, 3))
            assert [reply.has_error() for reply in replies] == [False, True, False]
            assert "engine.client-timeout = 0.3" in replies[1].error.reason
        release.set()


def test_no_more_than_two_messages_a_worker_are_under_way():
    begun = []
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        begun.append(context.node_id)
        return Message(RecordDict(), reply_to=message)

    with server_identity(), threads(app, clients=50, workers=2) as grid:
        for taken, _ in enumerate(grid.stream(to_nodes(*range(1, 51)))):
            assert len(begun) <= taken + 4
    assert begun == list(range(1, 51)), "workers take messages in the order in which they are sent"


class Mortal:
    """A worker that dies of node 2 as often as `deaths` says."""

    def __init__(self, seat, deaths, hired):
        self.deaths = deaths
        hired.append(seat)

    def answer(self, message, context):
        if context.node_id == 2 and self.deaths:
            self.deaths.pop()
            raise WorkerDiedError("killed")
        return Message(RecordDict(), reply_to=message)

    def close(self):
        pass


def test_the_client_of_a_dead_worker_is_run_again():
    hired, deaths = [], [1, 1]
    with server_identity(), SimulatedGrid(lambda seat: Mortal(seat, deaths, hired), {}, 3, 1) as grid:
        replies = grid.send_and_receive(to_nodes(1, 2, 3))
    assert [reply.has_error() for reply in replies] == [False, False, False]
    assert hired == [0, 0, 0]


def test_a_client_that_takes_three_workers_with_it_is_left_out():
    hired, deaths = [], [1] * 5
    with server_identity(), SimulatedGrid(lambda seat: Mortal(seat, deaths, hired), {}, 3, 2) as grid:
        replies = grid.send_and_receive(to_nodes(1, 2, 3))
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert "its worker died 3 times: killed" in replies[1].error.reason


def test_a_worker_that_cannot_be_hired_ends_the_run():
    def hire(seat):
        raise EngineError("no such cluster")

    with (
        server_identity(),
        SimulatedGrid(hire, {}, 3, 1) as grid,
        pytest.raises(EngineError, match="no such cluster"),
    ):
        grid.send_and_receive(to_nodes(1))


def test_where_no_place_is_left_for_a_worker_the_others_go_on_and_it_comes_back_when_there_is_one():
    """As on a cluster that loses a machine in a round: its message is answered by another, its worker waits."""
    hired, deaths = [], [1]
    back, asked, returned = threading.Event(), threading.Event(), threading.Event()

    def start(seat):
        if len(hired) >= 2 and not back.is_set():
            asked.set()
            back.wait(0.01)
            raise NoPlaceError("a worker did not come up within 300 s")
        if back.is_set():
            returned.set()
        return Mortal(seat, deaths, hired)

    with server_identity(), SimulatedGrid(start, {}, 3, 2) as grid:
        replies = grid.send_and_receive(to_nodes(1, 2, 3))
        assert [reply.has_error() for reply in replies] == [False, False, False]
        assert asked.wait(10)
        waiting = next(slot.number for slot in grid._pool._slots if slot.worker is None)
        own = grid.ask_every_worker(MessageType.QUERY, RecordDict())
        assert sorted(reply.has_error() for reply in own) == [False, True], (
            "a message to it alone is not waited for"
        )
        (failed,) = (reply for reply in own if reply.has_error())
        assert failed.metadata.src_node_id == waiting + 1
        assert "did not come up" in failed.error.reason
        back.set()
        assert returned.wait(10)
        again = grid.ask_every_worker(MessageType.QUERY, RecordDict())
        assert [reply.has_error() for reply in again] == [False, False]
    assert sorted(hired) == [0, 0, 1] or sorted(hired) == [0, 1, 1]


def test_where_no_place_is_left_for_any_worker_the_run_ends():
    hired, deaths = [], [1]

    def start(seat):
        if hired:
            raise NoPlaceError("a worker did not come up within 300 s")
        return Mortal(seat, deaths, hired)

    with (
        server_identity(),
        SimulatedGrid(start, {}, 3, 1) as grid,
        pytest.raises(EngineError, match="did not come up within 300 s"),
    ):
        grid.send_and_receive(to_nodes(1, 2, 3))


def test_a_grid_is_closed_while_a_worker_waits_for_its_place():
    hired, deaths, never, asked = [], [1], threading.Event(), threading.Event()

    def start(seat):
        if len(hired) >= 2:
            asked.set()
            never.wait(60)
            raise NoPlaceError("late")
        return Mortal(seat, deaths, hired)

    with server_identity(), SimulatedGrid(start, {}, 3, 2) as grid:
        replies = grid.send_and_receive(to_nodes(1, 2, 3))
        assert asked.wait(10)
        (thread,) = (slot.thread for slot in grid._pool._slots if slot.worker is None)
    assert len(replies) == 3
    assert thread.is_alive(), "it was not waited for"
    never.set()
    thread.join(10)


def test_every_worker_is_asked_and_so_is_one_that_comes_later():
    asked, deaths = [], [1]

    class Asked(Mortal):
        def answer(self, message, context):
            if message.metadata.message_type == MessageType.QUERY:
                asked.append(self)
                return Message(RecordDict(), reply_to=message)
            return super().answer(message, context)

    with server_identity(), SimulatedGrid(lambda seat: Asked(seat, deaths, []), {}, 3, 2) as grid:
        first = grid.ask_every_worker(MessageType.QUERY, RecordDict())
        assert len(first) == len(set(map(id, asked))) == 2
        grid.send_and_receive(to_nodes(1, 2, 3))
    assert len(set(map(id, asked))) == 3


def test_a_large_population_costs_only_the_nodes_that_keep_something():
    with server_identity(), threads(echo_app(), clients=100_000, workers=2) as grid:
        content = RecordDict({"config": ConfigRecord({"round": -1})})
        replies = grid.send_and_receive([Message(content, node, MessageType.TRAIN) for node in (7, 99_999)])
        assert [reply.metadata.src_node_id for reply in replies] == [7, 99_999]
        assert set(grid._nodes._states) == {7, 99_999}


def test_unknown_nodes_are_refused(grid):
    with pytest.raises(KeyError, match="node 6"):
        grid.send_and_receive([Message(RecordDict(), 6, MessageType.TRAIN)])


def test_identity_is_put_back():
    with server_identity():
        assert TaskIdentity.run_id == 1
    with pytest.raises(RuntimeError, match="not set"):
        _ = TaskIdentity.run_id


def answering(answer):
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        assert context.run_config == {"seed": 0}
        return Message(RecordDict(), reply_to=message) if context.node_id != 2 else answer(message, context)

    return app


def raising(error):
    def answer(message, context):
        raise error

    return answer


class Unsayable(BaseException):
    def __str__(self):
        raise SystemExit


class DeadlyError(WorkerDiedError):
    def __str__(self):
        raise SystemExit


class Pretended(guard.UnreadableError):
    def __str__(self):
        raise KeyboardInterrupt


def meddling(message, context):
    context.run_config.clear()
    context.node_config.clear()
    raise OSError("done")


def renamed(message, context):
    message.metadata.__dict__["_message_id"] = "message-00000001"
    return Message(RecordDict(), reply_to=message)


def keeping(state):
    def answer(message, context):
        context.state = state
        return Message(RecordDict(), reply_to=message)

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raising(SystemExit(4)), "SystemExit: 4"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raising(GeneratorExit()), "GeneratorExit"),
        (raising(RecursionError("deep")), "RecursionError: deep"),
        (raising(Unsayable()), "Unsayable"),
        (raising(OSError("x" * 10**7)), "OSError: xxxx"),
        (raising(DeadlyError()), "raised WorkerDiedError, which only an engine may raise"),
        (raising(Pretended()), "Pretended"),
        (raising(guard.UnreadableError("of its own")), "of its own"),
        (meddling, "OSError: done"),
        (lambda message, context: None, "returned nothing"),
        (lambda message, context: message, "a reply to another message"),
        (renamed, "a reply to another message"),
        (keeping(None), "keeps nothing in its context's state"),
        (keeping({"weights": 1}), "keeps a dict in its context's state"),
        (keeping(RecordDict({"x": ConfigRecord({"x": "y" * 2_000_000})})), "2000000 characters"),
    ],
)
def test_whatever_a_client_does_costs_itself_its_place(answer, reason):
    with server_identity(), threads(answering(answer), clients=3, workers=2) as grid:
        for _ in range(2):
            replies = grid.send_and_receive(to_nodes(1, 2, 3))
            assert [reply.has_error() for reply in replies] == [False, True, False]
            assert reason in replies[1].error.reason
            assert len(replies[1].error.reason) <= 2 * guard.MOST_REASON


def test_a_client_keeps_no_more_than_it_may(monkeypatch):
    monkeypatch.setattr(guard, "MOST_STATE_BYTES", 1000)
    kept = RecordDict({"mine": ArrayRecord([np.zeros(999, np.uint8)])})
    with server_identity(), threads(answering(keeping(kept)), clients=3, workers=2) as grid:
        (reply,) = grid.send_and_receive(to_nodes(2))
    assert "between rounds: 1000 are kept at most" in reply.error.reason


def test_what_a_client_does_to_its_message_no_neighbour_sees():
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        value = int(message.content.array_records["weights"]["x"].numpy()[0])
        for record in message.content.values():
            for name in list(record):
                del record[name]
        return Message(RecordDict({"x": MetricRecord({"x": value})}), reply_to=message)

    content = RecordDict({"weights": ArrayRecord([np.full(3, 7.0)]), "more": ConfigRecord({"a": 1})})
    content["weights"]["x"] = content["weights"].pop("0")
    with server_identity(), threads(app, clients=5, workers=2) as grid:
        replies = grid.send_and_receive([Message(content, node, MessageType.TRAIN) for node in range(1, 6)])
    assert [reply.content["x"]["x"] for reply in replies] == [7] * 5
    assert list(content["weights"]) == ["x"]


def test_a_reply_that_is_changed_after_it_was_sent_is_as_it_was_sent():
    sent = []
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        sent.append(RecordDict({"x": MetricRecord({"x": 1})}))
        return Message(sent[-1], reply_to=message)

    with server_identity(), threads(app, clients=1, workers=1) as grid:
        (reply,) = grid.send_and_receive(to_nodes(1))
        sent[0]["x"]["x"] = 666
        sent[0]["more"] = MetricRecord({"x": 1})
    assert {name: dict(record) for name, record in reply.content.items()} == {"x": {"x": 1}}


def test_replies_that_nobody_waits_for_any_more_are_not_kept():
    release = threading.Event()
    with server_identity(), threads(hanging_app(release), clients=3, workers=1) as grid:
        grid.send_and_receive(to_nodes(1, 2, 3), timeout=0.3)
        release.set()
        replies = grid.send_and_receive(to_nodes(1, 2, 3))
        assert [reply.metadata.src_node_id for reply in replies] == [1, 2, 3]
        assert (grid._replies, grid._forgotten) == ({}, set())


def test_a_client_that_kills_whoever_gets_ready_in_its_name_is_left_out():
    class CompiledModel(Mortal):
        def answer(self, message, context):
            if context.node_id == 1:
                raise WorkerDiedError("killed while it got ready")
            return super().answer(message, context)

    with server_identity(), SimulatedGrid(lambda seat: CompiledModel(seat, [], []), {}, 3, 1) as grid:
        (reply,) = grid.ask_every_worker(MessageType.QUERY, RecordDict())
        assert "its worker died 3 times: killed while it got ready" in reply.error.reason
        (other,) = grid.ask_every_worker(MessageType.QUERY, RecordDict(), first=2)
        assert (other.has_error(), other.metadata.src_node_id) == (False, 2)
        replies = grid.send_and_receive(to_nodes(1, 2, 3))
    assert [reply.has_error() for reply in replies] == [True, False, False]


def test_an_error_from_below_an_engine_is_the_engines_own():
    def hire(seat):
        raise OSError("no \x1b[2Jmemory")

    with (
        server_identity(),
        SimulatedGrid(hire, {}, 3, 1) as grid,
        pytest.raises(EngineError, match="a worker cannot be started: OSError: no memory"),
    ):
        grid.send_and_receive(to_nodes(1))


def test_a_worker_that_does_not_get_ready_in_time_is_given_up(monkeypatch):
    monkeypatch.setattr("fedrobust.engines.worker_pool.PREPARATION_SECONDS", 0.3)
    release = threading.Event()
    app = hanging_app(release)

    @app.query()
    def introduce(message: Message, context: Context) -> Message:
        if context.node_id == 1:
            release.wait(30)
        return Message(RecordDict(), reply_to=message)

    with server_identity(), threads(app, 3, workers=1, client_timeout=0.2) as grid:
        (late,) = grid.ask_every_worker(MessageType.QUERY, RecordDict())
        assert "no reply after 0.3 s" in late.error.reason
        release.set()
        (ready,) = grid.ask_every_worker(MessageType.QUERY, RecordDict(), first=3)
        assert (ready.has_error(), ready.metadata.src_node_id) == (False, 3)


TRACEBACK = "Traceback (most recent call last):\n  File x, line 1, in f\n    g()\n"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("", "it does not say why"),
        ("  \n\x00 ", "it does not say why"),
        ("Node Unavailable: it is gone", "Node Unavailable: it is gone"),
        ("first\nlast", "first"),
        (TRACEBACK + "OSError: full\nsince noon", "OSError: full"),
        (TRACEBACK + "OSError: full\n\nDuring handling:\n\n" + TRACEBACK + "KeyError: 'x'", "KeyError: 'x'"),
        (
            TRACEBACK
            + 'InvalidArgumentError: Graph execution error:\n\nDetected at node x\n  File "y", line 3, in f\n'
            "indices[3] = 9 is not in [0, 4)\n\t [[{{node while/Gather}}]] [Op:f]\n",
            "InvalidArgumentError: indices[3] = 9 is not in [0, 4)",
        ),
        (TRACEBACK + "ValueError: nothing follows:", "ValueError: nothing follows:"),
        (TRACEBACK, "Traceback (most recent call last): File x, line 1, in f g()"),
    ],
)
def test_what_went_wrong_in_one_line(reason, said):
    assert first_reason(reason) == said


def test_a_client_that_fails_finds_what_it_found_before():
    def counting(message, context):
        seen = context.state["seen"] if "seen" in context.state else MetricRecord({"n": 0})
        seen["n"] += 1
        context.state["seen"] = seen
        if seen["n"] == 2 and not failed:
            failed.append(True)
            raise OSError("ill")
        return Message(RecordDict({"seen": MetricRecord({"n": seen["n"]})}), reply_to=message)

    failed = []
    with server_identity(), threads(answering(counting), clients=2, workers=1) as grid:
        replies = [grid.send_and_receive(to_nodes(2))[0] for _ in range(3)]
    assert [reply.has_error() for reply in replies] == [False, True, False]
    assert replies[2].content["seen"]["n"] == 2


@pytest.fixture
def still(monkeypatch):
    """A grid of two slots without workers, with a clock that a test turns; it stands at 100 s."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("fedrobust.engines.worker_pool.time.monotonic", lambda: clock.now)
    grid = SimulatedGrid(lambda seat: None, {}, clients=3, workers=2, client_timeout=10.0)
    grid._pool._slots = [WorkerSlot(0), WorkerSlot(1)]
    grid.clock = clock
    with server_identity():
        yield grid


def busy(grid, seat, since, worker=None):
    (message,) = to_nodes(seat + 1)
    grid._pool._slots[seat].job, grid._pool._slots[seat].since = Job(f"key-{seat}", message, worker), since


def test_clients_have_no_time_limit_unless_they_are_given_one():
    grid = SimulatedGrid(lambda seat: None, {}, clients=3, workers=2)
    with server_identity():
        busy_since_ever = WorkerSlot(0, Job("key", *to_nodes(1)), since=-1e9)
    grid._pool._slots = [busy_since_ever]
    assert grid._pool._until_next_timeout() is None
    grid._pool._give_up_late_workers()
    assert not busy_since_ever.given_up


def test_the_next_look_is_when_the_first_client_is_over_its_time(still):
    assert still._pool._until_next_timeout() == 10.0
    busy(still, 0, since=96.0)
    assert still._pool._until_next_timeout() == 6.0
    busy(still, 1, since=93.0)
    assert still._pool._until_next_timeout() == 3.0
    still.clock.now = 120.0
    assert still._pool._until_next_timeout() == 0.0
    busy(still, 0, since=119.0, worker=0)
    busy(still, 1, since=119.0, worker=1)
    assert still._pool._until_next_timeout() == 10.0, "preparing takes longer, and other messages may come"


def test_a_late_client_is_told_its_limit_and_how_long_it_took(still, monkeypatch):
    monkeypatch.setattr(still._pool, "_opened", lambda number, again=False: ("anew", number, again))
    busy(still, 0, since=89.5)
    busy(still, 1, since=90.5)
    still._pool._give_up_late_workers()
    key, reply = still._pool._finished.get_nowait()
    assert key == "key-0"
    assert reply.error.reason == "engine.client-timeout = 10: no reply after 10.5 s"
    assert still._pool._slots[0] == ("anew", 0, True)
    assert still._pool._finished.empty(), "the other one has half a second left"
    assert not still._pool._slots[1].given_up


def test_a_stream_waits_for_what_is_left_of_its_time_and_no_longer(still, monkeypatch):
    waited = []

    def take(timeout):
        waited.append(timeout)
        still.clock.now += 2.0
        return "another's" if len(waited) < 4 else None

    monkeypatch.setattr(still, "_take", take)
    assert list(still.stream(to_nodes(1, 2), timeout=5.0)) == []
    assert waited == [5.0, 3.0, 1.0, 0.0]
    waited.clear()
    assert list(still.stream(to_nodes(1), timeout=None)) == []
    assert waited == [None] * 4


def test_what_prepares_a_worker_is_the_same_message_for_the_first_and_for_its_heirs():
    groups, deaths = [], iter([True])

    class Mortal:
        def answer(self, message, context):
            if message.metadata.message_type == MessageType.QUERY:
                groups.append((message.metadata.group_id, context.node_id))
            elif next(deaths, False):
                raise WorkerDiedError("out of memory")
            return Message(RecordDict(), reply_to=message)

        def close(self):
            pass

    with server_identity(), SimulatedGrid(lambda seat: Mortal(), {}, clients=3, workers=1) as grid:
        grid.ask_every_worker(MessageType.QUERY, RecordDict())
        replies = grid.send_and_receive(to_nodes(2, 3))
    assert [reply.has_error() for reply in replies] == [False, False]
    assert groups == [("0", 1), ("0", 1)]
