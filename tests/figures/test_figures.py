"""Figures show what the record holds, their data lies beside them, and what cannot be drawn is refused."""

import csv
import io
import re
import textwrap
from dataclasses import replace

import pandas
import pytest
from PIL import Image
from typer.testing import CliRunner

import fedrobust
from fedrobust.cli import app
from fedrobust.errors import ConfigError
from fedrobust.figures import write as module
from fedrobust.figures.figure import Figure
from fedrobust.figures.of_comparison import figures_of_comparison
from fedrobust.figures.of_run import figures_of_run
from fedrobust.figures.write import FORMATS, content, table
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import (
    AttackSuccessRecord,
    CardRecord,
    DatasetRecord,
    DefenceRecord,
    HeterogeneityRecord,
    IntervalsRecord,
    MetricsRecord,
    ModelEvaluationRecord,
    RoundRecord,
    RunRecord,
)
from fedrobust.runs.record.card import AuditedDataRecord, ThreatRecord, VerdictRecord
from fedrobust.runs.record.predictions import PredictionsRecord, ReliabilityBinRecord, RocRecord


def metrics(accuracy):
    limits = IntervalsRecord(accuracy=(accuracy - 0.1, accuracy + 0.1))
    return MetricsRecord(n=20, accuracy=accuracy, auc=0.9, interval=limits)


def a_round(number, accuracy):
    return RoundRecord(
        round=number,
        clean=metrics(accuracy),
        robust={"fgsm": {"1/255": metrics(0.4), "4/255": metrics(0.2)}},
        attack_success=AttackSuccessRecord(n=10, successes=3, rate=0.3),
        defence=DefenceRecord(attacked=True, true_positive_rate=0.5, false_positive_rate=0.0),
    )


PREDICTIONS = PredictionsRecord(
    confusion=((8, 2), (1, 9)),
    roc=(RocRecord(label=1, points=((0.0, 0.0), (0.2, 0.9), (1.0, 1.0))),),
    reliability=(ReliabilityBinRecord(n=10, correct=7, confidence=0.6),),
)
RUN = RunRecord(
    name="tiny",
    status="finished",
    rounds=(a_round(1, 0.6), a_round(2, 0.7)),
    dataset=DatasetRecord(labels=("benign", "malignant")),
    heterogeneity=HeterogeneityRecord(label_distance=(0.1, 0.3), image_distance=(0.5, 0.2)),
    model_evaluation=ModelEvaluationRecord(clean=metrics(0.7), robust=a_round(2, 0.7).robust),
    audit=CardRecord(
        threat=ThreatRecord(norm="linf"),
        verdict=VerdictRecord(word="not robust"),
        data=AuditedDataRecord(labels=("benign", "malignant")),
        predictions={"clean": PREDICTIONS, "attacked": PREDICTIONS},
    ),
)


def found():
    return {one.name: one for one in figures_of_run(RUN, [[5, 1], [2, 4]])}


def test_epsilons_are_drawn_in_order_of_size_and_l2_as_they_are():
    curve = {"0.005": metrics(0.5), "1/255": metrics(0.6), "0.001": metrics(0.65)}
    last = replace(a_round(2, 0.7), robust={"fgsm": curve})
    evaluation = ModelEvaluationRecord(clean=metrics(0.7), robust={"fgsm": curve})
    run = replace(RUN, rounds=(last,), model_evaluation=evaluation)
    drawn = {one.name: one for one in figures_of_run(run)}
    assert [row["epsilon"] for row in drawn["epsilon-accuracy"].rows] == ["0", "0.001", "1/255", "0.005"]
    assert "accuracy under fgsm 0.005" in {row["series"] for row in drawn["rounds"].rows}
    (figure,) = (
        one
        for one in figures_of_run(replace(run, experiment={"evaluation": {"norm": "l2"}}))
        if one.name == "epsilon-accuracy"
    )
    assert "grey" not in str(figure)
    assert [row["size"] for row in figure.rows] == [0.0, 0.001, 1 / 255, 0.005]


def test_findings_of_clients_are_not_called_images():
    several = replace(RUN, dataset=replace(RUN.dataset, task="multi-label, binary-class"))
    (figure,) = (one for one in figures_of_run(several, [[5, 1], [2, 4]]) if one.name == "clients")
    assert figure.title == "findings in the training images of each client"
    assert figure.rows[0] == {"client": 0, "series": "benign", "findings": 5}


def test_every_part_of_a_record_has_its_figure():
    assert list(found()) == [
        "rounds",
        "epsilon-accuracy",
        "epsilon-auc",
        "detection",
        "clients",
        "distances",
        "confusion-clean",
        "confusion-attacked",
        "roc-1",
        "calibration",
    ]
    assert figures_of_run(RunRecord()) == []
    assert "detection" not in {one.name for one in figures_of_run(replace(RUN, rounds=()))}


def test_the_rows_are_the_figures_of_the_record():
    figures = found()
    accuracy = [row for row in figures["rounds"].rows if row["series"] == "accuracy"]
    assert [(row["round"], row["value"], row["low"]) for row in accuracy] == [(1, 0.6, 0.5), (2, 0.7, 0.6)]
    attacked = [row["value"] for row in figures["rounds"].rows if "under fgsm 4/255" in row["series"]]
    assert attacked == [0.2, 0.2]
    assert [(row["grey levels"], row["value"]) for row in figures["epsilon-accuracy"].rows] == [
        (0, 0.7),
        (pytest.approx(1), 0.4),
        (pytest.approx(4), 0.2),
    ]
    detection = {(row["round"], row["series"]): row["value"] for row in figures["detection"].rows}
    assert detection[1, "malicious rejected"] == 0.5
    assert detection[2, "attack success"] == 0.3
    cells = {
        (row["truth"], row["answer"]): (row["n"], row["share"]) for row in figures["confusion-clean"].rows
    }
    assert cells["benign", "malignant"] == (2, 0.2)
    assert [row["images"] for row in figures["clients"].rows] == [5, 1, 2, 4]


