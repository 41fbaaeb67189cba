"""The README's own lines, run as they stand, and what happens beside them: strangers, foreign apps, wrong names.

Only what needs a second host is stood in for: `scp` copies within the one home that all parties share here, `ssh` opens
no tunnel because the coordinator is this machine, and names, ports and folders are those of the test.
"""

import json
import re
import subprocess
import sys
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import tomli_w
from federation import PROJECT, environment, foreign_app, free_ports, process, readme_blocks, wait_for
from flwr.supercore.protobuf.translation import PROTOBUF_REQUEST_TYPES

import fedrobust
from fedrobust.config import Experiment
from fedrobust.study import Study

pytestmark = pytest.mark.slow

STAND_INS = 'scp() { cp "$HOME/${1#*:}" "$2"; }; ssh() { echo "ssh $*"; }; set -e\n'
SMALL: dict[str, dict[str, Any]] = {
    "data": {"samples": 200},
    "federation": {"clients": 2, "rounds": 2, "min-replies": 0.5},
    "evaluation": {"epsilons": "[0.005]", "examples": 0, "every": 2},
    "audit": {"enabled": False},
    "distillation": {"enabled": False},
    "export": {"enabled": False},
}


class Host:
    """One machine that is the coordinator, a hospital and the researcher, and runs the README's lines."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.nodes, self.control = free_ports(2)
        self.processes = ExitStack()
        self.runs = folder / "runs"
        self.said: list[str] = []
        self.replaced = {
            "coordinator.example.org": "localhost",
            "hospital.example.org": "localhost",
            "--host 0.0.0.0": "--host 127.0.0.1",
            "8000": str(self.nodes),
            "9000": str(self.control),
            "/data/mine.npz": str(folder / "mine.npz"),
            "/home/researcher": str(self.home),
            "/runs/hospitals": str(self.runs / "hospitals"),
        }

    def here(self, text: str) -> str:
        for there, here in self.replaced.items():
            text = text.replace(there, here)
        return text

    def run(self, line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", STAND_INS + line],
            cwd=PROJECT,
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        self.said.append(done.stdout + done.stderr)
        return done.stdout

    def start(self, name: str, line: str, ready) -> Path:
        log = self.folder / f"{name}.log"
        self.processes.enter_context(process(log, ["bash", "-c", f"exec {line}"], self.home))
        wait_for(lambda: ready(log), name, log)
        return log

    def flwr(self, *arguments: str) -> dict:
        return json.loads(self.run(f"flwr {' '.join(arguments)} --format json"))

    def online(self, _=None) -> int:
        listed = self.flwr("supernode", "list", "hospitals")["nodes"]
        return sum(node["status"] == "online" for node in listed)


def study() -> Experiment:
    keys = {f"{table}.{key}": value for table, keys in SMALL.items() for key, value in keys.items()}
    return Experiment.quickstart([f"{key}={str(value).lower()}" for key, value in keys.items()])


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """The README's lines in their order, up to `flwr list`; its one hospital is client 0 of two."""
    host = Host(tmp_path_factory.mktemp("hospitals"))
    shard = Study.of(study()).shard(0)
    np.savez(host.folder / "mine.npz", train_images=shard.images, train_labels=shard.labels)
    _, *blocks = readme_blocks()
    with host.processes:
        for language, text in blocks:
            if language == "toml":
                given = tomllib.loads(host.here(text))
                path = host.home / (".flwr/config.toml" if "superlink" in given else "run.toml")
                path.parent.mkdir(exist_ok=True)
                if path.name == "run.toml":
                    given = {
                        **given,
                        **{name: {**given.get(name, {}), **keys} for name, keys in SMALL.items()},
                    }
                path.write_text(tomli_w.dumps(given))
            elif "deployment.superlink" in text:
                host.start("superlink", host.here(text), lambda log: "are admitted" in log.read_text())
            elif "deployment.supernode" in text:
                host.start("supernode", host.here(text), lambda log: "SuperNode ID" in log.read_text())
            else:
                host.run(host.here(text))
        yield host


def stranger_answers(host, port, scheme="https"):
    """Return the paths that answer a stranger on a port with anything but a refusal."""
    verify = str(host.home / "keys" / "ca.crt") if scheme == "https" else True
    headers = {"content-type": "application/protobuf", "authorization": "Bearer " + "0" * 64}
    with httpx.Client(verify=verify, timeout=20) as client:
        return [
            path
            for _, path in PROTOBUF_REQUEST_TYPES
            if client.post(f"{scheme}://127.0.0.1:{port}{path}", headers=headers).status_code < 400
        ]


