import io

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