def test_a_long_title_is_drawn_in_lines_and_widens_nothing():
    short, long = (
        content(replace(found()["epsilon-accuracy"], title=title), "svg").decode()
        for title in ("Under the audit", "Under the audit of two hundred images; " * 4)
    )
    widths = [re.findall(r'<svg[^>]* width="([0-9.]+)"', drawn) for drawn in (short, long)]
    assert widths[0] == widths[1] != []
    assert long.count("Under the audit") > 1


@pytest.mark.parametrize("name", list(found()))
def test_every_figure_is_drawn_and_its_data_is_the_table(name):
    figure = found()[name]
    drawn = content(figure, "svg").decode()
    assert all(line in drawn for line in textwrap.wrap(figure.title, 72))
    read = list(csv.DictReader(io.StringIO(table(figure))))
    assert [
        {key: str(value) if value is not None else "" for key, value in row.items()} for row in figure.rows
    ] == read
    if figure.drawing.get("layer") and "series" in figure.rows[0]:
        assert all(series in drawn for series in {row["series"] for row in figure.rows}), "a legend"


def test_a_picture_holds_the_marks_at_their_values():
    dark = Figure(
        "one",
        "one",
        [{"x": 0.0, "y": 1.0}, {"x": 1.0, "y": 1.0}],
        {
            "width": 100,
            "height": 50,
            "mark": {"type": "line", "color": "#000000", "strokeWidth": 3},
            "encoding": {
                "x": {"field": "x", "type": "quantitative", "axis": None},
                "y": {"field": "y", "type": "quantitative", "axis": None},
            },
        },
    )
    picture = Image.open(io.BytesIO(content(dark, "png"))).convert("L")
    black = [y for y in range(picture.height) if picture.getpixel((picture.width // 2, y)) < 60]
    assert black
    assert max(black) < picture.height // 2, "the line is at the top"
    assert content(dark, "pdf").startswith(b"%PDF")


def test_the_command_writes_figures_and_their_data_beside_them(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_text("experiment.toml", 'name = "tiny"\n')
    folder.write_json("result.json", RUN.to_json())
    out = tmp_path / "figures"
    done = CliRunner().invoke(app, ["figures", str(tmp_path), "--format", "svg", "--out", str(out)])
    assert done.exit_code == 0, done.output
    names = {path.stem for path in out.iterdir()}
    assert names == set(found()) - {"clients"}
    assert {path.suffix for path in out.iterdir()} == {".svg", ".csv"}
    assert sorted(done.stdout.split()) == sorted(str(path) for path in out.iterdir())


def test_a_comparison_shows_means_over_seeds_with_their_intervals():
    summary = pandas.DataFrame(
        {
            "federation.aggregator": ["mean", "median"],
            "seeds": [3, 1],
            "accuracy": [0.8, 0.9],
            "accuracy low": [0.7, float("nan")],
            "accuracy high": [0.9, float("nan")],
        }
    )
    summary.attrs.update(settings=["federation.aggregator"], figures=["accuracy"])
    (figure,) = figures_of_comparison(summary)
    assert figure.name == "comparison-accuracy"
    assert [tuple(row.values()) for row in figure.rows] == [
        ("mean", 0.8, 0.7, 0.9, 3),
        ("median", 0.9, None, None, 1),
    ]
    assert "median" in content(figure, "svg").decode()
    with pytest.raises(ConfigError, match="no finished run has it"):
        figures_of_comparison(summary, ["acuracy"])


def test_formats_are_refused_by_name_and_where_nothing_draws_them(monkeypatch, tmp_path):
    with pytest.raises(
        ConfigError, match=r"format = 'pgn', did you mean \"png\"\? allowed: svg, png, pdf, csv"
    ):
        fedrobust.write_figures(tmp_path, tmp_path, "pgn")
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'fedrobust\[figures\]'"):
        fedrobust.write_figures(tmp_path, tmp_path, "svg")
    module.check_formats(["csv"])
    assert "csv" in FORMATS


def test_a_sweep_over_attacks_and_rules_has_a_heatmap():
    import pandas

    from fedrobust.figures.of_heatmap import heatmap_figures

    rows = [
        {"federation.aggregator": rule, "poisoning.attack": attack, "seeds": 2, "accuracy": score}
        for rule, attack, score in (
            ("mean", "none", 0.9),
            ("mean", "ipm", 0.4),
            ("krum", "none", float("nan")),
        )
    ]
    summary = pandas.DataFrame(rows)
    summary.attrs.update(settings=["federation.aggregator", "poisoning.attack"], figures=["accuracy"])
    (figure,) = heatmap_figures(summary)
    assert figure.name == "heatmap-accuracy"
    assert [(row["rule"], row["attack"], row["text"]) for row in figure.rows] == [
        ("mean", "none", "90.0"),
        ("mean", "ipm", "40.0"),
    ]
    summary.attrs["settings"] = ["federation.aggregator", "poisoning.attack", "data.name"]
    assert heatmap_figures(summary) == []
