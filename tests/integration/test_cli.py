"""The command line as a user types it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrobust import cli
from fedrobust.config import Experiment

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def warm(tmp_path, monkeypatch):
    """Run a command in `tmp_path` and in this process, where TensorFlow is running already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fedrobust.runtime.claim_process", lambda: None)

    def run(*arguments, code=0):
        before = signal.getsignal(signal.SIGTERM)
        try:
            done = CliRunner().invoke(cli.app, list(map(str, arguments)))
        finally:
            signal.signal(signal.SIGTERM, before)
        assert done.exit_code == code, done.output
        return done

    return run


def fedrobust(*arguments, folder, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "fedrobust", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=None,
    )
    assert done.returncode == code, done.stderr
    return done


def test_run_prints_plain_lines_and_a_table_into_a_pipe(warm, tmp_path):
    done = fedrobust(
        "run",
        PROJECT / "experiments/quickstart.toml",
        "--out",
        "out",
        *("--set", "model.name=edge-cnn(width=8)"),
        *("--set", "audit.enabled=false"),
        *("--set", "data.samples=100"),
        *("--set", "federation.clients=2"),
        *("--set", "federation.rounds=1"),
        *("--set", "distillation.epochs=1"),
        *("--set", "distillation.copies=1"),
        *("--set", "evaluation.epsilons=[0.005, '1/255']"),
        *("--set", "export.formats=['float32']"),
        folder=tmp_path,
    )
    assert "round 1/1" in done.stdout
    assert "fgsm 0.005" in done.stdout
    assert "Always predicting the most frequent class" in done.stdout
    assert "\x1b[" not in done.stdout, "no control codes in a pipe"
    assert done.stdout.rstrip().endswith("report.html")
    assert done.stderr == ""
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["experiment"]["federation"]["clients"] == 2
    assert warm("report", "out").stdout.strip().endswith("report.html")
    used = warm("run", "--out", "out", code=2)
    assert 'output.dir = "out"' in used.stderr
    assert "not empty" in used.stderr


def test_attack_and_audit_of_a_run_and_of_a_file(warm, tmp_path):
    warm(
        "run",
        *("--set", "model.name=edge-cnn(width=8)"),
        *("--set", "data.samples=100"),
        *("--set", "federation.clients=2"),
        *("--set", "federation.rounds=2"),
        *("--set", "training.recipe=fgsm"),
        *("--set", "evaluation.attacks=['fgsm', 'pgd(steps=2)']"),
        *("--set", "evaluation.attack-every=2"),
        *("--set", "audit.images=30"),
        *("--set", "evaluation.epsilons=['2/255']"),
        *("--set", "distillation.enabled=false"),
        *("--set", "export.enabled=false"),
        *("--out", "run"),
    )
    result = json.loads((tmp_path / "run/result.json").read_text())
    first, last = result["rounds"]
    assert first["robust"] == {}, "attacks are made every second round"
    assert set(last["robust"]) == {"fgsm", "pgd(steps=2)"}
    assert last["robust"]["pgd(steps=2)"]["2/255"]["recall"]
    assert 0 <= first["pgd-probe"] <= 1
    assert set(last["worst-client"]) == {"clean", "fgsm 2/255", "pgd(steps=2) 2/255"}
    assert last["worst-client"]["clean"]["accuracy"] <= last["worst-client"]["clean"]["mean"]
    card = json.loads((tmp_path / "run/card.json").read_text())
    assert result["audit"] == card
    assert "Is it robust?" in (tmp_path / "run/report.html").read_text()

    attacked = warm("attack", "run", "--attack", "pgd(steps=3)", "--epsilon", "2/255", "--out", "here")
    assert "pgd(steps=3) 2/255" in attacked.stdout
    assert "Always predicting the most frequent class" in attacked.stdout
    assert json.loads((tmp_path / "here/attack.json").read_text())["attacked"][0]["epsilon"] == "2/255"

    # A network of two rounds of two small hospitals is not robust, and strict says so.
    strict = warm(
        "audit",
        "run/model.keras",
        *("--data", "phantom", "--effort", "quick", "--images", 40, "--epsilon", "8/255"),
        "--strict",
        code=3,
    )
    assert "robust accuracy: lead over the constant classifier lost" in strict.stdout
    assert strict.stdout.rstrip().endswith("card.html")
    assert "Is it robust?" in (tmp_path / "runs/model.keras-audit/card.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "none.keras", "--data", "phantom"], "there is no such file"),
        (["audit", "none.keras"], "there is no such file"),
        (["audit", "."], "a folder, but not a run's"),
        (["attack", "none.keras", "--data", "phantom", "--norm", "l3"], "choose one of linf, l2, l0"),
        (["audit", "none.keras", "--data", "phantom", "--effort", "huge"], "quick, standard or full"),
        (["run", "--set", "evaluation.attacks=['fast']"], "is no evasion attack"),
        (["run", "--set", "evaluation.attacks=['pgd(stepz=2)']"], "has no setting 'stepz'"),
        (["run", "--set", "evaluation.attacks=['lbfgs']"], "it searches in l2"),
        (["run", "none.toml"], "none.toml: cannot be read"),
        (
            ["run", "--set", "federation.cleints=3"],
            "federation.cleints: unknown key, did you mean federation.clients?",
        ),
        (["run", "--set", "data.name=nothing"], 'data.name = "nothing": unknown'),
        (["run", "--set", "model.weights=none.h5"], "none.h5"),
        (["run", "--set", "model.name=vgg"], "'vgg' is no model"),
        (["run", "--set", "model.name=resnet50"], "image-size = 28: resnet50"),
        (["run", "--set", "data.partition=dirichlet(min_size=500)"], "cannot give"),
        (["report", "."], "not a run folder"),
        (["list", "spells"], "'spells': choose one of"),
        (["data", "show", "breatsmnist"], 'did you mean "breastmnist"?'),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(warm, tmp_path, arguments, message):
    done = warm(*arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_mistake_is_one_message_in_a_process_of_its_own(tmp_path):
    done = fedrobust("run", "--set", "model.weights=none.h5", folder=tmp_path, code=2)
    assert done.stderr.startswith("error: ")
    assert "none.h5" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "train", "bench"])
