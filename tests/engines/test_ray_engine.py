"""The Ray engine without a cluster: what its processes send, and what Ray itself fails with."""

import pickle
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import ray
from flwr.app import ArrayRecord, Context, Message, MessageType, MetricRecord, RecordDict
from ray.exceptions import (
    GetTimeoutError,
    LocalRayletDiedError,
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RaySystemError,
    RayTaskError,
)

from fedrobust.config import Experiment
from fedrobust.engines import ray_engine, ray_head
from fedrobust.engines.ray_calls import WAIT_SECONDS, RayCalls
from fedrobust.engines.ray_engine import RayEngine, check_folder
from fedrobust.engines.ray_head import reach
from fedrobust.engines.ray_worker import Actor, Fingerprint, ObjectCache, RayWorker
from fedrobust.engines.worker import EngineError, NoPlaceError, WorkerDiedError
from fedrobust.flower.guard import UnreadableError
from fedrobust.flower.identity import server_identity
from fedrobust.flower.message_arrays import opened, pack, values_of


@pytest.fixture(autouse=True)
def identity():
    with server_identity():
        yield


def asked():
    message = Message(RecordDict({"weights": ArrayRecord([np.ones(3, np.float32)])}), 2, MessageType.TRAIN)
    message.metadata.__dict__["_message_id"] = "message-1"
    return message


def answered(app, state=None):
    """Return what a worker's process sends when a client's app is `app`, through a pickle."""
    actor = Actor.__new__(Actor)
    actor._app, actor._run_config = app, {}
    envelope, arrays = pack(asked())
    return pickle.loads(
        pickle.dumps(actor.answer(envelope, {}, state or RecordDict(), *map(values_of, arrays)))
    )


def echoed(message, context):
    context.state["seen"] = MetricRecord({"n": 1})
    return Message(message.content, reply_to=message)


def raising(error):
    def app(message, context):
        raise error

    return app


def unpicklable(message, context):
    reply = echoed(message, context)
    reply.__dict__["hidden"] = lambda: None
    reply.content.__dict__["lock"] = __import__("threading").Lock()
    return reply


def spoiling(message, context):
    context.state = lambda: None
    return echoed(message, SimpleNamespace(state={}))


def test_a_reply_travels_with_its_arrays_and_the_clients_state():
    reply, state = opened(answered(echoed))
    np.testing.assert_array_equal(reply.content["weights"]["0"].numpy(), np.ones(3, np.float32))
    assert dict(state["seen"]) == {"n": 1}


def test_what_a_client_hides_in_its_reply_does_not_travel():
    reply, _ = opened(answered(unpicklable))
    assert "hidden" not in reply.__dict__
    assert list(reply.content) == ["weights"]


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        (raising(SystemExit(0)), "SystemExit"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raising(OSError("full")), "OSError: full"),
        (lambda message, context: None, "returned nothing"),
        (lambda message, context: Message(RecordDict(), 1, "train"), "a reply to another message"),
        (spoiling, "keeps a function in its context's state"),
    ],
)
def test_a_worker_outlives_whatever_its_client_does(app, reason):
    kept = RecordDict({"mine": MetricRecord({"n": 5})})
    reply, state = opened(answered(app, kept))
    assert reason in reply.error.reason
    assert reply.metadata.reply_to_message_id == "message-1"
    assert dict(state["mine"]) == {"n": 5}, "who failed finds what it found before"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda answer: None,
        lambda answer: answer[:2],
        lambda answer: (None, *answer[1:]),
        lambda answer: (answer[0], None, answer[2]),
        lambda answer: (*answer[:2], None),
        lambda answer: (*answer[:2], []),
        lambda answer: (*answer[:2], [b"bytes"]),
        lambda answer: (SimpleNamespace(message=None, names=()), *answer[1:]),
    ],
)
def test_what_is_no_answer_of_a_worker_is_refused(spoil):
    with pytest.raises(UnreadableError, match="no answer of this project's"):
        opened(spoil(answered(echoed)))


