"""What is shown of a run, letter by letter: lines and tables of made-up figures."""

import io
from typing import Any

import pytest
from rich.console import Console

from fedrobust.api import list_datasets
from fedrobust.runs.codec import read
from fedrobust.runs.record import CardRecord, FindingRecord, RoundRecord, RunRecord
from fedrobust.terminal.audit import attack_table, check_line, verdict_line
from fedrobust.terminal.certificates import lines
from fedrobust.terminal.data import data_sets_table
from fedrobust.terminal.run import round_line
from fedrobust.terminal.screen import say
from fedrobust.terminal.summary import limits, summary_tables


def run(result: dict[str, Any]) -> RunRecord:
    return RunRecord.read({"schema": 1, **result})


CLEAN: dict[str, Any] = {
    "n": 156,
    "correct": 120,
    "accuracy": 0.76923,
    "balanced_accuracy": 0.70444,
    "auc": 0.81256,
    "recall": [0.5, 0.9],
    "majority_rate": 0.73077,
    "interval": {"accuracy": [0.69712, 0.82856]},
}
ATTACKED = {**CLEAN, "correct": 12, "accuracy": 0.07692, "interval": {"accuracy": [0.04449, 0.12976]}}
ONE_CLASS = {**CLEAN, "recall": [None, 0.9]}
RECORD: dict[str, Any] = {
    "round": 3,
    "clean": None,
    "robust": {},
    "clients": {"sampled": 10, "trained": 9, "loss": 0.51249},
    "seconds": 1.26,
}
RESULT: dict[str, Any] = {
    "schema": 1,
    "name": "study [a]",
    "experiment": {"seed": 7},
    "dataset": {"name": "breast", "labels": ["a", "b", "c"], "samples": {"test": 156}},
    "model": {"name": "mobile[net]"},
    "model-evaluation": {"clean": CLEAN, "robust": {"pgd[5]": {"0.005": ATTACKED, "0.01": ONE_CLASS}}},
    "student": None,
    "export": [],
}
FILE = {
    "file": "student-int8.tflite",
    "bytes": 123456,
    "metrics": {**CLEAN, "accuracy": 0.75},
    "agreement": 0.98765,
    "latency_ms": {"p50": 1.234, "p95": 2.345, "threads": 4},
}
METRICS: dict[str, Any] = {**CLEAN, "figures": {"disease missed": {"counts": [7, 42]}}}
COSTS = {"epsilon-value": 0.01, "broken": 1, "queries": 1, "gradients": 1, "seconds": 1}
SEVERAL = [
    {**COSTS, "metrics": METRICS, "attack": "pgd[5]", "epsilon": "0.005"},
    {**COSTS, "metrics": CLEAN, "attack": "pgd[5]", "epsilon": "0.01"},
    {**COSTS, "metrics": {**METRICS, "auc": None}, "attack": "square", "epsilon": "0.01"},
]
UNDER_ATTACK: dict[str, Any] = {
    "model": {"name": "net[work]"},
    "data": {"n": 156, "name": "breast"},
    "threat": {"norm": "Linf", "space": "pixels of [0, 1]"},
    "seed": 3,
    "clean": CLEAN,
    "attacked": SEVERAL,
}


def rendered(*tables, width: int = 100) -> str:
    """Return tables as a pipe of `width` columns gets them, without spaces at the ends of lines."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=False)
    for table in tables:
        console.print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().split("\n"))


UNDER_ATTACK_TABLE = """\
net[work]: 156 images of breast, Linf, pixels of [0, 1]

                   right    acc.        95 %    bal.     AUC   missed
 ─────────────────────────────────────────────────────────────────────
  clean          120/156   76.9%   69.7-82.9   70.4%   0.813        -

  pgd[5] 0.005   120/156   76.9%   69.7-82.9   70.4%   0.813     7/42
  pgd[5] 0.01    120/156   76.9%   69.7-82.9   70.4%   0.813        -

  square 0.01    120/156   76.9%   69.7-82.9   70.4%       -     7/42

