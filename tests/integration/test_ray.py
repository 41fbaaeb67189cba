"""The Ray engine: the same bits as threads, also when its processes are killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from clients.app import app as honest
from fedrobust.config import Experiment
from fedrobust.engines import ray_engine
from fedrobust.engines.simulate import resumed, simulate
from fedrobust.engines.worker import EngineError
from fedrobust.runs.events import RoundFinished

SETTINGS = {
    "data__samples": 200,
    "data__partition": "dirichlet(min_size=1)",
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 6,
    "federation__rounds": 2,
    "federation__participation": 0.7,
    "federation__aggregator": "centred-clipping",
    "poisoning__attack": "pixel-backdoor + sign-flip",
    "poisoning__malicious": 2,
    "training__batch_size": 16,
    "training__recipe": "pgd",
    "evaluation__epsilons": [0.005],
    "evaluation__examples": 0,
    "evaluation__every": 2,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


def small(tmp_path, **settings) -> Experiment:
    return Experiment.quickstart(**{**SETTINGS, "output__root": str(tmp_path), **settings})


def digest(experiment: Experiment, **apps: str) -> str:
    return simulate(experiment, **apps).result["model"]["digest"]


@pytest.fixture(scope="module")
def threads_digest(tmp_path_factory) -> str:
    return digest(small(tmp_path_factory.mktemp("threads"), engine__workers=2))


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No process outlives its run."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    after = psutil.Process().children(recursive=True)
    _, alive = psutil.wait_procs([process for process in after if process.pid not in before], timeout=20)
    assert not alive


@pytest.mark.parametrize("workers", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_same_bits_as_threads_with_any_number_of_workers(tmp_path, threads_digest, workers):
    run = simulate(small(tmp_path, engine__name="ray", engine__workers=workers))
    assert run.result["model"]["digest"] == threads_digest
    assert run.result["environment"]["workers"] == workers


def deadly(message: Message, context: Context, kill) -> Message:
    """Train, but in every round the first worker that is given that round's victim is killed in the middle of it."""
    config: Any = message.content["config"]
    marker = Path(str(context.run_config["output.root"])) / f"killed-in-round-{config['round']}"
    if context.node_config["partition-id"] == int(os.environ["VICTIM"]) and not marker.exists():
        marker.touch()
        kill()
    return honest(message, context)


def wrapped(train_function) -> ClientApp:
    app = ClientApp()

    @app.query()
    def introduce(message: Message, context: Context) -> Message:
        return honest(message, context)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return train_function(message, context)

    return app


def dying_by(which: signal.Signals) -> ClientApp:
    def die() -> None:
        os.kill(os.getpid(), which)
        threading.Event().wait(30)

    return wrapped(lambda message, context: deadly(message, context, die))


killed_app, terminated_app = dying_by(signal.SIGKILL), dying_by(signal.SIGTERM)
hanging_app = wrapped(lambda message, context: deadly(message, context, lambda: threading.Event().wait(600)))


@pytest.fixture
def victim(monkeypatch, tmp_path) -> int:
    """A client that takes part in both rounds."""
    from fedrobust.randomness import Purpose, generator
    from fedrobust.shares import exact, round_half_up

    wanted = round_half_up(exact(0.7) * 6)
    sampled = [
        set(generator(0, Purpose.SAMPLING, number).choice(range(6), wanted, replace=False))
        for number in (1, 2)
    ]
    chosen = int(min(sampled[0] & sampled[1]))
    monkeypatch.setenv("VICTIM", str(chosen))
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("app", ["killed_app", "terminated_app"])
def test_a_worker_killed_in_every_round_changes_no_bit(tmp_path, threads_digest, victim, app):
    experiment = small(tmp_path, engine__name="ray", engine__workers=2)
    run = simulate(experiment, client_app=f"{__name__}:{app}")
    assert {path.name for path in tmp_path.glob("killed-*")} == {"killed-in-round-1", "killed-in-round-2"}
    assert [entry["clients"]["failed"] for entry in run.result["rounds"]] == [0, 0]
    assert run.result["model"]["digest"] == threads_digest


@pytest.mark.slow
def test_a_client_over_its_time_is_left_out(tmp_path, victim):
    experiment = small(
        tmp_path, engine__name="ray", engine__workers=2, engine__client_timeout=4.0, federation__rounds=1
    )
    run = simulate(experiment, client_app=f"{__name__}:hanging_app")
    clients = run.result["rounds"][0]["clients"]
    assert (clients["trained"], clients["failed"]) == (3, 1)
    assert clients["failures"][0]["partition"] == victim
    assert "engine.client-timeout = 4: no reply after 4" in clients["failures"][0]["reason"]


@dataclass
class Cluster:
    """A running cluster of two cores."""

    address: str
    head: subprocess.Popen

    def vanish(self) -> None:
        """Kill every process of it, as where its machine loses power."""
        for process in psutil.Process(self.head.pid).children(recursive=True):
            process.kill()


@pytest.fixture
def cluster():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # Not below pytest's folder: the names of sockets must be short.
    folder = tempfile.mkdtemp(prefix="ray-")
    head = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--head",
            "--block",
            "--num-cpus=2",
            f"--port={port}",
            "--include-dashboard=false",
            "--node-ip-address=127.0.0.1",
            "--disable-usage-stats",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ray notes the newest cluster of a machine in its folder, and forgets to take a stopped one out.
        env={**os.environ, "RAY_TMPDIR": folder},
    )
    said = []
    for line in head.stdout:
        said.append(line)
        if "Ray runtime started" in line:
            break
    else:
        pytest.fail("the cluster does not start: " + "".join(said[-20:]))
    yield Cluster(f"127.0.0.1:{port}", head)
    head.send_signal(signal.SIGTERM)
    head.communicate(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_joins_a_running_cluster_and_leaves_it_running(tmp_path, threads_digest, cluster, monkeypatch):
    experiment = small(tmp_path, engine__name="ray", engine__address=cluster.address)
    run = simulate(experiment)
    assert run.result["model"]["digest"] == threads_digest
    assert run.result["environment"]["workers"] == 2
    assert not ray.is_initialized()
    with pytest.raises(EngineError, match=r"engine.workers = 5: the cluster has 2 CPUs, 5 are needed"):
        simulate(experiment.changed(engine__workers=5))
    monkeypatch.setattr(ray_engine, "code_digest", lambda: "0" * 64)
    with pytest.raises(EngineError, match=r"has other code than this machine .*here 000000000000"):
        simulate(experiment)
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_cluster_that_goes_away_ends_the_study_and_not_its_process(tmp_path, threads_digest, cluster):
    """Ray ends a process that puts an array after that. The run goes on from its checkpoint."""

    def lose(event):
        if isinstance(event, RoundFinished) and event.record.round == 1:
            cluster.vanish()

    experiment = small(
        tmp_path, engine__name="ray", engine__address=cluster.address, output__dir=str(tmp_path / "run")
    )
    with pytest.raises(EngineError, match=r"Ray has ended on this machine .* resume the run"):
        simulate(experiment, lose)
    assert not ray.is_initialized()
    run = resumed(tmp_path / "run", engine__name="threads", engine__address="", engine__workers=2)
    assert run.result["model"]["digest"] == threads_digest


def test_a_cluster_that_is_not_there(tmp_path):
    with pytest.raises(EngineError, match=r'engine.address = "127.0.0.1:9": nobody answers there'):
        simulate(small(tmp_path, engine__name="ray", engine__address="127.0.0.1:9"))