class Handle:
    """Stands for an actor; Ray's calls on it do what a test says."""

    class answer:  # noqa: N801
        remote = staticmethod(lambda *values: "answer")

    class fingerprint:  # noqa: N801
        remote = staticmethod(lambda: "fingerprint")


def engine_of(app, settings, gpus=0.0):
    return RayEngine(1, app, settings, gpus, "digest", ObjectCache(), RayCalls())


def failing(error):
    def get(reference, timeout=None):
        raise error

    return get


@pytest.fixture
def killed(monkeypatch):
    found = []
    monkeypatch.setattr(
        ray, "remote", lambda **settings: lambda cls: SimpleNamespace(remote=lambda *_: Handle())
    )
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "kill", found.append)
    return found


DIED = RayActorError(error_msg="the node is out of memory")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DIED, "a worker does not come up"),
        (GetTimeoutError("late"), "a worker did not come up within 0 s"),
        (RaySystemError("object store"), "a worker cannot start: .*object store"),
        (
            RayTaskError("fingerprint", "trace", ValueError("no data")),
            "a worker cannot start: ValueError: no data",
        ),
        (AttributeError("foreign"), "a worker cannot start: AttributeError: foreign"),
    ],
)
def test_a_worker_that_does_not_come_up_ends_the_run_in_words(monkeypatch, killed, error, said):
    monkeypatch.setattr(ray, "get", failing(error))
    monkeypatch.setattr(ray_engine, "START_SECONDS", 0.0)
    with pytest.raises(EngineError, match=said) as caught:
        engine_of("clients.app:app", {}).start_worker(0)
    assert str(caught.value).isprintable()
    assert isinstance(caught.value, NoPlaceError) == isinstance(error, GetTimeoutError), "others may go on"
    assert len(killed) == isinstance(error, GetTimeoutError), "one that is late is not left behind"


def test_a_worker_that_is_not_this_program_is_refused(monkeypatch, killed):
    engine = engine_of("clients.app:app", {})
    for answer, said in (
        ("hello", "a worker answers with a str"),
        (Fingerprint("n", 1, "other", "d"), "other code"),
    ):
        monkeypatch.setattr(ray, "get", lambda reference, timeout, answer=answer: answer)
        with pytest.raises(EngineError, match=said):
            engine.start_worker(0)


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (DIED, WorkerDiedError, "out of memory"),
        # The machine was lost after the training, with the reply in its memory.
        (ObjectLostError("ab", None, ""), WorkerDiedError, "ab"),
        (NodeDiedError("the raylet is gone"), WorkerDiedError, "the raylet is gone"),
        (LocalRayletDiedError(), WorkerDiedError, "raylet"),
        (RayTaskError("answer", "trace", OSError("disk full")), RuntimeError, "disk full"),
        (RaySystemError("lost"), RaySystemError, "lost"),
    ],
)
def test_what_ray_raises_for_an_answer_is_the_grids_to_hear(monkeypatch, killed, error, raised, said):
    monkeypatch.setattr(ray, "get", failing(error))
    context = Context(1, 2, {}, RecordDict(), {})
    with pytest.raises(raised, match=said):
        RayWorker(Handle(), ObjectCache(), RayCalls()).answer(asked(), context)


@pytest.mark.parametrize(
    "error",
    [
        Exception("The current node timed out during startup."),
        OSError("AF_UNIX path length cannot exceed 107 bytes"),
        AssertionError(),
        TimeoutError("late"),
    ],
)
def test_ray_that_does_not_start_ends_the_run_in_words(monkeypatch, error):
    def init(**settings):
        raise error

    monkeypatch.setattr(ray, "init", init)
    with (
        pytest.raises(EngineError, match="Ray does not start: ") as caught,
        ray_engine.ray_engine(Experiment.of(engine__name="ray").engine, "clients.app:app", {}, ""),
    ):
        raise AssertionError("it does not start")
    assert str(error) in str(caught.value)


