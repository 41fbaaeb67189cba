import io
import re
from typing import Any

import pytest
from rich.console import Console

from fedrobust.evaluation.metrics import measure
from fedrobust.runs.events import (
    AttackProgressed,
    CheckFinished,
    ClientReplied,
    ForecastMade,
    RoundFinished,
    RoundStarted,
    StageStarted,
    StudyFinished,
    StudyResumed,
    StudyStarted,
)
from fedrobust.runs.record import FindingRecord, MetricsRecord, RoundRecord, RunRecord, to_json
from fedrobust.terminal.run import ConsoleListener, round_line
from fedrobust.terminal.screen import Screen, standard_output
from fedrobust.terminal.summary import summary_tables

CLEAN = to_json(MetricsRecord.of(measure([0] * 42 + [1] * 114, [[0.0, 1.0]] * 156)))
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
    "schema": 1,
    "name": "breast",
    "status": "finished",
    "experiment": {"seed": 7},
    "dataset": {"name": "breastmnist", "labels": ["a", "b"], "samples": {"test": 156}},
    "model": {"name": "mobilenetv2"},
    "model-evaluation": {"clean": CLEAN, "robust": {"fgsm": {"0.005": CLEAN}}},
    "student": None,
    "export": [],
}


def round_finished(content) -> RoundFinished:
    return RoundFinished(RoundRecord.read(content))


def study_finished(content) -> StudyFinished:
    return StudyFinished(RunRecord.read(content))


def shown(*events, terminal=False) -> str:
    stream = io.StringIO()
    with ConsoleListener(Console(file=stream, width=100, force_terminal=terminal)) as listener:
        for event in events:
            listener(event)
    return stream.getvalue()


def test_a_round_is_one_line_with_the_majority_beside_the_accuracy():
    line = round_line(RoundRecord.read(RECORD), rounds=10)
    assert line.startswith(
        "round  3/10  9/10 clients  loss 0.500  accuracy 73.1% (majority 73.1%)  balanced 50.0%"
    )
    assert line.endswith("fgsm 0.005: 73.1%  1.2 s")
    curve = {"8/255": {**CLEAN, "accuracy": 0.25}, "0.005": CLEAN}
    line = round_line(RoundRecord.read({**RECORD, "robust": {"fgsm": curve}}), rounds=10)
    assert line.endswith("fgsm 8/255: 25.0%  1.2 s"), "the largest epsilon, not the last that the study names"
    bare = {**RECORD, "clean": None, "robust": {}}
    assert round_line(RoundRecord.read(bare), rounds=10) == "round  3/10  9/10 clients  loss 0.500  1.2 s"


def test_a_pipe_gets_plain_lines_with_failures_and_their_reasons():
    text = shown(
        StudyStarted("breast", "/some/folder", 10, "about it"),
        StageStarted("preparing the clients"),
        RoundStarted(3, 10),
        ClientReplied(1),
        round_finished(RECORD),
        study_finished(RESULT),
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
        RoundStarted(3, 10), ClientReplied(1), ClientReplied(2), round_finished(RECORD), terminal=True
    )
    assert "\x1b" in text


def test_the_table_names_the_constant_classifier():
    (table,) = summary_tables(RunRecord.read(RESULT))
    assert "73.1%" in table.caption
    assert "AUC 0.500" in table.caption
    assert table.row_count == 2


def test_attacks_report_from_their_threads():
    """Worker threads have no listeners of their own: they are told whose study they work for."""
    from concurrent.futures import ThreadPoolExecutor

    from fedrobust.runs.events import emit, listening, teller

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
        round_finished({**RECORD, "round": 3, "seconds": 60.0}),
        round_finished({**RECORD, "round": 4, "seconds": 120.0}),
        round_finished({**RECORD, "round": 10, "seconds": 120.0}),
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
        round_finished({**RECORD, "defence": defence, "clients": clients}),
    )
    assert "\x1b" not in text
    assert "the attack of client 1 failed: ValueError: [red]7[/] end" in text
    assert "client 4 left out: ValueError: [red]7[/] end" in text
    assert "[bold]x[/]" in text


def test_a_round_whose_attack_failed_shows_no_rate():
    defence = {"attacked": True, "valid": False, "true-positive-rate": 0.0}
    line = round_line(
        RoundRecord.read({**RECORD, "defence": defence, "attack-success": {"rate": 0.0}}), rounds=10
    )
    assert "invalid: the attack failed" in line
    assert "attackers left out" not in line
    assert "attack success" not in line


