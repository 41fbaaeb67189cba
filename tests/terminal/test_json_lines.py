"""Output for other programs: JSON lines of events, and the path alone."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from fedrobust import api, cli
from fedrobust.config import Experiment
from fedrobust.runs.codec import read
from fedrobust.runs.events import (
    AttackProgressed,
    ClientReplied,
    ForecastMade,
    RoundFinished,
    StageStarted,
    StudyFinished,
    StudyStarted,
)
from fedrobust.runs.record import RoundRecord, RunRecord
from fedrobust.terminal.json_lines import JsonLines, Silent

ROUND = {"round": 1, "clients": {"sampled": 10, "trained": 9, "loss": 0.5}, "seconds": 1.25}
EVENTS = [
    StudyStarted("s", "runs/s-1", 1, "phantom", ("a remark",), ("the audit",)),
    StageStarted("loading the data"),
    ForecastMade("a line", {"rounds": 1}, [("model", "93,154 parameters")]),
    ClientReplied(3),
    AttackProgressed("pgd", 1, 2),
    RoundFinished(read(RoundRecord, ROUND)),
    StudyFinished(RunRecord.read({"schema": 1, "name": "s", "status": "finished"})),
]


def test_each_event_is_a_line_and_the_last_has_the_record():
    lines = []
    listener = JsonLines(lines.append)
    with listener:
        for event in EVENTS:
            listener(event)
    told = [json.loads(line) for line in lines]
    assert [one["event"] for one in told] == [
        "study-started",
        "stage-started",
        "forecast-made",
        "round-finished",
        "study-finished",
    ]
    assert (told[0]["folder"], told[0]["remarks"], told[2]["figures"]) == (
        "runs/s-1",
        ["a remark"],
        {"rounds": 1},
    )
    assert told[3]["record"]["clients"]["trained"] == 9
    assert told[4]["record"]["status"] == "finished"
    assert listener.folder == "runs/s-1"
    assert not any("\n" in line for line in lines)


def test_a_loss_that_is_not_finite_is_null():
    diverged = read(RoundRecord, {"round": 1, "clients": {"loss": float("nan")}})
    lines = []
    JsonLines(lines.append)(RoundFinished(diverged))
    assert json.loads(lines[0], parse_constant=pytest.fail)["record"]["clients"]["loss"] is None


def test_silence_remembers_the_folder(capsys):
    listener = Silent()
    with listener:
        for event in EVENTS:
            listener(event)
    assert listener.folder == "runs/s-1"
    assert capsys.readouterr().out == ""


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run a command whose study is made up; the answer is click's result."""

    folder = tmp_path / "s-1"

    def ran(study, listener, out="", log=()):
        asked.append(study)
        for event in EVENTS:
            listener(event)
        return SimpleNamespace(report=folder / "report.html", path=folder)

    folder.mkdir()
    (folder / "report.html").touch()
    asked = []
    monkeypatch.setattr(api, "run", ran)
    monkeypatch.setattr("fedrobust.runtime.claim_process", lambda: None)

    def run(*arguments):
        return CliRunner().invoke(cli.app, arguments)

    run.asked, run.folder = asked, folder
    return run


def test_quiet_writes_the_path_of_the_report_alone(command):
    report = command.folder / "report.html"
    assert command("run", "--quiet").output == command("run", "-q").output == f"{report}\n"


def test_without_a_report_the_folder_is_told(command):
    (command.folder / "report.html").unlink()
    assert command("run", "--quiet").output == f"{command.folder}\n"
    assert command("run").output.splitlines()[-1] == f"run folder: {command.folder}"


def test_json_writes_nothing_but_json(command):
    done = command("run", "--json")
    assert [json.loads(line)["event"] for line in done.output.splitlines()][-1] == "study-finished"


def test_quiet_and_json_exclude_each_other(command):
    refused = command("run", "--quiet", "--json")
    assert refused.exit_code == 2
    assert "--quiet with --json" in refused.stderr
    assert command("run", "--seeds", "2", "--log", "mlflow").exit_code == 2
    assert not command.asked


def test_the_demo_runs_the_study_of_that_name_and_ends_with_the_report(command):
    done = command("demo")
    assert done.output.splitlines()[-1] == f"report: {command.folder / 'report.html'}"
    assert command.asked == ["demo"]
    study = Experiment.load("demo")
    assert (len(study.malicious), study.poisoning.attack, study.data.name) == (3, "sign-flip", "phantom")


@pytest.mark.parametrize("words", [("list", "rules"), ("explain", "krum"), ("data", "list")])
def test_lists_are_json_on_request(words):
    done = CliRunner().invoke(cli.app, [*words, "--json"])
    assert "krum" in json.dumps(json.loads(done.output)) or words[0] == "data"