Always predicting the most frequent class: accuracy 73.1%, balanced
accuracy 50.0%, AUC 0.500. Missed: diseased images that are classified
as healthy.
"""
MODEL_TABLE = """\
study [a]: breast, 156 test images, seed 7

                          right    acc.        95 %    bal.     AUC
 ───────────────────────────────────────────────────────────────────
  mobile[net], global   120/156   76.9%   69.7-82.9   70.4%   0.813
    pgd[5] 0.005         12/156    7.7%    4.4-13.0   70.4%   0.813
    pgd[5] 0.01         120/156   76.9%   69.7-82.9       -       -

Always predicting the most frequent class: accuracy 73.1%, balanced
accuracy 50.0%, AUC 0.500.
"""
STUDENT_TABLES = """\
study [a]: breast, 156 test images, seed 7

                          right    acc.        95 %    bal.     AUC
 ───────────────────────────────────────────────────────────────────
  mobile[net], global   120/156   76.9%   69.7-82.9   70.4%   0.813
    pgd[5] 0.005         12/156    7.7%    4.4-13.0   70.4%   0.813
    pgd[5] 0.01         120/156   76.9%   69.7-82.9       -       -

  small[net], student   120/156   76.9%   69.7-82.9   70.4%   0.813

Always predicting the most frequent class: accuracy 73.1%, balanced
accuracy 50.0%, AUC 0.500.
exported student

  file                    size    acc.     AUC   agree.       p50       p95
 ───────────────────────────────────────────────────────────────────────────
  student-int8.tflite   123 kB   75.0%   0.813    98.8%   1.23 ms   2.35 ms
  student-int8.tflite     2 kB   76.9%       -    98.8%   1.23 ms   2.35 ms