def test_the_help_names_the_setting_of_where_results_go(warm, command):
    assert "below output.root (runs)" in " ".join(warm(command, "--help").stdout.replace("│", " ").split())


def test_data_and_lists(warm):
    assert "breastmnist" in warm("data", "list").stdout
    shown = json.loads(warm("data", "show", "phantom").stdout)
    assert shown["classes"] == 2
    listed = warm("list").stdout
    for name in (
        "mobilenetv2",
        "densenet121",
        "resnet50",
        "edge-cnn",
        "plain",
        "fgsm",
        "pgd",
        "adam",
        "mean",
    ):
        assert name in listed


def test_init_writes_a_study_that_is_valid(warm, tmp_path):
    warm("init", "mine.toml")
    assert Experiment.load(tmp_path / "mine.toml").to_dict() == Experiment.quickstart().to_dict()
    assert "exists already" in warm("init", "mine.toml", code=2).stderr


def test_init_for_a_data_set_writes_settings_that_suit_its_size(warm, tmp_path):
    told = warm("init", "mine.toml", "--data", "phantom").stdout
    study = Experiment.load(tmp_path / "mine.toml")
    assert (study.name, study.data.name) == ("phantom", "phantom")
    assert (study.federation.rounds, study.model.image_size, study.training.batch_size) == (20, 64, 32)
    assert "a study of phantom" in told
    refused = warm("init", "other.toml", "--data", "absent.npz", code=2)
    assert "absent.npz: no such file" in refused.stderr
    assert not (tmp_path / "other.toml").exists()


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys\n"
        "from fedrobust.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'keras', 'flwr', 'ray', 'medmnist', 'pandas', 'sklearn', 'plotly', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, capture_output=True)


ROOMS = [
    (
        "fedrobust.config fedrobust.data.load fedrobust.data.partition fedrobust.report.page",
        "tensorflow keras flwr ray",
    ),
    (
        "fedrobust.aggregation fedrobust.runs.folder fedrobust.runs.run fedrobust.terminal.run",
        "tensorflow keras flwr ray",
    ),
    (
        "fedrobust.study fedrobust.training.local_update fedrobust.evaluation.robustness",
        "flwr ray clients server",
    ),
    (
        "fedrobust.engines.simulate fedrobust.engines.threads fedrobust.api fedrobust.cli",
        "clients server ray",
    ),
]
"""Modules, and what they must not import. Later ones may import more: all are imported in one process."""


def test_no_room_imports_what_it_must_not(tmp_path):
    """The plan of the house: who may know whom."""
    code = (
        "import sys, importlib\n"
        f"for rooms, forbidden in {ROOMS}:\n"
        "    for name in rooms.split(): importlib.import_module(name)\n"
        "    bad = set(forbidden.split()) & set(sys.modules)\n"
        "    assert not bad, (rooms, bad)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