def test_the_readmes_lines_run_the_study(host):
    result = json.loads((host.runs / "hospitals" / "result.json").read_text())
    assert result["status"] == "finished"
    assert [entry["clients"]["trained"] for entry in result["rounds"]] == [1, 1]
    assert "round 2/2" in host.said[-1], "the researcher sees the rounds"
    assert [run["status"] for run in host.flwr("list", "hospitals")["runs"]] == ["finished:completed"]
    assert any("ssh -N -L" in said for said in host.said)


def test_nothing_secret_can_be_read_by_others(host):
    secret = [host.home / name for name in ("node", "account.token", "keys/server.key", "keys/account.token")]
    secret.append(host.home / ".flwr" / "credentials.yaml")
    assert {path.stat().st_mode & 0o777 for path in secret} == {0o600}
    token = (host.home / "account.token").read_text().strip()
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if token in " ".join(command)]


def test_no_secret_is_in_a_log_a_run_folder_or_an_output(host):
    secret = [host.home / name for name in ("node", "account.token", "keys/server.key", "keys/account.token")]
    # Of a key the lines between its first and its last, which say nothing but what it is.
    wanted = {line for path in secret for line in path.read_text().splitlines() if len(line) > 40}
    assert len(wanted) > 8
    searched = [path for place in (host.runs, host.folder) for path in place.rglob("*") if path.is_file()]
    searched = [path for path in searched if not path.is_relative_to(host.home)]
    assert {"superlink.log", "supernode.log", "result.json", "experiment.toml"} <= {
        path.name for path in searched
    }
    texts = {str(path): path.read_bytes() for path in searched} | {"outputs": "\n".join(host.said).encode()}
    found = [name for name, text in texts.items() if any(line.encode() in text for line in wanted)]
    assert found == []
    given = [
        process.environ()
        for process in psutil.process_iter()
        if str(host.folder) in " ".join(commands_of(process))
    ]
    assert given
    assert not [one for one in given if any(line in " ".join(one.values()) for line in wanted)]


