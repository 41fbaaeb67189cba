"""Audited combinations of a sweep beside their control: paired by seed, the front, and what is never compared."""

import json
from dataclasses import replace

import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.figures.of_audited import figures_of_audits
from fedrobust.runs.record import RunRecord
from fedrobust.sweeps.audited import audited_tables
from fedrobust.sweeps.audited_frame import audited_frame
from fedrobust.sweeps.audited_section import audited_sections, limits, line
from fedrobust.sweeps.cell import Cell
from fedrobust.sweeps.figures import final_figures
from fedrobust.sweeps.page import render
from fedrobust.sweeps.results import Results
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.sweep import Sweep
from fedrobust.terminal.audited import audited_output

SCORES = {"balanced_accuracy": 0.8, "audited balanced_accuracy": 0.5}


def row(
    recipe,
    clean,
    robust,
    seed=0,
    defence="none",
    data="a",
    verdict="not robust",
    status="finished",
    **further,
):
    settings = {"data.name": data, "training.recipe": recipe, "model.defence": defence, "seed": seed}
    return Row(
        f"{recipe}-{defence}-{data}-{seed}",
        status,
        settings,
        {"data": {"name": data}, "training": {"recipe": recipe}, "model": {"defence": defence}, "seed": seed},
        {"balanced_accuracy": clean, "audited balanced_accuracy": robust, "audited images": 50.0, **further},
        "",
        "",
        "",
        verdict,
    )


def by_name(rows):
    (table,) = audited_tables(rows)
    return {one.name: one for one in table.combinations}


def test_gain_and_cost_are_paired_with_the_control_of_the_same_seed():
    plain = [row("plain", 0.9 - 0.1 * seed, 0.1 * seed, seed) for seed in (0, 1, 2)]
    pgd = [row("pgd", 0.88 - 0.1 * seed, 0.5 + 0.1 * seed, seed) for seed in (0, 1, 2)]
    found = by_name([*plain, *pgd])
    # Between seeds both move by 0.1; between the pairs nothing does.
    assert found["pgd"].gain.difference == pytest.approx(0.5)
    assert (found["pgd"].gain.low, found["pgd"].gain.high) == (pytest.approx(0.5), pytest.approx(0.5))
    assert found["pgd"].cost.difference == pytest.approx(0.02)
    assert found["plain"].gain is None


def test_no_interval_exceeds_the_scale():
    scores = [(0.99, 0.0), (1.0, 0.01), (0.9, 0.14)]
    rows = [row("pgd", *pair, seed) for seed, pair in enumerate(scores)]
    (section,) = audited_sections(rows)
    assert section.lines[0][1:3] == ("96.3 (seeds 90.0 to 100.0)", "5.0 (seeds 0.0 to 14.0)")
    found = audited_frame(rows).iloc[0]
    assert (found["robust low"], found["robust high"]) == (0.0, 0.14)


def test_a_seed_without_its_control_counts_in_the_mean_but_not_in_the_gain():
    found = by_name([row("plain", 0.9, 0.1), row("pgd", 0.9, 0.5), row("pgd", 0.9, 0.9, seed=1)])
    assert found["pgd"].robust == (0.5, 0.9)
    assert found["pgd"].gain.seeds == 1
    assert found["pgd"].gain.difference == pytest.approx(0.4)


def test_the_p_of_gains_is_corrected_for_their_number():
    noise = (0.0, 0.01, 0.02)
    rows = [row("plain", 0.9, 0.1, seed) for seed in (0, 1, 2)]
    rows += [row("pgd", 0.9, 0.5 + noise[seed], seed) for seed in (0, 1, 2)]
    alone = by_name(rows)["pgd"].gain
    rows += [row("fgsm", 0.9, 0.4 + noise[2 - seed], seed) for seed in (0, 1, 2)]
    assert by_name(rows)["pgd"].gain.adjusted == pytest.approx(2 * alone.adjusted)


def test_the_control_is_the_combination_with_the_most_defaults_the_first_of_several():
    rows = [row("pgd", 0.8, 0.5), row("plain", 0.9, 0.0), row("plain", 0.85, 0.1, defence="jpeg")]
    (table,) = audited_tables(rows)
    assert table.control == "plain"
    assert [one.name for one in table.combinations] == ["pgd", "jpeg", "plain"], "the most robust one first"
    (table,) = audited_tables([row("pgd", 0.8, 0.5, defence="jpeg"), row("trades", 0.8, 0.6, defence="jpeg")])
    assert table.control == ""
    assert all(one.gain is None for one in table.combinations)


