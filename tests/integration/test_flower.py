"""Flower's own carriers: the simulation behind `flwr run`, and a real federation on this machine."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import fedrobust
from fedrobust.config import Experiment

PROJECT = Path(__file__).parents[2]
SETTINGS = {
    "data.samples": "200",
    "federation.clients": "2",
    "federation.rounds": "2",
    "training.recipe": "fgsm",
    "training.epsilon": "1/255",
    "evaluation.epsilons": "[0.005]",
    "evaluation.examples": "0",
    "evaluation.every": "2",
    "audit.enabled": "false",
    "distillation.enabled": "false",
    "export.enabled": "false",
}


@pytest.fixture(scope="module")
def threads_digest(tmp_path_factory) -> str:
    study = Experiment.quickstart([f"{key}={value}" for key, value in SETTINGS.items()])
    return fedrobust.run(study, out=tmp_path_factory.mktemp("threads") / "run").result["model"]["digest"]


@pytest.fixture
def home(tmp_path):
    """An environment for Flower's programs; the SuperLink that `flwr run` leaves behind is ended afterwards."""
    port = 20_000 + os.getpid() % 20_000
    programs = str(Path(sys.executable).parent)
    yield {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "FLWR_HOME": str(tmp_path / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        # Where the tests are started by `uv run`, Ray would start Flower's workers by it, too.
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(port),
    }
    for process in psutil.process_iter():
        try:
            # Whatever still runs from this folder was started by this test.
            if process.cwd().startswith(str(tmp_path)) and process.pid != os.getpid():
                process.send_signal(signal.SIGTERM)
        except psutil.Error:
            continue


def written(value: str) -> str:
    """Return a value as Flower's command line wants it: quoted, unless it is a number or a truth value."""
    return value if re.fullmatch(r"[\d.]+|true|false", value) else f"'{value}'"


# Flower starts a SuperLink and Ray for it: a minute or two.
@pytest.mark.slow
def test_flwr_run_gives_the_bits_of_the_threads_engine(tmp_path, home, threads_digest):
    config = " ".join(f"{key}={written(value)}" for key, value in SETTINGS.items())
    done = subprocess.run(
        [
            *("flwr", "run", str(PROJECT), "--stream"),
            *("--run-config", f"{config} output.dir='{tmp_path / 'run'}'"),
            *("--federation-config", "num-supernodes=2 client-resources-num-cpus=1"),
        ],
        env=home,
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "round 2/2" in done.stdout + done.stderr, "its user sees the rounds"
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["status"] == "finished"
    assert result["model"]["digest"] == threads_digest


@pytest.mark.slow
def test_a_federation_with_tls_and_own_data_files_survives_the_loss_of_a_node(tmp_path):
    script = PROJECT / "experiments" / "deployment" / "one_machine.py"
    sets = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    command = [sys.executable, str(script), str(PROJECT / "experiments/quickstart.toml"), "--nodes", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "here"), "--kill", "1", "--set=federation.min-replies=0.5", *sets],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 authenticated nodes are online at https://127.0.0.1" in done.stdout
    assert "a SuperNode was killed" in done.stdout
    result = json.loads((tmp_path / "here" / "run" / "result.json").read_text())
    assert result["status"] == "finished"
    first, second = (entry["clients"] for entry in result["rounds"])
    assert (first["trained"], second["trained"]) == (2, 1)
    assert second["failures"][0]["partition"] == 1
    assert "Node Unavailable" in second["failures"][0]["reason"]
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in running if str(tmp_path) in " ".join(command)]
