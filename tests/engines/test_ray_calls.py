"""Ray is shut down only when no thread is in a call to it: its driver would end the whole process."""

import socket
import threading
from contextlib import ExitStack, suppress
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest
import ray
from flwr.app import Context, Message, RecordDict
from ray.exceptions import GetTimeoutError, RayTaskError

from fedrobust.config import Experiment
from fedrobust.engines import ray_calls, ray_engine, ray_head
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.engines.ray_calls import WAIT_SECONDS, LeftError, RayCalls
from fedrobust.engines.ray_engine import leave
from fedrobust.engines.ray_head import RAYS_PATIENCE, patience, raylet_lost, watched
from fedrobust.engines.ray_worker import Fingerprint, ObjectCache, RayWorker
from fedrobust.engines.worker import EngineError, WorkerDiedError
from fedrobust.flower.identity import server_identity


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


SETTINGS = Experiment.of(engine__name="ray", engine__workers=2).engine


class Cluster:
    """Stands for Ray: notes the calls that are under way when it is shut down.

    Attributes:
        answers: what `get` returns for a reference; a reference that is not there has no value yet.
        asked: set when something was asked for that has no value.
        under_way: the calls that are under way now.
        at_shutdown: the calls that were under way when Ray was shut down.
    """

    def __init__(self, monkeypatch, address, raylet):
        context = SimpleNamespace(gcs_address=address, get_node_id=lambda: "me")
        nodes = [{"NodeID": "other", "RayletSocketName": "/"}, {"NodeID": "me", "RayletSocketName": raylet}]
        self.answers, self.asked, self.under_way, self.at_shutdown = {}, threading.Event(), 0, []
        self._never, self._lock = threading.Event(), threading.Lock()
        self._made = iter(range(9))
        for name, stands_in in {
            "init": lambda **settings: None,
            "cluster_resources": lambda: {"CPU": 8.0},
            "get_runtime_context": lambda: context,
            "nodes": lambda: nodes,
            "remote": lambda **settings: lambda cls: SimpleNamespace(remote=self.made),
            "kill": lambda actor: None,
            "put": lambda value: value,
            "get": self.get,
            "shutdown": lambda: self.at_shutdown.append(self.under_way),
        }.items():
            monkeypatch.setattr(ray, name, stands_in)

    def made(self, *arguments):
        number = next(self._made)
        return SimpleNamespace(
            fingerprint=SimpleNamespace(remote=lambda: number),
            answer=SimpleNamespace(remote=lambda *values: "a reply"),
        )

    def get(self, reference, timeout):
        with self._lock:
            self.under_way += 1
        try:
            if reference not in self.answers:
                self.asked.set()
                self._never.wait(timeout)
                raise GetTimeoutError("late")
            # The first worker answers when the second is being started.
            self.asked.wait(10)
            return self.answers[reference]
        finally:
            with self._lock:
                self.under_way -= 1


@pytest.fixture
def head():
    """A socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def raylet():
    """A socket that listens, and its path."""
    with (
        TemporaryDirectory(prefix="ray-") as folder,
        socket.create_server(f"{folder}/raylet", family=socket.AF_UNIX) as listening,
    ):
        yield listening, f"{folder}/raylet"


@pytest.fixture
def cluster(monkeypatch, head, raylet):
    return Cluster(monkeypatch, f"127.0.0.1:{head.getsockname()[1]}", raylet[1])


def to_node(node):
    return [Message(RecordDict(), node, "train")]


def test_a_worker_that_is_refused_ends_the_study_while_another_still_starts(cluster):
    """The second worker's thread is not waited for by the pool, but has left Ray when Ray is shut down."""
    cluster.answers[0] = Fingerprint("node", 1, "other", "data")
    with (
        pytest.raises(EngineError, match="has other code"),
        ray_engine.ray_engine(SETTINGS, "app", {}, "data") as engine,
        SimulatedGrid(engine.start_worker, {}, 2, 2) as grid,
    ):
        grid.send_and_receive(to_node(1))
    assert cluster.asked.is_set()
    assert cluster.at_shutdown == [0]


def test_a_worker_that_was_given_up_has_left_ray_too(cluster):
    """Its slot has a new thread, which waits for a new worker; neither is in a call when Ray is shut down."""
    cluster.answers[0] = Fingerprint("node", 1, ray_engine.code_digest(), "data")
    cluster.asked.set()
    with (
        ray_engine.ray_engine(SETTINGS, "app", {}, "data") as engine,
        SimulatedGrid(engine.start_worker, {}, 1, 1, client_timeout=0.1) as grid,
    ):
        (reply,) = grid.send_and_receive(to_node(1))
    assert "engine.client-timeout" in reply.error.reason
    assert cluster.at_shutdown == [0]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (
            "head",
            r"the head of the Ray cluster at 127.0.0.1:\d+ has not answered for .*; start the cluster again",
        ),
        ("raylet", r"Ray has ended on this machine \(no process listens at .*raylet\); .* resume the run"),
    ],
)
def test_a_cluster_that_is_lost_ends_the_study_in_words(cluster, head, raylet, monkeypatch, gone, said):
    """Also where the server's thread does something else for long: Ray is left in the watching thread."""
    monkeypatch.setattr(ray_head, "RAYS_PATIENCE", 0.02)
    left = threading.Event()
    monkeypatch.setattr(ray, "shutdown", left.set)
    cluster.answers[0] = Fingerprint("node", 1, ray_engine.code_digest(), "data")
    cluster.asked.set()

    def lost_while_busy(grid):
        (head if gone == "head" else raylet[0]).close()
        assert left.wait(10)
        grid.send_and_receive(to_node(1))

    with (
        ray_engine.ray_engine(SETTINGS, "app", {}, "data") as engine,
        SimulatedGrid(engine.start_worker, {}, 1, 1) as grid,
        pytest.raises(EngineError, match=said),
    ):
        lost_while_busy(grid)