@pytest.fixture
def head(monkeypatch):
    """Sockets that listen, as the head of a cluster of eight cores and a raylet do; without Ray. The head's socket."""
    # Not below pytest's folder: names of sockets must be short.
    raylet = str(Path(tempfile.mkdtemp(prefix="ray-")) / "raylet")
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_server(raylet, family=socket.AF_UNIX),
    ):
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setattr(ray, "init", lambda **settings: None)
        monkeypatch.setattr(ray, "shutdown", lambda: None)
        monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
        context = SimpleNamespace(gcs_address=address, get_node_id=lambda: "me")
        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        monkeypatch.setattr(ray, "nodes", lambda: [{"NodeID": "me", "RayletSocketName": raylet}])
        yield listening
    shutil.rmtree(Path(raylet).parent)


@pytest.mark.parametrize("starts", [True, False])
def test_ray_does_not_take_the_handler_of_sigterm(monkeypatch, head, starts):
    def init(**settings):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(15))
        if not starts:
            raise OSError("full")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "init", init)
    settings = Experiment.of(engine__name="ray", engine__workers=2).engine
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with (
            pytest.raises(KeyboardInterrupt if starts else EngineError),
            ray_engine.ray_engine(settings, "clients.app:app", {}, ""),
        ):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_cluster_that_is_lost_at_the_end_takes_no_result_with_it(monkeypatch, head):
    def gone(*arguments, **settings):
        raise ConnectionError("the head is gone")

    monkeypatch.setattr(ray, "shutdown", gone)
    settings = Experiment.of(engine__name="ray", engine__workers=2).engine
    with ray_engine.ray_engine(settings, "clients.app:app", {}, "") as engine:
        assert engine.workers == 2
    monkeypatch.setattr(ray, "cluster_resources", gone)
    with (
        pytest.raises(
            EngineError, match="the cluster does not say what it has: ConnectionError: the head is gone"
        ),
        ray_engine.ray_engine(settings, "clients.app:app", {}, ""),
    ):
        raise AssertionError("it does not start")


@pytest.mark.parametrize("name", ["RAY_TMPDIR", "TMPDIR"])
def test_a_folder_too_long_for_sockets_is_refused_before_ray_is_started(name):
    check_folder({name: "/tmp"})
    check_folder({})
    for folder in ("/tmp/" + "x" * 60, "/" + "ä" * 30):
        with pytest.raises(
            EngineError, match=rf"{name} = /.* bytes; .*set RAY_TMPDIR to a folder of at most \d\d bytes"
        ):
            check_folder({name: folder})


class InMemory:
    """Ray in this process: actors are objects, references are places in a list, and every call is written down.

    Attributes:
        calls: (settings, arguments) of every actor that was made.
        store: what was put, in order.
        timeouts: given to `get`, in order.
        deaths: how many actors die before one comes up.
    """

    def __init__(self, deaths=0):
        self.calls, self.store, self.timeouts, self.deaths = [], [], [], deaths

    def remote(self, **settings):
        def make(*arguments):
            self.calls.append((settings, arguments))
            actor = Actor.__new__(Actor)
            actor._app, actor._run_config = echoed, {}
            return SimpleNamespace(
                fingerprint=SimpleNamespace(remote=self.fingerprint),
                answer=SimpleNamespace(
                    remote=lambda envelope, node, state, *references: actor.answer(
                        envelope, node, state, *(self.store[place] for place in references)
                    )
                ),
            )

        return lambda cls: SimpleNamespace(remote=make)

    def fingerprint(self):
        if len(self.calls) <= self.deaths:
            raise RayActorError()
        return Fingerprint("node", 1, ray_engine.code_digest(), "digest")

    def put(self, value):
        self.store.append(value)
        return len(self.store) - 1

    def get(self, value, timeout=None):
        self.timeouts.append(timeout)
        return value


def in_memory(monkeypatch, deaths=0):
    fake = InMemory(deaths)
    for name in ("remote", "put", "get"):
        monkeypatch.setattr(ray, name, getattr(fake, name))
    return fake


def context_of(state=None):
    return Context(1, 2, {"partition-id": 1}, state or RecordDict(), {})