def test_a_defence_is_beside_plain_training_of_equal_length():
    """PGD with four epochs gains 0.3 over four plain epochs; over one plain epoch it would be 0.5."""

    def longer(made, epochs):
        study = made.experiment | {"training": {**made.experiment["training"], "epochs": epochs}}
        return replace(made, settings=made.settings | {"training.epochs": epochs}, experiment=study)

    rows = [longer(row("plain", 0.9, 0.0), 1), longer(row("plain", 0.8, 0.2), 4)]
    rows += [
        longer(row("pgd", 0.85, 0.4), 1),
        longer(row("pgd", 0.7, 0.5), 4),
        longer(row("trades", 0.7, 0.3), 2),
    ]
    found = by_name(rows)
    beside = {name: (one.control, one.gain and round(one.gain.difference, 9)) for name, one in found.items()}
    assert beside == {
        "plain, epochs 1": ("", None),
        "epochs 4": ("plain, epochs 1", 0.2),
        "pgd": ("plain, epochs 1", 0.4),
        "pgd, epochs 4": ("epochs 4", 0.3),
        "trades, epochs 2": ("plain, epochs 1", 0.3),
    }
    assert found["pgd, epochs 4"].cost.difference == pytest.approx(0.1)
    (section,) = audited_sections(rows)
    assert section.lines[0][:6] == (
        "pgd, epochs 4",
        "70.0",
        "50.0",
        "–",
        "+30.0 beside epochs 4",
        "+10.0 beside epochs 4",
    )
    assert section.table.own_controls.startswith("Where another control is named")
    assert audited_tables(rows[::2])[0].own_controls == ""
    assert next(iter(audited_frame(rows)["control"].dropna())) == "epochs 4"


@pytest.mark.parametrize(
    "rows",
    [
        [row("pgd", 0.8, 0.5), row("trades", 0.8, 0.6)],
        [row("plain", 0.8, 0.1, defence="jpeg"), row("plain", 0.8, 0.2, defence="median")],
        [
            row("pgd", 0.8, 0.5),
            row("plain", 0.8, 0.2, defence="median"),
            row("plain", 0.9, 0.0, status="failed"),
        ],
    ],
)
def test_a_defended_model_is_no_control_where_plain_training_is_not_measured(rows):
    (table,) = audited_tables(rows)
    assert table.control == ""
    assert all(one.gain is None for one in table.combinations)


def test_data_sets_are_tables_of_their_own():
    rows = [row("plain", 0.9, 0.0), row("plain", 0.7, 0.2, data="b"), row("pgd", 0.8, 0.5)]
    assert [(one.where, len(one.combinations)) for one in audited_tables(rows)] == [
        ("data.name = a", 2),
        ("data.name = b", 1),
    ]
    assert list(audited_frame(rows)["where"]) == ["data.name = a", "data.name = a", "data.name = b"]


def test_unfinished_cells_and_cells_without_an_audit_are_left_out():
    bare = row("fgsm", 0.9, 0.5)
    bare = replace(bare, figures={"balanced_accuracy": 0.9})
    assert list(by_name([row("plain", 0.9, 0.0), bare, row("pgd", 0.8, 0.5, status="failed")])) == ["plain"]
    assert audited_tables([bare]) == []
    assert "Under the audit" not in render([bare], "s")


def test_verdicts_of_seeds_are_counted_where_they_differ():
    rows = [
        row("plain", 0.9, 0.5, seed, verdict=word) for seed, word in enumerate(("not robust", "not proven"))
    ]
    assert line(by_name(rows)["plain"])[6] == "1 not robust, 1 not proven"
    assert line(by_name([row("plain", 0.9, 0.5, seed) for seed in (0, 1)])["plain"])[6] == "not robust"


def test_the_interval_of_one_seed_is_that_over_images():
    one = row("plain", 0.9, 0.5, **{"audited low": 0.4, "audited high": 0.6})
    assert line(by_name([one])["plain"])[2] == "50.0 (40.0 to 60.0)"
    two = [one, row("plain", 0.9, 0.7, 1, **{"audited low": 0.6, "audited high": 0.8})]
    assert line(by_name(two)["plain"])[2] == "60.0 (50.0, 70.0)"


def test_dots_lie_within_the_field_and_in_their_order():
    rows = [row("plain", 0.9, 0.0), row("pgd", 0.84, 0.62), row("trades", 0.8, 0.66)]
    (section,) = audited_sections(rows)
    assert [dot.number for dot in section.dots] == [1, 2, 3]
    assert [dot.front for dot in section.dots] == [True, True, True]
    assert section.dots[0].x < section.dots[1].x < section.dots[2].x, "more clean accuracy to the right"
    assert section.dots[0].y < section.dots[1].y < section.dots[2].y, "more robust accuracy above"
    for values in ([0.0], [1.0], [0.0, 1.0], [0.33, 0.34], [0.119, 0.881]):
        low, high = limits(values)
        assert 0 <= low <= min(values) <= max(values) <= high <= 1