def test_no_array_is_put_or_read_after_the_raylet_has_ended(cluster, raylet, monkeypatch):
    """Ray ends the process there at once: every call looks first, without waiting for the watching thread."""
    monkeypatch.setattr(ray_head, "LOOK_SECONDS", 60.0)
    cluster.answers[0] = Fingerprint("node", 1, ray_engine.code_digest(), "data")
    cluster.asked.set()
    with ray_engine.ray_engine(SETTINGS, "app", {}, "data") as engine:
        worker = engine.start_worker(0)
        raylet[0].close()
        monkeypatch.setattr(ray, "put", lambda value: pytest.fail("it is gone"))
        monkeypatch.setattr(ray, "get", lambda *values, **settings: pytest.fail("it is gone"))
        with pytest.raises(WorkerDiedError, match="Ray has ended on this machine"):
            worker.answer(to_node(1)[0], Context(1, 1, {}, RecordDict(), {}))
        with pytest.raises(EngineError, match="Ray has ended on this machine"):
            engine.start_worker(0)


def test_a_raylet_that_is_busy_is_not_lost(raylet):
    listening, path = raylet
    assert raylet_lost(path) == ""
    listening.listen(0)
    with suppress(BlockingIOError), ExitStack() as waiting:
        for _ in range(9):
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect(path)
    assert raylet_lost(path) == ""
    listening.close()
    assert "no process listens" in raylet_lost(path)


def test_a_head_that_answers_is_not_lost(head, monkeypatch):
    monkeypatch.setattr(ray_head, "LOOK_SECONDS", 0.01)
    lost, port = [], head.getsockname()[1]
    with watched(f"127.0.0.1:{port}", str, lost.append):
        for _ in range(3):
            head.accept()[0].close()
    assert not lost


def test_ray_client_has_its_driver_elsewhere(cluster, monkeypatch):
    monkeypatch.setattr(ray, "get_runtime_context", lambda: pytest.fail("there is no such context"))
    client = "ray://head.example:10001"
    assert ray_engine._raylet(client)() == ""
    assert ray_engine._watched(client, str, RayCalls()).__enter__() is None


@pytest.mark.parametrize(
    ("set_to", "seconds"), [(None, RAYS_PATIENCE / 2), ("600", 300.0), ("soon", RAYS_PATIENCE / 2)]
)
def test_the_head_may_be_away_for_half_of_what_ray_allows(monkeypatch, set_to, seconds):
    monkeypatch.delenv("RAY_gcs_rpc_server_reconnect_timeout_s", raising=False)
    if set_to is not None:
        monkeypatch.setenv("RAY_gcs_rpc_server_reconnect_timeout_s", set_to)
    assert patience() == seconds


def test_the_end_waits_for_calls_and_the_next_ones_are_refused():
    calls, order = RayCalls(), []
    inside, may_end = threading.Event(), threading.Event()

    def call():
        with calls.one():
            inside.set()
            may_end.wait(10)
            order.append("call")

    thread = threading.Thread(target=call)
    thread.start()
    assert inside.wait(10)
    closing = threading.Thread(target=lambda: (calls.end("over"), order.append("end")))
    closing.start()

    def called_again_and_again():
        while True:
            with calls.one():
                pass

    with pytest.raises(LeftError, match="over"):
        called_again_and_again()
    may_end.set()
    closing.join(10)
    thread.join(10)
    assert order == ["call", "end"]
    assert calls.end("again")
    with pytest.raises(LeftError, match="over"), calls.one():
        raise AssertionError("no call is begun")


def test_ray_stays_connected_where_a_call_does_not_end(monkeypatch):
    monkeypatch.setattr(ray_calls, "END_SECONDS", 0.01)
    monkeypatch.setattr(ray, "shutdown", lambda: pytest.fail("it would end the process"))
    calls = RayCalls()
    with calls.one():
        leave(calls, "over")


def test_a_reply_that_is_waited_for_when_ray_is_left_counts_as_its_workers_death(cluster):
    """Not as the client's failure: the pool asks for another worker then, and is told why there is none."""
    calls = RayCalls()
    worker = RayWorker(cluster.made(), ObjectCache(), calls)
    caught = []

    def wait():
        with pytest.raises(WorkerDiedError, match="the head is gone"):
            worker.answer(to_node(1)[0], Context(1, 1, {}, RecordDict(), {}))
        caught.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    assert cluster.asked.wait(10)
    assert calls.end("the head is gone")
    thread.join(10)
    assert caught


def test_the_wait_for_a_value_is_cut_into_short_ones(monkeypatch):
    """A timeout of the task itself is its result, not the end of a wait."""

    class OwnError(RayTaskError, GetTimeoutError):
        def __init__(self):
            pass

    waits = []

    def get(reference, timeout):
        waits.append(timeout)
        if len(waits) < 3:
            raise GetTimeoutError("late")
        if reference == "raises":
            raise OwnError
        return 7

    monkeypatch.setattr(ray, "get", get)
    assert RayCalls().get("value") == 7
    assert waits == [WAIT_SECONDS] * 3
    with pytest.raises(OwnError):
        RayCalls().get("raises")
    waits.clear()
    with pytest.raises(GetTimeoutError):
        RayCalls().get("value", timeout=0.0)
    assert waits == [0.0]