def test_a_worker_is_made_of_the_studys_app_settings_and_folders(monkeypatch):
    fake = in_memory(monkeypatch)
    settings = {"seed": 7}
    worker = engine_of("my.app:client", settings, gpus=0.25).start_worker(0)
    assert fake.calls == [
        (
            {"num_cpus": 1, "num_gpus": 0.25, "max_restarts": 0},
            ("my.app:client", settings, ray_engine.sys.path),
        )
    ]
    assert fake.timeouts == [WAIT_SECONDS]
    context = context_of()
    reply = worker.answer(asked(), context)
    np.testing.assert_array_equal(reply.content["weights"]["0"].numpy(), np.ones(3, np.float32))
    assert dict(context.state["seen"]) == {"n": 1}, "what the client keeps comes back"


@pytest.mark.parametrize("deaths", [0, 1, 2])
def test_a_worker_that_dies_while_it_comes_up_is_started_anew(monkeypatch, deaths):
    fake = in_memory(monkeypatch, deaths)
    assert isinstance(engine_of("app", {}).start_worker(0), RayWorker)
    assert len(fake.calls) == deaths + 1


def test_after_three_deaths_the_engine_gives_up(monkeypatch):
    fake = in_memory(monkeypatch, deaths=99)
    with pytest.raises(EngineError, match="a worker does not come up"):
        engine_of("app", {}).start_worker(0)
    assert len(fake.calls) == ray_engine.MOST_STARTS == 3


def test_an_array_is_put_once_for_all_workers_and_the_oldest_is_let_go(monkeypatch):
    fake, cache = in_memory(monkeypatch), ObjectCache(keep=2)
    arrays = [ArrayRecord([np.full(2, number, np.float32)])["0"] for number in range(3)]
    assert [cache.reference(array) for array in (arrays[0], arrays[0], arrays[1], arrays[0])] == [0, 0, 1, 0]
    assert [cache.reference(array) for array in (arrays[2], arrays[1], arrays[0])] == [2, 1, 3]
    assert [value[0] for value in fake.store] == [0, 1, 2, 0]


def test_a_client_is_told_which_node_it_is(monkeypatch):
    seen = []

    def app(message, context):
        seen.append((dict(context.node_config), context.node_id, context.run_id))
        return echoed(message, context)

    actor = Actor.__new__(Actor)
    actor._app, actor._run_config = app, {}
    handle = SimpleNamespace(answer=SimpleNamespace(remote=lambda *values: actor.answer(*values)))
    monkeypatch.setattr(ray, "put", lambda value: value)
    monkeypatch.setattr(ray, "get", lambda value, timeout: value)
    message = asked()
    RayWorker(handle, ObjectCache(), RayCalls()).answer(message, context_of())
    assert seen == [({"partition-id": 1}, 2, message.metadata.run_id)]


def test_a_cluster_that_listens_is_reached_and_one_that_does_not_is_said():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert reach(f"127.0.0.1:{port}") is None
        assert reach(f"ray://127.0.0.1:{port}") is None
    with pytest.raises(EngineError, match="nobody answers there"):
        reach(f"127.0.0.1:{port}")
    assert reach("auto") is None


def test_a_cluster_has_ten_seconds_to_answer(monkeypatch):
    asked = []

    def connect(address, timeout):
        asked.append((address, timeout))
        return SimpleNamespace(close=lambda: None)

    monkeypatch.setattr(ray_head.socket, "create_connection", connect)
    reach("ray://head.example:10001")
    assert asked == [(("head.example", 10001), 10)]


def test_on_a_mac_and_where_ray_is_told_the_folder_of_other_programs_does_not_matter(monkeypatch):
    """A Mac's TMPDIR is long, and Ray does not use it there."""
    long = "/tmp/" + "x" * 80
    check_folder({"RAY_TMPDIR": "/tmp", "TMPDIR": long})
    monkeypatch.setattr(ray_engine.sys, "platform", "darwin")
    check_folder({"TMPDIR": long})
    monkeypatch.setattr(ray_engine.sys, "platform", "linux")
    with pytest.raises(EngineError, match=r"^TMPDIR = "):
        check_folder({"TMPDIR": long})
