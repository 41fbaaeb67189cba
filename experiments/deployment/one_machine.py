"""A real federation on one machine: a SuperLink and SuperNodes as separate processes, closed to everybody else.

    python experiments/deployment/one_machine.py experiments/quickstart.toml --nodes 3 --out here

Every node has a data file of its own, as a hospital has: `hospital-i.npz` with its part of the study's training images.
The study runs to its end, everything is shut down, and the exit code is 0 if the study finished. With `--kill 1` the
SuperNode of client 1 is killed in the second round: the run goes on without it.
"""

import argparse
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tomli_w
from certificates import make

from fedrobust.config import Experiment
from fedrobust.deployment.processes import free_ports, running
from fedrobust.errors import FedrobustError
from fedrobust.study import Study

PROJECT = Path(__file__).resolve().parents[2]
CONNECTION = "federation"


@dataclass(frozen=True)
class Federation:
    """Where a federation on this machine lives.

    Attributes:
        folder: of certificates, data files, logs and Flower's own files.
        port: on 127.0.0.1, for nodes.
        control_port: on 127.0.0.1, for the researcher.
    """

    folder: Path
    port: int
    control_port: int

    @property
    def address(self) -> str:
        """Where nodes reach the SuperLink."""
        return f"127.0.0.1:{self.port}"

    @property
    def control_address(self) -> str:
        """Where the researcher reaches the SuperLink."""
        return f"127.0.0.1:{self.control_port}"

    def environment(self, who: str) -> dict[str, str]:
        """Return the environment of one party; each has a home of its own, as it would have a host."""
        home = self.folder / f"home-{who}"
        home.mkdir(parents=True, exist_ok=True)
        programs = str(Path(sys.executable).parent)
        return {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}",
            "FLWR_HOME": str(home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PYTHONUNBUFFERED": "1",
        }

    @contextmanager
    def process(self, who: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a program in a process group of its own for as long as the block runs; its output goes to a log."""
        place = self.folder / f"cwd-{who}"
        place.mkdir(exist_ok=True)
        with running(command, self.folder / f"{who}.log", place, self.environment(who)) as started:
            yield started

    def flwr(self, *arguments: str) -> str:
        """Run the `flwr` command as the researcher who steers the federation, and return what it prints."""
        return self.researcher("flwr", *arguments)

    def researcher(self, *command: str) -> str:
        """Run a command as the researcher, and return what it prints."""
        done = subprocess.run(
            command,
            env=self.environment("researcher"),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command[:3])} failed:\n{done.stdout}{done.stderr}")
        return done.stdout


def superlink(federation: Federation) -> list[str]:
    """Return the command of the coordinator."""
    return [
        *(sys.executable, "-m", "fedrobust.deployment.superlink", str(federation.folder / "keys")),
        *("--host", "127.0.0.1", "--port", str(federation.port)),
        *("--control-port", str(federation.control_port)),
    ]


def supernode(federation: Federation, node: int) -> list[str]:
    """Return the command of one hospital."""
    keys = federation.folder / "keys"
    return [
        *(sys.executable, "-m", "fedrobust.deployment.supernode"),
        *("--superlink", federation.address, "--root-certificates", str(keys / "ca.crt")),
        *("--key", str(keys / f"node-{node}"), "--partition", str(node)),
        *("--data", str(federation.folder / f"hospital-{node}.npz")),
    ]


def write_shards(experiment: Experiment, folder: Path) -> None:
    """Write each client's training images as a file of its own."""
    for client in range(experiment.federation.clients):
        shard = Study.of(experiment).shard(client)
        path = folder / f"hospital-{client}.npz"
        np.savez_compressed(path, train_images=shard.images, train_labels=shard.labels)


def write_run_config(experiment: Experiment, path: Path) -> None:
    """Write the study as the file that `flwr run --run-config` takes."""
    nested: dict[str, object] = {}
    for key, value in experiment.to_run_config().items():
        table, _, name = key.rpartition(".")
        section = nested.setdefault(table, {}) if table else nested
        assert isinstance(section, dict)
        section[name] = value
    path.write_text(tomli_w.dumps(nested))


def wait_until(what: str, ready: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until `ready()`.

    Raises:
        SystemExit: it takes more than `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not ready after {seconds:.0f} s")
        time.sleep(0.5)


def answers(federation: Federation) -> bool:
    """Return whether the SuperLink is up, and has the certificate that it should have."""
    context = ssl.create_default_context(cafile=federation.folder / "keys" / "ca.crt")
    try:
        address = f"https://{federation.control_address}/health"
        with urllib.request.urlopen(address, context=context, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def online(federation: Federation) -> int:
    """Return how many SuperNodes are online."""
    listed = json.loads(federation.flwr("supernode", "list", CONNECTION, "--format", "json"))
    return sum(node["status"] == "online" for node in listed["nodes"])


def status(federation: Federation, run: str) -> tuple[str, str]:
    """Return the state of a run, and what there is to say about it."""
    listed = json.loads(federation.flwr("list", CONNECTION, "--run-id", run, "--format", "json"))
    found = listed["runs"][0]
    return found["status"], found["status-details"]


def rounds_done(run_folder: Path) -> int:
    """Return how many rounds a run has finished."""
    lines = run_folder / "metrics.jsonl"
    return len(lines.read_text().splitlines()) if lines.exists() else 0


def prepared(experiment: Experiment, folder: Path) -> Federation:
    """Write what a federation needs into a new folder: keys, the nodes' images, the study.

    Args:
        experiment: the study; each of its clients becomes a node with a file of its part of the images.
        folder: new folder for everything.
    """
    folder.mkdir(parents=True)
    federation = Federation(folder.resolve(), *free_ports(2))
    make(folder / "keys", [], experiment.federation.clients)
    write_shards(experiment, folder)
    write_run_config(experiment, folder / "run.toml")
    (folder / "home-researcher").mkdir()
    connection = {
        "address": federation.control_address,
        "root-certificates": str(federation.folder / "keys/ca.crt"),
    }
    (folder / "home-researcher" / "config.toml").write_text(
        tomli_w.dumps({"superlink": {"default": CONNECTION, CONNECTION: connection}})
    )
    return federation


@contextmanager
def opened(federation: Federation, clients: int) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start a federation's server and nodes, and shut them down at the end of the block.

    Args:
        federation: as `prepared`.
        clients: number of its nodes.

    Yields:
        The processes of the server and of the nodes, all of which are online.
    """
    with ExitStack() as processes:
        server = processes.enter_context(federation.process("superlink", *superlink(federation)))
        wait_until("SuperLink", lambda: answers(federation))
        token = str(federation.folder / "keys" / "account.token")
        federation.researcher(sys.executable, "-m", "fedrobust.deployment.account", CONNECTION, token)
        nodes = [
            processes.enter_context(federation.process(f"node-{node}", *supernode(federation, node)))
            for node in range(clients)
        ]
        wait_until("SuperNodes", lambda: online(federation) == clients)
        yield [server, *nodes]


def submitted(federation: Federation) -> str:
    """Start the study on a federation, and return the run's id."""
    config = str(federation.folder / "run.toml")
    said = federation.flwr("run", str(PROJECT), CONNECTION, "--run-config", config, "--format", "json")
    return str(json.loads(said)["run-id"])


def run(experiment: Experiment, folder: Path, kill: int | None) -> int:
    """Bring a federation up, run the study on it, shut it down; return the exit code."""
    federation = prepared(experiment, folder)
    with opened(federation, experiment.federation.clients) as (_, *nodes):
        print(f"{len(nodes)} authenticated nodes are online at https://{federation.address}", flush=True)
        identity = submitted(federation)
        watch(federation, identity, Path(experiment.output.dir), nodes[kill] if kill is not None else None)
        state, details = status(federation, identity)
        print(federation.flwr("log", identity, CONNECTION, "--show"))
    print(f"run {identity}: {state} {details}")
    return 0 if state == "finished:completed" else 1


def watch(
    federation: Federation, identity: str, run_folder: Path, victim: "subprocess.Popen[bytes] | None"
) -> None:
    """Wait for the end of a run; tell each round; kill `victim` when one round is finished."""
    told = 0
    while not status(federation, identity)[0].startswith("finished"):
        done = rounds_done(run_folder)
        if done > told:
            told = done
            print(f"{done} rounds are finished", flush=True)
        if done and victim is not None:
            os.killpg(victim.pid, signal.SIGKILL)
            victim = None
            print("a SuperNode was killed", flush=True)
        time.sleep(1.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True, help="new folder for everything")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key")
    parser.add_argument("--kill", type=int, metavar="CLIENT", help="kill this client's SuperNode mid-run")
    options = parser.parse_args()
    if options.out.exists():
        parser.error(f"--out {options.out}: exists already")
    if options.kill is not None and not 0 <= options.kill < options.nodes:
        parser.error(f"--kill {options.kill}: a client from 0 to {options.nodes - 1}")
    try:
        experiment = Experiment.load(options.study, options.set).changed(
            federation__clients=options.nodes, output__dir=str(options.out.resolve() / "run")
        )
        sys.exit(run(experiment, options.out, options.kill))
    except FedrobustError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
