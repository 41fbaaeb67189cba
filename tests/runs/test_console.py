import io
import re

from rich.console import Console

from fedrobust.evaluation.metrics import measure
from fedrobust.runs.console import ConsoleListener, round_line, summary_tables
from fedrobust.runs.events import (
    ClientReplied,
    RoundFinished,
    RoundStarted,
    StageStarted,
    StudyFinished,
    StudyStarted,
)

CLEAN = measure([0] * 42 + [1] * 114, [[0.0, 1.0]] * 156).to_json()
RECORD = {
    "round": 3,
    "clean": CLEAN,
    "robust": {"fgsm": {"0.005": CLEAN}},
    "clients": {
        "sampled": 10,
        "trained": 9,
        "failed": 1,
        "failures": [{"partition": 4, "reason": "OSError: [disk] full"}],
        "loss": 0.5,
    },
    "seconds": 1.25,
}
RESULT = {
    "name": "breast",
    "status": "finished",
    "experiment": {"seed": 7},
    "dataset": {"name": "breastmnist", "labels": ["a", "b"], "samples": {"test": 156}},
    "model": {"name": "mobilenetv2"},
    "model-evaluation": {"clean": CLEAN, "robust": {"fgsm": {"0.005": CLEAN}}},
    "student": None,
    "export": [],
}


def shown(*events, terminal=False) -> str:
    stream = io.StringIO()
    with ConsoleListener(Console(file=stream, width=100, force_terminal=terminal)) as listener:
        for event in events:
            listener(event)
    return stream.getvalue()


def test_a_round_is_one_line_with_the_majority_beside_the_accuracy():
    line = round_line(RECORD, rounds=10)
    assert line.startswith(
        "round  3/10  9/10 clients  loss 0.500  accuracy 73.1% (majority 73.1%)  balanced 50.0%"
    )
    assert line.endswith("fgsm 0.005: 73.1%  1.2 s")
    bare = {**RECORD, "clean": None, "robust": {}}
    assert round_line(bare, rounds=10) == "round  3/10  9/10 clients  loss 0.500  1.2 s"


def test_a_pipe_gets_plain_lines_with_failures_and_their_reasons():
    text = shown(
        StudyStarted("breast", "/some/folder", 10, "about it"),
        StageStarted("preparing the clients"),
        RoundStarted(3, 10),
        ClientReplied(1),
        RoundFinished(RECORD),
        StudyFinished(RESULT),
    )
    assert "\x1b" not in text
    assert "run folder: /some/folder\n" in text
    assert "preparing the clients ...\n" in text
    assert "client 4 left out: OSError: [disk] full" in text, "brackets are not taken for markup"
    assert "114/156" in text


def test_what_is_to_be_minded_is_said_before_the_first_round():
    text = shown(
        StudyStarted(
            "breast", "/some/folder", 10, "about it", ("alie has z = -0.14: [it] helps the server",)
        ),
        RoundStarted(1, 10),
    )
    assert "alie has z = -0.14: [it] helps the server\n" in text


def test_a_terminal_gets_a_live_line():
    text = shown(
        RoundStarted(3, 10), ClientReplied(1), ClientReplied(2), RoundFinished(RECORD), terminal=True
    )
    assert "\x1b" in text


def test_the_table_names_the_constant_classifier():
    (table,) = summary_tables(RESULT)
    assert "73.1%" in table.caption
    assert "AUC 0.500" in table.caption
    assert table.row_count == 2


def test_attacks_report_from_their_threads():
    """Worker threads have no listeners of their own: they are told whose study they work for."""
    from concurrent.futures import ThreadPoolExecutor

    from fedrobust.runs.events import AttackProgressed, emit, listening, teller

    heard = []
    with listening(heard.append), ThreadPoolExecutor(1) as pool:
        pool.submit(emit, AttackProgressed("lost", 1, 0)).result()
        pool.submit(teller(), AttackProgressed("pgd", 1, 9)).result()
    assert heard == [AttackProgressed("pgd", 1, 9)]


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_terminal_breaks_lines_between_words():
    summary = (
        "breastmnist: 546 images over 10 clients (dirichlet), mobilenetv2 from imagenet weights; 3 malicious"
    )
    lines = [
        line.strip() for line in plain(shown(StudyStarted("b", "/f", 9, summary), terminal=True)).split("\n")
    ]
    words = set(f"b {summary}".split())
    assert any("mobilenetv2" in line for line in lines)
    # What is left of a progress line stands between; every word of the summary is whole on some line.
    assert words <= {word for line in lines for word in line.split()}


def test_the_time_left_is_that_of_the_rounds_with_what_follows():
    text = shown(
        StudyStarted("b", "/f", 10, "about it", after=("the audit", "the student")),
        RoundFinished({**RECORD, "round": 3, "seconds": 60.0}),
        RoundFinished({**RECORD, "round": 4, "seconds": 120.0}),
        RoundFinished({**RECORD, "round": 10, "seconds": 120.0}),
    )
    # After round 4: six rounds of 90 s on average.
    assert "about 9 min of rounds left, then the audit, the student" in text
    assert "left" not in next(line for line in text.splitlines() if line.startswith("round 10/10"))


def test_texts_from_clients_neither_colour_nor_steer_a_terminal():
    reason = "Traceback (most recent call last):\n  x\nValueError: [red]7[/] \x1b]0;owned\x07\x1b[2Jend"
    defence = {"attacked": True, "valid": False, "attack-failures": [{"partition": 1, "reason": reason}]}
    clients = {**RECORD["clients"], "failures": [{"partition": 4, "reason": reason}]}
    text = shown(
        StageStarted(f"a node is left out: {'[bold]x[/]'}"),
        RoundFinished({**RECORD, "defence": defence, "clients": clients}),
    )
    assert "\x1b" not in text
    assert "the attack of client 1 failed: ValueError: [red]7[/] end" in text
    assert "client 4 left out: ValueError: [red]7[/] end" in text
    assert "[bold]x[/]" in text


def test_a_round_whose_attack_failed_shows_no_rate():
    defence = {"attacked": True, "valid": False, "true-positive-rate": 0.0}
    line = round_line({**RECORD, "defence": defence, "attack-success": {"rate": 0.0}}, rounds=10)
    assert "invalid: the attack failed" in line
    assert "attackers left out" not in line
    assert "attack success" not in line


def test_what_figures_cannot_say_stands_below_them():
    one_class = {"name": "d", "labels": ["a", "b"], "samples": {"test": 12}, "counts": {"test": [0, 12]}}
    clean = measure([1] * 12, [[0.0, 1.0]] * 12).to_json()
    result = {
        **RESULT,
        "dataset": one_class,
        "model-evaluation": {"clean": clean, "robust": {}},
        "tolerance": {"clients": 2, "source": "truth", "malicious": 2, "probability-of-more": 0.26},
    }
    text = shown(StudyFinished(result))
    assert "all test images are 'b': balanced accuracy and AUC are not measured" in text
    assert "only 12 test images" in text
    assert "an oracle" in text
    assert "26.0 %" in text
    row = next(line for line in text.splitlines() if "12/12" in line)
    assert row.split()[-2:] == ["-", "-"]


def test_a_failed_run_says_how_far_it_came():
    federation = {"federation": {"rounds": 10}}
    text = shown(StudyFinished({**RESULT, "status": "failed", "rounds": [RECORD], "experiment": federation}))
    assert "the run failed after round 1 of 10" in text
    assert "accuracy" not in text