def test_every_port_listens_on_loopback_and_refuses_a_stranger(host):
    assert stranger_answers(host, host.nodes) == []
    assert stranger_answers(host, host.control) == []
    own = [each for each in psutil.process_iter() if str(host.folder) in " ".join(commands_of(each))]
    addresses = {
        (connection.laddr.ip, connection.laddr.port)
        for each in own
        for connection in each.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert {ip for ip, _ in addresses} == {"127.0.0.1"}
    (runtime,) = {port for _, port in addresses} - {host.nodes, host.control}
    assert stranger_answers(host, runtime, "http") == [], "the port of the node's own processes"


def commands_of(each):
    try:
        return each.cmdline()
    except psutil.Error:
        return []


def ended(host, run):
    found = host.flwr("list", "hospitals", "--run-id", str(run))["runs"][0]
    return found if found["status"].startswith("finished") else None


def test_the_researchers_own_foreign_app_is_refused_by_the_coordinator(host, tmp_path):
    marker = tmp_path / "marker"
    foreign_app(tmp_path / "app", marker)
    run = host.flwr("run", str(tmp_path / "app"), "hospitals")["run-id"]
    wait_for(lambda: ended(host, run), "the run", host.folder / "superlink.log")
    found = ended(host, run)
    assert found["status"] == "finished:failed"
    assert "runs the installed fedrobust" in found["status-details"]
    assert not list(tmp_path.glob("marker*"))


def test_a_changed_checkout_is_refused_by_the_coordinator(host, tmp_path):
    checkout = tmp_path / "checkout"
    for name in subprocess.check_output(
        ["git", "ls-files", "clients", "server"], cwd=PROJECT, text=True
    ).split():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_bytes((PROJECT / name).read_bytes())
    settings = (PROJECT / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(re.sub(r"(?m)^fab-exclude.*$", "", settings))
    with (checkout / "clients" / "app.py").open("a") as app:
        app.write("\nimport os\n")
    run = host.flwr("run", str(checkout), "hospitals")["run-id"]
    wait_for(lambda: ended(host, run), "the run", host.folder / "superlink.log")
    assert "clients/app.py" in ended(host, run)["status-details"]


def test_a_node_refuses_a_foreign_app_whoever_the_coordinator_is(host, tmp_path):
    """Flower's own SuperLink runs any app; the hospital's node still does not."""
    marker = tmp_path / "marker"
    foreign_app(tmp_path / "app", marker)
    (port,) = free_ports(1)
    keys = host.home / "keys"
    superlink = [
        *("flower-superlink", "--host", "127.0.0.1", "--port", str(port), "--enable-supernode-auth"),
        *("--ssl-ca-certfile", str(keys / "ca.crt"), "--ssl-certfile", str(keys / "server.pem")),
        *("--ssl-keyfile", str(keys / "server.key"), "--disable-runtime-dependency-installation"),
    ]
    home = tmp_path / "home"
    (home / ".flwr").mkdir(parents=True)
    connection = {"address": f"127.0.0.1:{port}", "root-certificates": str(keys / "ca.crt")}
    (home / ".flwr" / "config.toml").write_text(
        tomli_w.dumps({"superlink": {"default": "x", "x": connection}})
    )
    node = [
        *(sys.executable, "-m", "fedrobust.deployment.supernode", "--superlink", f"127.0.0.1:{port}"),
        *("--root-certificates", str(keys / "ca.crt"), "--key", str(host.home / "node")),
        *("--partition", "0", "--data", str(host.folder / "mine.npz")),
    ]

    def flwr(*arguments):
        return subprocess.run(
            ["flwr", *arguments],
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    log, node_log = tmp_path / "superlink.log", tmp_path / "node.log"
    with process(log, superlink, home):
        wait_for(
            lambda: flwr("supernode", "register", str(host.home / "node.pub"), "x").returncode == 0,
            "link",
            log,
        )
        with process(node_log, node, home):
            wait_for(lambda: "SuperNode ID" in node_log.read_text(), "node", node_log)
            assert flwr("run", str(tmp_path / "app"), "x").returncode == 0
            said = Path(f"{marker}.json")
            wait_for(said.exists, "the foreign server's app", node_log)
    assert marker.exists(), "this coordinator runs anything"
    (answer,) = json.loads(said.read_text())
    assert "runs the installed fedrobust" in answer
    assert "'stranger.py'" in answer or "it has no" in answer
    assert not Path(f"{marker}.node").exists(), "nothing of it ran on the node"
    assert "refused what it was sent" in node_log.read_text()
    assert "ForeignAppError" not in node_log.read_text(), "a sentence, without a traceback"


def test_a_node_that_says_it_is_another_client_is_refused(tmp_path):
    """The key is that of client 1, the node says it is client 0: the study ends without it."""
    host = Host(tmp_path)
    host.run(f"{sys.executable} experiments/deployment/certificates.py ~/keys --nodes 2")
    shard = Study.of(study()).shard(0)
    np.savez(tmp_path / "mine.npz", train_images=shard.images, train_labels=shard.labels)
    (host.home / ".flwr").mkdir()
    connection = {"address": f"127.0.0.1:{host.control}", "root-certificates": str(host.home / "keys/ca.crt")}
    config = {"superlink": {"default": "hospitals", "hospitals": connection}}
    (host.home / ".flwr" / "config.toml").write_text(tomli_w.dumps(config))
    settings = {**SMALL, "output": {"dir": str(tmp_path / "run")}}
    (host.home / "run.toml").write_text(tomli_w.dumps(settings))
    module = f"{sys.executable} -m fedrobust.deployment"
    with host.processes:
        host.start(
            "superlink",
            f"{module}.superlink ~/keys --port {host.nodes} --control-port {host.control}",
            lambda log: "are admitted" in log.read_text(),
        )
        host.run(f"{module}.account hospitals ~/keys/account.token")
        host.start(
            "supernode",
            f"{module}.supernode --superlink 127.0.0.1:{host.nodes} --root-certificates ~/keys/ca.crt "
            f"--key ~/keys/node-1 --partition 0 --data {tmp_path / 'mine.npz'}",
            lambda log: "SuperNode ID" in log.read_text(),
        )
        run = host.flwr("run", ".", "hospitals", "--run-config", str(host.home / "run.toml"))["run-id"]
        wait_for(lambda: ended(host, run), "the run", tmp_path / "superlink.log", 200)
        found = ended(host, run)
    assert found["status"] == "finished:failed"
    assert "its key is that of partition 1" in found["status-details"]


def test_one_machine_gives_the_bits_of_fedrobust_run(tmp_path):
    keys = {f"{table}.{key}": value for table, keys in SMALL.items() for key, value in keys.items()}
    sets = [f"--set={key}={str(value).lower()}" for key, value in keys.items()]
    script = [
        sys.executable,
        "experiments/deployment/one_machine.py",
        "experiments/quickstart.toml",
        "--nodes=2",
    ]
    done = subprocess.run(
        [*script, "--out", str(tmp_path / "here"), *sets],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "here" / "run" / "result.json").read_text())
    threads = fedrobust.run(study(), out=tmp_path / "threads").result
    assert result["model"]["digest"] == threads["model"]["digest"]
    assert not [each for each in psutil.process_iter() if str(tmp_path) in " ".join(commands_of(each))]