Agreement is with Keras; latency at batch 1, threads: 4.
"""


def test_the_table_of_attacks_whole():
    assert rendered(attack_table(UNDER_ATTACK)) == UNDER_ATTACK_TABLE


def test_the_table_of_a_run_without_student_whole():
    assert rendered(*summary_tables(run(RESULT))) == MODEL_TABLE


def test_the_tables_of_a_run_with_student_and_files_whole():
    student = {"name": "small[net]", "clean": CLEAN, "robust": {}}
    second = {**FILE, "bytes": 1600, "metrics": {**CLEAN, "auc": None}}
    result = {**RESULT, "student": student, "export": [FILE, second]}
    assert rendered(*summary_tables(run(result))) == STUDENT_TABLES


def test_the_names_of_exported_files_are_whole_in_80_columns():
    file = {**FILE, "file": "student.float32.tflite"}
    text = rendered(*summary_tables(run({**RESULT, "export": [file]})), width=80)
    assert "  student.float32.tflite   123 kB   75.0%" in text
    timed = [{**file, "latency_ms": {"p50": 1.0, "p95": 2.0, "threads": threads}} for threads in (2, 1, None)]
    assert "threads: 1, 2." in rendered(*summary_tables(run({**RESULT, "export": timed})))


def test_the_file_to_take_and_alarms_are_said_below_the_files():
    files = [
        {**FILE, "alarm": "It changes 30 of 624 answers."},
        {**FILE, "file": "s.dynamic.tflite", "taken": True},
    ]
    text = " ".join(rendered(*summary_tables(run({**RESULT, "export": files}))).split())
    assert text.endswith("It changes 30 of 624 answers. Take s.dynamic.tflite.")


def test_long_settings_are_folded_and_numbers_stay_whole():
    name = "auto-pgd:restarts=5,steps=100,loss=difference-of-logits"
    attacked = [{**SEVERAL[0], "attack": name, "epsilon": "0.01"}]
    text = rendered(attack_table({**UNDER_ATTACK, "attacked": attacked}), width=76)
    rows = [line for line in text.split("\n") if "120/156" in line]
    assert [row.split()[-6:] for row in rows] == [
        ["120/156", "76.9%", "69.7-82.9", "70.4%", "0.813", "-"],
        ["120/156", "76.9%", "69.7-82.9", "70.4%", "0.813", "7/42"],
    ]
    folded = "".join(line[2:19].strip() for line in text.split("\n")[text.split("\n").index(rows[1]) :][:5])
    assert folded.startswith(name), text


def test_numbers_that_find_no_room_are_cut_and_marked():
    """A cut number shows that it is cut; half of one on a second line would be read as a number."""
    text = rendered(*summary_tables(run({**RESULT, "export": [FILE]})), width=46)
    first, second = (line for line in text.split("\n") if "76.9%" in line and "pgd" not in line)
    assert "69.7-82…" in first
    assert "69.7-82…" in second


@pytest.mark.parametrize(
    ("recall", "shown"),
    [
        ([None, 0.9], ["-", "-"]),
        ([None, 0.9, None], ["-", "-"]),
        ([0.5, 0.9], ["70.4%", "0.813"]),
        ([None, 0.5, 0.9], ["70.4%", "0.813"]),
        ([None, None], ["70.4%", "0.813"]),
        ([0.9], ["70.4%", "0.813"]),
        (None, ["70.4%", "0.813"]),
    ],
)
def test_balanced_accuracy_and_auc_need_two_classes(recall, shown):
    clean = {**CLEAN, "recall": recall}
    text = rendered(*summary_tables(run({**RESULT, "model-evaluation": {"clean": clean, "robust": {}}})))
    row = next(line for line in text.split("\n") if "global" in line)
    assert row.split()[-2:] == shown


def test_figures_that_are_unknown_are_dashes_each_for_itself():
    clean = {**CLEAN, "balanced_accuracy": None}
    text = rendered(*summary_tables(run({**RESULT, "model-evaluation": {"clean": clean, "robust": {}}})))
    assert "      -   0.813" in text
    clean = {**CLEAN, "auc": None}
    text = rendered(*summary_tables(run({**RESULT, "model-evaluation": {"clean": clean, "robust": {}}})))
    assert "70.4%     -\n" in text
    old = {key: value for key, value in CLEAN.items() if key != "recall"}
    text = rendered(*summary_tables(run({**RESULT, "model-evaluation": {"clean": old, "robust": {}}})))
    assert "70.4%   0.813" in text


TRAINED = "9/10 clients  loss 0.512"


@pytest.mark.parametrize(
    ("changed", "rounds", "line"),
    [
        ({}, 9, f"round 3/9  {TRAINED}  1.3 s"),
        ({}, 100, f"round   3/100  {TRAINED}  1.3 s"),
        ({"round": 100}, 100, f"round 100/100  {TRAINED}  1.3 s"),
        ({"clients": {}, "seconds": 61.04}, 9, "round 3/9  61.0 s"),
        ({"clients": {"sampled": 4, "trained": 0, "loss": None}}, 9, "round 3/9  0/4 clients  1.3 s"),
        (
            {"clients": {"sampled": 4, "trained": 4, "loss": 0.0}},
            9,
            "round 3/9  4/4 clients  loss 0.000  1.3 s",
        ),
        (
            {"clean": CLEAN},
            9,
            f"round 3/9  {TRAINED}  accuracy 76.9% (majority 73.1%)  balanced 70.4%  AUC 0.813  1.3 s",
        ),
        (
            {"clean": ONE_CLASS},
            9,
            f"round 3/9  {TRAINED}  accuracy 76.9% (majority 73.1%)  balanced -  AUC -  1.3 s",
        ),
        (
            {"robust": {"fgsm": {"0.005": CLEAN, "0.007": CLEAN, "0.01": ATTACKED}, "pgd": {"0.02": CLEAN}}},
            9,
            f"round 3/9  {TRAINED}  fgsm 0.01: 7.7%  pgd 0.02: 76.9%  1.3 s",
        ),
        ({"defence": None, "attack-success": None}, 9, f"round 3/9  {TRAINED}  1.3 s"),
        ({"defence": {}}, 9, f"round 3/9  {TRAINED}  1.3 s"),
        ({"defence": {"true-positive-rate": None}}, 9, f"round 3/9  {TRAINED}  1.3 s"),
        (
            {"defence": {"true-positive-rate": 0.0}},
            9,
            f"round 3/9  {TRAINED}  attackers left out: 0%  1.3 s",
        ),
        (
            {"defence": {"valid": True, "true-positive-rate": 0.667}, "attack-success": {"rate": 0.1234}},
            9,
            f"round 3/9  {TRAINED}  attackers left out: 67%  attack success 12.3%  1.3 s",
        ),
        ({"attack-success": {"rate": 0.0}}, 9, f"round 3/9  {TRAINED}  attack success 0.0%  1.3 s"),
        (
            {"defence": {"valid": False, "true-positive-rate": 0.5}, "attack-success": {"rate": 0.5}},
            9,
            f"round 3/9  {TRAINED}  invalid: the attack failed  1.3 s",
        ),
    ],
)
def test_the_line_of_a_round_whole(changed, rounds, line):
    assert round_line(RoundRecord.read({**RECORD, **changed}), rounds) == line


@pytest.mark.parametrize(
    ("outcome", "mark"),
    [
        ("passed", "[green]passed[/]"),
        ("failed", "[red]failed[/]"),
        ("not applicable", "[dim]-     [/]"),
        ("[odd]", "\\[odd]"),
    ],
)
def test_the_line_of_a_check_whole(outcome, mark):
    finding = {"outcome": outcome, "check": "gradients are [not] masked", "figure": "gap [x] of 3.0"}
    line = check_line(read(FindingRecord, finding))
    assert line == f"  {mark}  gradients are \\[not] masked: gap \\[x] of 3.0"
    bare = check_line(read(FindingRecord, {**finding, "figure": ""}))
    assert bare == f"  {mark}  gradients are \\[not] masked"


@pytest.mark.parametrize(
    ("word", "deciding", "line"),
    [
        ("robust", [], "[bold green]robust[/] at Linf, epsilon 0.01: it \\[really] holds"),
        (
            "not proven",
            ["a", "b[c]"],
            "[bold yellow]not proven[/] at Linf, epsilon 0.01: it \\[really] holds (a, b\\[c])",
        ),
        ("broken", ["a"], "[bold red]broken[/] at Linf, epsilon 0.01: it \\[really] holds (a)"),
        ("b[a]d", [], "[bold red]b\\[a]d[/] at Linf, epsilon 0.01: it \\[really] holds"),
    ],
)
def test_the_line_of_a_verdict_whole(word, deciding, line):
    verdict = {"word": word, "sentence": "it [really] holds", "deciding": deciding}
    assert (
        verdict_line(read(CardRecord, {"verdict": verdict, "threat": {"norm": "Linf", "epsilon": "0.01"}}))
        == line
    )


def test_the_threat_of_a_verdict_is_not_taken_for_markup():
    verdict = {"word": "robust", "sentence": "it holds", "deciding": []}
    line = verdict_line(
        read(CardRecord, {"verdict": verdict, "threat": {"norm": "L[inf]", "epsilon": "0.01"}})
    )
    assert line == "[bold green]robust[/] at L\\[inf], epsilon 0.01: it holds"


def cautions(dataset: dict[str, Any], **more: Any) -> list[str]:
    return limits(run({"dataset": dataset, **more}))


def test_a_constant_classifier_has_one_balanced_accuracy_whatever_is_printed():
    """Of images of one class none: it would be that class's recall."""
    only = {**CLEAN, "recall": [None, 1.0], "majority_rate": 1.0}
    said = "accuracy 100.0%; all images are of one class: balanced accuracy and AUC are not measured"
    under_attack = attack_table(UNDER_ATTACK | {"clean": only}).caption
    assert said in under_attack
    assert said in summary_tables(run(RESULT | {"model-evaluation": {"clean": only}}))[0].caption
    certificate = {
        "unsmoothed": {"value": 1.0}, "smoothed": {"value": 1.0}, "abstains": {"value": 0.0}, "notes": [],
        "majority": {"value": 1.0}, "data": {"labels": ["a", "b", "c"]}, "images": [{"label": 1}, {"label": 1}],
    }  # fmt: skip
    one = "accuracy 100.0%; all images are of one class: balanced accuracy is not measured."
    assert lines(certificate)[-1].endswith(one)
    two = certificate | {"majority": {"value": 0.5}, "images": [{"label": 1}, {"label": 0}]}
    assert lines(two)[-1].endswith("accuracy 50.0%, balanced accuracy 50.0%.")