def test_a_degenerate_combination_stands_last_unmarked_and_dominates_no_other():
    """A constant classifier keeps 50 % of two classes under every attack: more than a working model may keep."""
    rows = [row("plain", 0.607, 0.476), row("fgsm", 0.5, 0.45)]
    rows += [
        row("pgd", 0.5 + 0.2 * seed, 0.5, seed, verdict=("degenerate", "not robust")[seed]) for seed in (0, 1)
    ]
    assert [(one.name, one.front) for one in audited_tables(rows)[0].combinations] == [
        ("plain", True),
        ("fgsm", False),
        ("pgd", False),
    ]
    (section,) = audited_sections(rows)
    assert [dot.front for dot in section.dots] == [True, False, False]
    assert list(audited_frame(rows)["front"]) == [True, False, False]
    (figure,) = figures_of_audits(audited_tables(rows))
    assert {one["combination"]: one["front"] for one in figure.rows} == {
        "plain": True,
        "fgsm": False,
        "pgd": False,
    }
    told = "Combinations with a degenerate run stand last and are not marked"
    assert told in render(rows, "s")
    assert told in list(audited_output(rows))[1]
    assert told not in render(rows[:2], "s")
    assert told not in list(audited_output(rows[:2]))[1]


def test_page_and_terminal_show_the_same_lines():
    rows = [row("plain", 0.9, 0.0), row("pgd", 0.84, 0.62, verdict="robust")]
    page = render(rows, "s")
    assert "plain (control)" in page
    assert "+62.0" in page
    table, note = audited_output(rows)
    assert [list(column.cells) for column in table.columns][1] == ["pgd", "plain"]
    assert "beside plain" in note


def test_figures_of_an_audit_are_those_of_the_worst_case_of_each_image():
    scores = {"accuracy": 0.6, "balanced_accuracy": 0.55, "recall": [0.9, 0.2, None], "n": 40}
    attacked = {**scores, "interval": {"balanced_accuracy": [0.4, 0.7]}}
    audit = {
        "schema": 3,
        "threat": {"norm": "linf", "epsilon": "4/255"},
        "verdict": {"word": "not proven"},
        "attacked": attacked,
        "clean": {**scores, "balanced_accuracy": 0.8},
    }
    run = RunRecord.read({"schema": 2, "status": "finished", "audit": audit})
    figures = {name: value for name, value in final_figures(run).items() if name.startswith("audited")}
    assert figures == {
        "audited accuracy": 0.6,
        "audited balanced_accuracy": 0.55,
        "audited low": 0.4,
        "audited high": 0.7,
        "audited worst-class recall": 0.2,
        "audited clean balanced_accuracy": 0.8,
        "audited images": 40,
    }


def test_results_keep_the_verdict_beside_the_metrics(tmp_path):
    cell = Cell({"seed": 0}, Experiment(name="small"))
    results = Results.create(tmp_path)
    results.begin([cell])
    audit = {"threat": {"norm": "linf", "epsilon": "4/255"}, "verdict": {"word": "degenerate"}}
    results.add(cell, 0, RunRecord.read({"schema": 2, "status": "finished", "audit": {"schema": 3, **audit}}))
    (row,) = Results.open(tmp_path).rows()
    assert row.verdict == "degenerate"
    assert "verdict" not in row.figures
    assert list(results.table["verdict"]) == ["degenerate"]
    json.dumps(dict(row.figures))


def test_the_control_of_the_shipped_sweep_is_plain_training():
    cells = Sweep.load("which-defence", overrides=["seed=[0]"]).cells
    rows = [
        Row(cell.hash, "finished", cell.settings, cell.experiment.to_dict(), dict(SCORES), "", "", "")
        for cell in cells
    ]
    (table,) = audited_tables(rows)
    assert table.control == "plain, epochs 1", "a defence has two local epochs"
    assert "jpeg(quality=75)" in {one.name for one in table.combinations}, (
        "named by what it has beside the control"
    )
    assert len(table.combinations) == len(cells) == 10
    (longer,) = (one for one in table.combinations if "epochs 2" in one.name)
    assert longer.control == table.control, "the only plain training there is"


@pytest.mark.slow
def test_a_sweep_of_defences_is_audited_and_shown(tmp_path):
    small = (
        "data.name=phantom",
        "data.samples=200",
        "seed=[0]",
        "model.name=edge-cnn(width=8)",
        "model.weights=random",
        "model.image-size=28",
        "federation.clients=2",
        "federation.rounds=1",
        "evaluation.every=1",
        "audit.effort=quick",
        "audit.images=20",
    )
    results = fedrobust.bench("which-defence", out=tmp_path, overrides=small, workers=2)
    found = results.audited.set_index("combination")
    assert list(found["seeds"]) == [1] * 10
    assert set(found["images"]) == {20}
    assert found["robust"].between(0, 1).all()
    assert set(found["verdicts"]) <= {"robust", "not robust", "not proven", "degenerate"}
    assert found["gain"].isna().sum() == 1, "the control's"
    assert "plain, epochs 1 (control)" in results.page.read_text(encoding="utf-8")
    assert "jpeg" in (fedrobust.write_figures(tmp_path, tmp_path / "drawn", "csv")[0]).read_text(
        encoding="utf-8"
    )
