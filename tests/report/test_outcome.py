"""What a report says of runs that say little: cut short, attacked in vain, measured on too little, made long ago."""

import copy
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fedrobust.report.page import write
from fedrobust.runs.outcome import cut_short, invalid_line
from fedrobust.runs.record import RunRecord
from fedrobust.runs.tolerance import described_in, is_oracle

OLD = Path(__file__).with_name("old-result.json")
"""The quickstart's result, of before tolerance, validity and status "stopped" were recorded; cut to two rounds."""


def text_of(folder):
    """Return the words of a run's page as a reader sees them."""
    page = write(folder).read_text(encoding="utf-8")
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def run(result):
    return RunRecord.read({"schema": 1, **result})


CUT: dict[str, Any] = {"model-evaluation": None, "student": None, "export": []}


def defended(result, **changes):
    """Give the last round a defence."""
    defence = {
        "attacked": True,
        "valid": True,
        "malicious": [1],
        "accepted": [0, 2],
        "influence": [0.5, 0.0, 0.5],
        "true-positive-rate": 1.0,
        "false-positive-rate": 0.0,
        "tolerated": 1,
        "seconds": 0.1,
    }
    result["experiment"]["poisoning"] = {"attack": "pixel-backdoor", "malicious": 1}
    result["rounds"][-1] |= {
        "defence": defence | changes,
        "attack-success": {"n": 42, "successes": 4, "rate": 4 / 42, "interval": [0.03, 0.22]},
    }
    return result


@pytest.mark.parametrize("status", ["stopped", "failed", "running"])
def test_figures_of_a_run_cut_short_carry_their_round(folder, result, status):
    result |= CUT | {"status": status, "error": "so"}
    result["experiment"]["federation"]["rounds"] = 10
    text = text_of(folder(result))
    assert "Accuracy after round 2 of 10" in text
    assert "AUC after round 2 of 10" in text
    assert "Global model after round 2 of 10" in text


def test_a_run_that_can_go_on_says_how_and_one_that_cannot_says_so(folder, result):
    result |= CUT | {"status": "stopped", "error": "stopped after 2 rounds"}
    place = folder(result)
    assert "It has no checkpoint" in text_of(place)
    (place / "checkpoints").mkdir()
    (place / "checkpoints" / "round-2.npz").touch()
    assert f"fedrobust run --resume {place.name}" in text_of(place)
    assert "--resume" not in text_of(folder(result | {"status": "finished"}))


def test_a_run_of_real_sites_goes_on_at_its_server(folder, result):
    sites = [{"client": 0, "name": "bern", "images": 70}]
    place = folder(result | CUT | {"status": "failed", "error": "so", "sites": sites})
    (place / "checkpoints").mkdir()
    (place / "checkpoints" / "round-2.npz").touch()
    text = text_of(place)
    assert (
        f"Resume with: fedrobust deploy run SERVER --set output.resume=true --set output.dir={place.name} (SERVER: the "
        "server's folder; output.dir: the folder of this page)"
    ) in text
    assert "run --resume" not in text


def test_scores_of_one_class_are_not_measured(folder, result):
    clean = result["model-evaluation"]["clean"]
    clean |= {"recall": [None, 0.9], "auc": None, "balanced_accuracy": 0.9}
    text = text_of(folder(result))
    assert "not measured all images are “normal, benign”" in text
    assert text.count("not measured") == 2, "balanced accuracy and AUC"
    assert "AUC 0.0" not in text


def test_an_undefined_auc_is_not_measured(folder, result):
    result["model-evaluation"]["clean"]["auc"] = None
    assert "AUC not measured it is undefined for these answers" in text_of(folder(result))


def test_the_success_of_a_failed_attack_is_absent(folder, result):
    failure = {"partition": 1, "reason": "Traceback (most recent call last):\n  x\nValueError: <b>7</b>"}
    result = defended(result, **{"valid": False, "attack-failures": [failure]})
    result["model-evaluation"]["attack-success"] = None
    text = text_of(folder(result))
    assert (
        "Poisoning’s success not measured the attack failed in 1 of 2 rounds (client 1: ValueError: <b>7</b>)"
        in text
    )
    assert "9.5" not in text, "what the round says of an attack that did not run is not shown"
    assert "the figures of this run do not measure its defence" in text


def test_a_failing_client_of_every_round_is_told_once(folder, result):
    failure = {"partition": 1, "reason": "ValueError: no class 7"}
    result = defended(result, **{"valid": False, "attack-failures": [failure]})
    result["rounds"][1]["defence"] = copy.deepcopy(result["rounds"][2]["defence"])
    text = text_of(folder(result))
    assert "client 1: ValueError: no class 7 (2 times, first in round 1)" in text


@pytest.mark.parametrize(
    ("malicious", "words"), [([], "no attacker sampled"), ([1], "no attack")], ids=["none sampled", "later"]
)
def test_a_round_that_nobody_attacked_has_no_rate_of_detection(folder, result, malicious, words):
    result = defended(result, attacked=False, malicious=malicious, **{"true-positive-rate": 0.123})
    text = text_of(folder(result))
    assert words in text
    assert "12.3" not in text
    assert "1 of 1 round had no attack" in text


def test_what_the_rule_was_told_stands_at_the_head_of_the_page(folder, result):
    tolerance = {"clients": 2, "source": "truth", "told": True, "malicious": 6, "probability-of-more": 0.26}
    text = text_of(folder(result | {"tolerance": tolerance}))
    assert text.index("an oracle") < text.index("Bands and brackets")
    quantile = described_in(run({"tolerance": tolerance | {"quantile": 0.95}}))
    assert "the 95 % quantile of the true number" in quantile
    assert described_in(run({"tolerance": tolerance | {"told": False}})) == ""


@pytest.mark.parametrize("tolerate", [None, 2])
def test_a_run_of_before_tolerance_was_recorded_says_what_its_study_says(folder, result, tolerate):
    result = defended(result)
    if tolerate is not None:
        result["experiment"]["federation"]["tolerate"] = tolerate
    text = text_of(folder(result))
    assert ("an oracle" in text) == (tolerate is None) == is_oracle(run(result))
    assert "How often a round samples more was not recorded" in text


def test_an_old_run_is_rendered(folder):
    result = json.loads(OLD.read_text())
    text = text_of(folder(result))
    assert "phantom" in text
    assert "not finished" not in text
    assert (cut_short(run(result)), invalid_line(run(result)), described_in(run(result))) == ("", "", "")


@pytest.mark.parametrize(
    ("status", "rounds", "words"),
    [
        ("stopped", 0, "stopped before its first round was over"),
        ("failed", 3, "failed after round 3 of 10"),
        ("running", 1, "not finished (still running, or killed) after round 1 of 10"),
        ("finished", 10, ""),
    ],
)
def test_how_far_a_run_came(status, rounds, words):
    entries = [{"round": number} for number in range(rounds + 1)]  # round 0 is the start, not a round done
    result = {"status": status, "rounds": entries, "experiment": {"federation": {"rounds": 10}}}
    assert cut_short(run(result)) == words