def test_what_figures_cannot_say_stands_below_them():
    one_class = {"name": "d", "labels": ["a", "b"], "samples": {"test": 12}, "counts": {"test": [0, 12]}}
    clean = to_json(MetricsRecord.of(measure([1] * 12, [[0.0, 1.0]] * 12)))
    result = {
        **RESULT,
        "dataset": one_class,
        "model-evaluation": {"clean": clean, "robust": {}},
        "tolerance": {"clients": 2, "source": "truth", "malicious": 2, "probability-of-more": 0.26},
    }
    text = shown(study_finished(result))
    assert "all test images are 'b': balanced accuracy and AUC are not measured" in text
    assert "only 12 test images" in text
    assert "an oracle" in text
    assert "26.0 %" in text
    row = next(line for line in text.splitlines() if "12/12" in line)
    assert row.split()[-2:] == ["-", "-"]


def test_a_failed_run_says_how_far_it_came():
    federation = {"federation": {"rounds": 10}}
    text = shown(study_finished({**RESULT, "status": "failed", "rounds": [RECORD], "experiment": federation}))
    assert "the run failed after round 1 of 10" in text
    assert "accuracy" not in text


class Clock:
    """A clock that is set, so that a progress line is the same in every test."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def listener_on(stream: io.StringIO, clock=None, *, terminal: bool, width: int = 200) -> ConsoleListener:
    return ConsoleListener(
        Console(
            file=stream,
            width=width,
            force_terminal=terminal,
            force_interactive=terminal,
            no_color=False,
            color_system="standard" if terminal else None,
            highlight=False,
            get_time=clock,
        )
    )


def said(*events, terminal: bool = False) -> str:
    """Return what is said of events, without the progress line."""
    stream = io.StringIO()
    listener = listener_on(stream, terminal=terminal)
    for event in events:
        listener(event)
    return stream.getvalue()


def progress_line(listener: ConsoleListener) -> str:
    """Return the progress line as it stands, without colours."""
    stream = io.StringIO()
    Console(file=stream, width=200, force_terminal=False).print(listener.progress.get_renderable())
    return stream.getvalue().strip()


BAR = "━" * 24
HALF = f"{'━' * 12:24}"


def test_the_progress_line_of_every_stage():
    clock = Clock()
    listener = listener_on(io.StringIO(), clock, terminal=True)
    assert progress_line(listener) == f"⠋ starting {BAR}  0:00:00"
    listener(StudyStarted("a", "/f", 7, "about it"))
    listener(StageStarted("loading [data]"))
    clock.now = 2
    assert progress_line(listener) == f"⠴ loading [data] {BAR}  0:00:02"
    listener(RoundStarted(3, 4))
    clock.now = 4
    assert progress_line(listener) == f"⠋ round 3/7 {' ' * 24}  0:00:02 -:--:--"
    listener(ClientReplied(1))
    assert "1 of 4 clients" in progress_line(listener)
    clock.now = 6
    listener(ClientReplied(2, "failed"))
    assert progress_line(listener) == f"⠴ round 3/7 {HALF} 2 of 4 clients 0:00:04 0:00:04"
    listener(RoundStarted(4, 4))
    listener(ClientReplied(1))
    assert progress_line(listener) == f"⠴ round 4/7 {'━' * 6:24} 1 of 4 clients 0:00:00 -:--:--"
    listener(StageStarted("attacking"))
    listener(AttackProgressed("pgd[5]", 1000, 3000))
    clock.now = 16
    listener(AttackProgressed("pgd[5]", 2000, 2000))
    assert progress_line(listener) == f"⠋ pgd[5] {HALF} 2,000 passes 0:00:10 0:00:20"


def test_the_progress_line_has_the_time_left_of_the_whole_run(tmp_path):
    (tmp_path / "experiment.toml").write_text(
        "audit.enabled = false\ndistillation.enabled = false\nexport.enabled = false"
    )
    figures = {"rounds": 7, "evaluations": 7, "workers": 1, "step-seconds": 0.1}
    figures |= {"training-seconds": 8.0, "evaluation-seconds": 2.0}
    clock = Clock()
    listener = listener_on(io.StringIO(), clock, terminal=True)
    listener(StudyStarted("a", str(tmp_path), 7, "about it"))
    listener(ForecastMade("", figures, ()))
    listener(RoundStarted(1, 4))
    assert progress_line(listener).endswith("about 70.0 s left")
    clock.now = 30
    assert progress_line(listener).endswith("about 40.0 s left")


def test_the_progress_line_is_gone_at_the_end_and_a_pipe_has_none():
    clock = Clock()
    stream = io.StringIO()
    with listener_on(stream, clock, terminal=True) as listener:
        assert listener.progress.live.is_started
        assert "starting" in plain(stream.getvalue())
    assert not listener.progress.live.is_started
    assert stream.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # cursor shown, line taken away
    with listener_on(stream, clock, terminal=True) as listener:
        listener(study_finished({**RESULT, "status": "stopped"}))
        assert not listener.progress.live.is_started
    assert shown(RoundStarted(3, 10), ClientReplied(1), AttackProgressed("pgd", 1, 9)) == ""


FAILURES = [
    {"partition": number, "reason": f"Traceback (most recent call last):\n  x\nValueError: [no] {number}"}
    for number in range(4)
]
BROKEN = {
    **RECORD,
    "clean": None,
    "robust": {},
    "defence": {"valid": False, "attack-failures": FAILURES},
    "kept": "no [reply]",
    "clients": {**RECORD["clients"], "failures": FAILURES},
}


@pytest.mark.parametrize(
    ("event", "pipe", "screen"),
    [
        (
            StudyStarted("a[b]", "/f/[x]", 7, "about [it]", ("mind [x]", "and y"), ("the audit",)),
            "a[b]  about [it]\nrun folder: /f/[x]\nmind [x]\nand y\n",
            "<1>a[b]<0>  about [it]\nrun folder: /f/[x]\n<33>mind [x]<0>\n<33>and y<0>\n",
        ),
        (StageStarted("loading [data]"), "loading [data] ...\n", ""),
        (ForecastMade("about [1] min", {}, ()), "about [1] min\n", "<2>about [1] min<0>\n"),
        (StudyResumed(2), "resumed after round 2\n", "resumed after round 2\n"),
        (RoundStarted(3, 10), "", ""),
        (ClientReplied(1, "failed"), "", ""),
        (AttackProgressed("pgd", 1, 9), "", ""),
        (
            CheckFinished(FindingRecord(outcome="failed", check="c[1]", figure="f[2]")),
            "  failed  c[1]: f[2]\n",
            "  <31>failed<0>  c[1]: f[2]\n",
        ),
        (
            round_finished({**RECORD, "clean": None, "robust": {}, "clients": {}}),
            "round 3/0  1.2 s\n",
            "round 3/0  1.2 s\n",
        ),
        (
            round_finished({**RECORD, "clean": None, "robust": {"[b]": {"1": CLEAN}}, "clients": {}}),
            "round 3/0  [b] 1: 73.1%  1.2 s\n",
            "round 3/0  [b] 1: 73.1%  1.2 s\n",
        ),
        (
            round_finished(BROKEN),
            "round 3/0  9/10 clients  loss 0.500  invalid: the attack failed  1.2 s\n"
            "    the attack of client 0 failed: ValueError: [no] 0\n"
            "    the attack of client 1 failed: ValueError: [no] 1\n"
            "    the attack of client 2 failed: ValueError: [no] 2\n"
            "    the global model stays as it was: no [reply]\n"
            "    client 0 left out: ValueError: [no] 0\n"
            "    client 1 left out: ValueError: [no] 1\n"
            "    client 2 left out: ValueError: [no] 2\n",
            "round 3/0  9/10 clients  loss 0.500  invalid: the attack failed  1.2 s\n"
            "<31>    the attack of client 0 failed: ValueError: [no] 0<0>\n"
            "<31>    the attack of client 1 failed: ValueError: [no] 1<0>\n"
            "<31>    the attack of client 2 failed: ValueError: [no] 2<0>\n"
            "<33>    the global model stays as it was: no [reply]<0>\n"
            "<33>    client 0 left out: ValueError: [no] 0<0>\n"
            "<33>    client 1 left out: ValueError: [no] 1<0>\n"
            "<33>    client 2 left out: ValueError: [no] 2<0>\n",
        ),
        (
            study_finished({**RESULT, "status": "failed", "rounds": [RECORD]}),
            "the run failed after round 1; what was measured is in its folder\n",
            "<33>the run failed after round 1; what was measured is in its folder<0>\n",
        ),
    ],
)
def test_what_is_said_of_every_event(event, pipe, screen):
    assert said(event) == pipe
    # <33> stands for the terminal's sequence of that colour.
    assert said(event, terminal=True) == re.sub(r"<(\d+)>", "\x1b[\\1m", screen)


def test_the_end_of_a_run_in_order():
    card = {
        "schema": 2,
        "verdict": {"word": "robust", "sentence": "it [really] holds", "deciding": []},
        "threat": {"norm": "Linf", "epsilon": "0.01"},
    }
    weak = {**card, "verdict": {"word": "broken", "sentence": "it does not", "deciding": ["pgd"]}}
    result = {
        **RESULT,
        "audit": card,
        "student": {"name": "small", "clean": CLEAN, "robust": {}, "audit": weak},
        "dataset": {
            "name": "d",
            "labels": ["[a]", "b"],
            "samples": {"test": 12},
            "counts": {"test": [12, 0]},
        },
        "tolerance": {"clients": 2, "source": "given", "malicious": 2, "probability-of-more": 0.0},
    }
    text = said(study_finished(result))
    assert text.startswith("\nbreast: d, 12 test images, seed 7")
    assert text.partition("AUC 0.500.")[2].lstrip(" ") == (
        "\n\n"
        "all test images are '[a]': balanced accuracy and AUC are not measured\n"
        "only 12 test images: their figures have wide intervals\n"
        "defence: The rule is given 2 malicious clients to tolerate, by the study. No round samples more.\n"
        "\n"
        "audit: robust at Linf, epsilon 0.01: it [really] holds\n"
        "audit of the student: broken at Linf, epsilon 0.01: it does not (pgd)\n"
    )
    coloured = said(study_finished(result), terminal=True)
    assert "\x1b[33monly 12 test images: their figures have wide intervals\x1b[0m\n" in coloured
    assert "\naudit: \x1b[1;32mrobust\x1b[0m at" in coloured
    assert "\naudit of the student: \x1b[1;31mbroken\x1b[0m at" in coloured


def test_the_end_of_a_run_has_an_empty_line_before_each_table():
    file = {
        "file": "s.tflite",
        "bytes": 1000,
        "metrics": CLEAN,
        "agreement": 1.0,
        "latency_ms": {"p50": 1.0, "p95": 2.0, "threads": 1},
    }
    lines = [
        line.rstrip()
        for line in said(study_finished({**RESULT, "student": {}, "export": [file]})).split("\n")
    ]
    place = lines.index("exported student")
    assert lines[0] == lines[place - 1] == ""
    assert lines[place - 2].endswith("AUC 0.500.")
    assert lines[-3:] == ["Agreement is with Keras; latency at batch 1, threads: 1.", "", ""]
    # Without audit, defence or cautions nothing follows.
    assert said(study_finished(RESULT)).rstrip(" \n").endswith("AUC 0.500.")


def left(*records, rounds: int = 10, after: tuple[str, ...] = ()) -> list[str]:
    """Return what the lines of rounds say of the time left."""
    started = StudyStarted("b", "/f", rounds, "about it", after=after)
    bare: dict[str, Any] = {"clean": None, "robust": {}, "clients": {}}
    text = said(started, *(round_finished({**bare, **record}) for record in records))
    return [line.partition(" s")[2] for line in text.splitlines() if line.startswith("round")]


def test_the_time_left_whole():
    first, second = {"round": 1, "seconds": 3.0}, {"round": 2, "seconds": 6.0}
    assert left(first, second) == ["  about 27.0 s of rounds left", "  about 36.0 s of rounds left"]
    assert left(first, after=("the audit", "the export")) == [
        "  about 27.0 s of rounds left, then the audit, the export"
    ]
    assert left({"round": 9, "seconds": 3.0}) == ["  about 3.0 s of rounds left"]
    assert left({"round": 10, "seconds": 3.0}, {"round": 11, "seconds": 3.0}) == ["", ""]
    assert left({"round": 1, "seconds": 0.0}) == [""], "nothing is known of a round without a time"
    assert left({"round": 1, "seconds": 0.0}, second) == ["", "  about 24.0 s of rounds left"]


class Left(io.StringIO):
    """A pipe whose reader leaves after the first line."""

    def write(self, text: str) -> int:
        if self.getvalue():
            raise BrokenPipeError
        return super().write(text)


def test_a_reader_who_leaves_ends_the_output_and_not_the_run(monkeypatch):
    silenced = []
    monkeypatch.setattr("fedrobust.terminal.screen.silence_output", lambda: silenced.append(True))
    screen = Screen(file=Left(), width=100)
    for line in ("one", "two", "three"):
        screen.print(line)
    assert screen.file.getvalue() == "one\n"
    assert screen.quiet is True
    assert silenced == [True]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "width"), [(io.StringIO, 120), (Terminal, 77)])
def test_standard_output_is_as_wide_as_the_terminal_or_wide_enough_for_tables(monkeypatch, stream, width):
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "77")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr("sys.stdout", stream())
    console = standard_output()
    assert isinstance(console, Screen)
    assert console.width == width
    console.print("round 3 of 'x' :smile:")
    assert console.file.getvalue() == "round 3 of 'x' :smile:\n", "no word is coloured or becomes a picture"
    listener = ConsoleListener()
    assert isinstance(listener.console, Screen)
    assert listener.console.width == width
    assert listener.live is (width == 77)


def test_a_listener_knows_the_run_folder_as_soon_as_the_study_started():
    listener = listener_on(io.StringIO(), terminal=False)
    assert listener.folder == ""
    listener(StudyStarted("a", "/f/[x]", 7, "about it"))
    assert listener.folder == "/f/[x]"