def test_limits_of_test_images_of_one_class():
    one = "all test images are 'b': balanced accuracy and AUC are not measured"
    assert cautions({"labels": ["a", "b"], "counts": {"test": [0, 1]}}) == [one]
    assert cautions({"labels": ["a", "b", "c"], "counts": {"test": [0, 90, 0]}}) == [one]
    assert cautions({"labels": ["a", "b"], "counts": {"test": [40, 90]}}) == []
    assert cautions({"labels": ["a", "b"], "counts": {"test": [0, 0]}}) == []
    assert cautions({"labels": ["a"], "counts": {"test": [90]}}) == []
    assert cautions({"labels": ["a", "b"], "counts": {"train": [0, 1]}}) == []
    # Folders of before the counts or the labels were recorded.
    assert cautions({"labels": ["a", "b"], "counts": None}) == []
    assert cautions({"counts": {"test": [0, 1]}}) == []
    assert cautions({"labels": ["a", "b"], "counts": {"test": [0, 1, 2]}}) == [one]


def test_clients_that_are_better_off_alone_are_told():
    each = [{"client": client} for client in range(5)]
    told = limits(run({"clients": {"clients": each, "worse": [1, 4]}}))
    assert told == ["the federation makes 2 of 5 clients worse than training alone: see the report"]
    assert limits(run({"clients": {"clients": each}})) == []


