"""The paper's tables: that they are written from the records, and from nothing else."""

import csv
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/paper"
NAMES = (
    "cells",
    "check_names",
    "claims",
    "collect",
    "figures",
    "ledger",
    "pictures",
    "tables",
    "whole_split",
    "write",
)


@pytest.fixture(scope="module")
def write():
    sys.path.insert(0, str(HERE))
    import write

    yield write
    sys.path.remove(str(HERE))
    for name in NAMES:
        sys.modules.pop(name, None)


def test_the_page_is_what_the_program_writes_from_the_records(write):
    assert (HERE / "RESULTS.md").read_text(encoding="utf-8") == write.page(write.records()), (
        "run python experiments/paper/write.py"
    )


def test_a_page_is_not_written_whose_words_the_records_do_not_carry(write):
    """Each claim holds of the records, and none of models that all score alike."""
    import claims

    cells = {one["cell"]: one for each in write.records().values() for one in each}
    assert all(claim.holds(cells) for claim in claims.CLAIMS)
    alike = json.loads(json.dumps(cells))
    for one in (one for one in alike.values() if one["status"] == "finished"):
        half = {"correct": one["n"] // 2, "balanced": 0.55, "predicted": [3] * one["classes"]}
        one["clean"] = {**one["clean"], **half}
        one["fgsm"] = {epsilon: {"correct": one["n"] // 2, "balanced": 0.55} for epsilon in one["fgsm"]}
        one["audit"] = {**(one["audit"] or {"n": 1}), "word": "not proven", "standing": 0}
    carried = [claim.words for claim in claims.CLAIMS if claim.holds(alike)]
    assert not carried, "no claim holds of models that are all the same"
    with pytest.raises(
        claims.UnsupportedClaimError, match=r"do not support .*FGSM breaks(.|\n)*do not support .*easy set"
    ):
        claims.check(write.page(write.records()), alike)


@pytest.mark.parametrize(
    ("file", "cell", "change", "words"),
    [
        (
            "done-right",
            "done-right/breastmnist/mobilenetv2-file/plain-10-epochs/seed-0",
            {"fgsm": {"0.005": {"correct": 101, "balanced": 0.5}}},
            "little of it for MobileNetV2",
        ),
        (
            "federated",
            "federated/breastmnist/mobilenetv2-file/plain/iid/poisoned/mean/seed-1",
            {"clean": {"balanced": 0.95}},
            "not above the constant classifier",
        ),
        (
            "done-right",
            "done-right/breastmnist/resnet50-random/plain/seed-0",
            {"audit": {"word": "robust"}},
            "No other model",
        ),
        (
            "batchnorm",
            "batchnorm/breastmnist/resnet50-random/plain/momentum-0.99-average/undersample-false-augment-0/seed-4",
            {"clean": {"predicted": [1, 155]}},
            "in six of six seeds",
        ),
    ],
)
def test_one_record_that_changes_stops_the_page(write, file, cell, change, words):
    from claims import UnsupportedClaimError

    found = write.records()
    (one,) = (one for one in found[file] if one["cell"] == cell)
    for part, values in change.items():
        one[part] = {**one[part], **values}
    with pytest.raises(UnsupportedClaimError, match=f"do not support .*{words}"):
        write.page(found)


def test_the_lines_of_figures_are_what_the_program_writes(write):
    text = write.ledger(write.records(), write.Printed())
    assert write.FIGURES.read_text(encoding="utf-8") == text, "run python experiments/paper/write.py"
    lines = list(csv.DictReader(text.splitlines()))
    finished = {
        one["cell"] for each in write.records().values() for one in each if one["status"] == "finished"
    }
    assert {line["cell"] for line in lines} == finished
    assert all(float(line["low"]) <= float(line["accuracy"]) <= float(line["high"]) for line in lines)


def test_every_finished_cell_stands_in_a_table(write):
    page = write.page(write.records())
    for one in (one for each in write.records().values() for one in each if one["status"] == "finished"):
        name = one["cell"]
        if name.startswith("batchnorm/"):
            continue
        shown = f"{name.rpartition('-')[0]}-*" if name.startswith("federated/") else name
        assert f"`{shown}`" in page
    table = write.batchnorm_table(write.records()["batchnorm"])
    cells = [one for one in write.records()["batchnorm"] if one["status"] == "finished"]
    assert sum(row.count(" / ") // 3 for row in table.splitlines()) == len(cells)


def test_the_pictures_can_be_drawn_from_the_records(write, tmp_path):
    write.pictures(write.records(), tmp_path)
    for path in (HERE / "pictures").glob("*.svg"):
        drawn = (tmp_path / path.name).read_text(encoding="utf-8")
        assert drawn.startswith("<svg")
        assert drawn.count("<path") > 20


def test_a_panel_holds_what_its_name_says_even_if_pairs_are_missing(write):
    from pictures import panels

    pairs = [("BreastMNIST", "ResNet50"), ("PneumoniaMNIST", "DenseNet121"), ("OCTMNIST", "MobileNetV2")]
    rows = [{"set": one, "model": other, "value": place} for place, (one, other) in enumerate(pairs)]
    drawn = panels(rows, {"mark": "point"})["concat"]
    assert [(one["title"], one["data"]["values"]) for one in drawn] == [
        (", ".join(pair), [row]) for pair, row in zip(pairs, rows, strict=True)
    ]


def test_every_cell_has_a_name_and_a_record(write):
    from cells import FILES, name_of, named, paper

    sweep = paper()
    assert set(named(sweep)) == {one["cell"] for each in write.records().values() for one in each}
    assert {name.split("/")[0] for name in named(sweep)} == set(FILES)
    assert all(cell.experiment.name == name_of(cell.experiment).split("/")[0] for cell in sweep.cells)


def test_cheap_cells_come_first(write):
    from cells import cost, paper

    costs = [cost(cell.experiment) for cell in paper().cells]
    assert costs == sorted(costs)


def test_counts_and_intervals_are_consistent(write):
    for one in (one for each in write.records().values() for one in each if one["status"] == "finished"):
        assert sum(one["clean"]["predicted"]) == one["n"]
        assert 0 <= one["clean"]["correct"] <= one["n"]
        low, high = one["clean"]["balanced-interval"]
        assert low <= one["clean"]["balanced"] <= high
        if one["audit"]:
            # What stands against every attack stands against PGD alone.
            assert one["audit"]["standing"] <= one["audit"]["pgd"]["0.005"] <= one["audit"]["right"]


def test_a_mark_says_on_which_side_the_paper_is(write):
    from figures import course, mark, seeds

    assert [mark(k, 156, 0.7885) for k in (123, 150, 100)] == ["●", "▲", "▼"]
    names = ["0.001", "0.002"]
    assert [course(counts, names, 156) for counts in ([131, 111, 88], [123, 92, 93], [88, 87, 87])] == [
        "",
        "rises at 0.002",
        "hardly falls",
    ]
    assert seeds([0.8, 0.9, 1.0]) == "90.0 (65.2–100.0)"


def test_records_are_made_of_a_run_folder(write, tmp_path):
    from cells import paper
    from collect import record

    cell = next(cell for cell in paper().cells if cell.experiment.name == "batchnorm")
    assert record("x", cell, tmp_path, "")["status"] == "not run"
    assert record("x", cell, tmp_path, "... could not be downloaded ...")["status"] == "needs download"
    assert record("x", cell, tmp_path, "w.h5: no such file; searched /")["status"] == "needs download"
    assert record("x", cell, tmp_path, "Traceback\nBoom")["reason"] == "Boom"
    printed = json.loads((HERE / "table3.json").read_text(encoding="utf-8"))
    assert len(printed["rows"]) == 16
    assert all(len(row["percent"]) == 6 for row in printed["octmnist-percent"])


def test_a_finished_record_stays_unless_its_cell_has_changed(write):
    from collect import kept

    known = {"cell": "x", "status": "finished", "hash": "a"}
    for found in ({"status": "failed"}, {"status": "needs download"}, {"status": "not run"}):
        assert kept(found, known, "a") is known
        assert kept(found, known, "") is known, "its data are not here: nobody can tell"
        assert kept(found, known, "b") is found
    finished = {"status": "finished", "hash": "b"}
    assert kept(finished, known, "b") is finished
    waiting = {"status": "needs download"}
    assert kept({"status": "not run"}, waiting, "a") is waiting
    assert kept(finished, None, "b") is finished


def test_records_are_of_the_cells_as_the_study_files_have_them(write, real_data):
    from cells import hash_of, named, paper

    cells = named(paper())
    for one in (one for each in write.records().values() for one in each if one["status"] == "finished"):
        assert hash_of(cells[one["cell"]]) == one["hash"], (
            f"{one['cell']}: its study has changed since it was run"
        )


def test_records_have_the_audits_present_names_of_checks(write):
    """A card of today names its checks as tables and the control's outcome expect."""
    from check_names import CONTROL, PRESENT, SHORT, modern

    audits = [one["audit"] for each in write.records().values() for one in each if one.get("audit")]
    named = {check for audit in audits for check in (*audit["failed"], *audit["deciding"])}
    page = (HERE.parents[1] / "docs/audit.md").read_text(encoding="utf-8")
    assert not named & set(PRESENT)
    assert all(f"| {check} |" in page for check in {*named, *PRESENT.values(), *SHORT})
    assert {audit["control"] for audit in audits} == {"passed", "failed", "not applicable"}
    assert all((audit["control"] == "failed") == (CONTROL in audit["failed"]) for audit in audits)
    assert all(modern(audit) == audit for audit in audits), "records written today are read as they are"


def test_no_model_audited_on_part_of_the_test_images_is_called_robust(write):
    """As in an audit of today; records of earlier audits passed this check without an official test set."""
    from figures import ANEW, verdict
    from whole_split import CHECK, applied

    finished = [one for each in write.records().values() for one in each if one["status"] == "finished"]
    audits = [
        (figures["audit"], one["n"])
        for one in finished
        for figures in (one, one.get("student") or {})
        if figures.get("audit")
    ]
    assert all((audit["n"] != n) == (CHECK in audit["failed"]) for audit, n in audits)
    assert [audit["n"] for audit, _ in audits if audit["word"] == "robust"] == [624]
    assert all(
        CHECK in audit["deciding"] for audit, n in audits if audit["n"] != n and audit["word"] == "not proven"
    )
    assert sum(ANEW in verdict(audit) for audit, _ in audits) == 3, (
        "MedNIST's; on DermaMNIST weightier checks decide"
    )
    assert all(applied(one) == one for one in finished), "a record of an audit of today stays"


def test_the_page_of_attacks_counts_as_many_robust_models_as_the_records(write):
    from claims import WHOLE, robust_words

    cells = {one["cell"]: one for each in write.records().values() for one in each}
    assert robust_words(cells) == [WHOLE]
    page = " ".join((HERE.parents[1] / "docs/evasion.md").read_text(encoding="utf-8").split())
    audit = cells[WHOLE]["audit"]
    assert f"one is called robust at 0.005: {audit['standing']} of its {audit['n']} test images" in page