def test_limits_of_few_test_images():
    assert cautions({"samples": {"test": 29}}) == ["only 29 test images: their figures have wide intervals"]
    assert cautions({"samples": {"test": 0}}) == ["only 0 test images: their figures have wide intervals"]
    assert cautions({"samples": {"test": 30}}) == []
    assert cautions({"samples": {"train": 1}}) == []
    assert cautions({}) == limits(run({})) == limits(run({"dataset": None})) == []


def test_limits_stand_in_order_with_the_failed_attack_first():
    broken = {"valid": False, "attack-failures": [{"partition": 3, "reason": "ValueError: no class 7"}]}
    dataset = {"labels": ["a", "b"], "counts": {"test": [0, 12]}, "samples": {"test": 12}}
    assert cautions(dataset, rounds=[{"round": 1, "defence": broken}, {"round": 2}]) == [
        "the attack failed in 1 of 2 rounds (client 3: ValueError: no class 7): its figures do not measure the defence",
        "all test images are 'b': balanced accuracy and AUC are not measured",
        "only 12 test images: their figures have wide intervals",
    ]


@pytest.mark.parametrize(
    ("terminal", "text"),
    [
        (False, "one two three four five\n"),
        (True, "\x1b[33mone two three \x1b[0m\n\x1b[33mfour five\x1b[0m\n"),
    ],
)
def test_a_pipe_gets_whole_lines_and_a_terminal_lines_of_its_width(terminal, text):
    stream = io.StringIO()
    console = Console(
        file=stream, width=14, force_terminal=terminal, color_system="standard" if terminal else None
    )
    say(console, "one two three four five", style="yellow")
    assert stream.getvalue() == text


def test_unseen_sites_stand_below_the_global_model():
    text = rendered(*summary_tables(run({**RESULT, "unseen": {"Genf": {**CLEAN, "correct": 17, "n": 20}}})))
    assert "unseen site Genf" in text
    (line,) = [line for line in text.splitlines() if "Genf" in line]
    assert "17/20" in line


def test_a_central_baseline_stands_between_the_global_model_and_the_student():
    text = rendered(*summary_tables(run({**RESULT, "central": {**CLEAN, "correct": 17}})))
    lines = [line for line in text.splitlines() if "mobile[net]" in line]
    assert [line.split(",")[1].split()[0] for line in lines] == ["global", "central"]


def test_the_table_of_data_sets_fits_into_80_columns():
    names = [one["name"] for one in list_datasets()]
    text = rendered(data_sets_table(list_datasets()), width=80)
    assert [name for name in names if f"  {name} " not in text] == []
    assert "165466/23640/47280" in text
    assert "…" not in text
