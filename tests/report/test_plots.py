import math

import pytest

from fedrobust.report import plots
from fedrobust.report.evaluation import Evaluation
from fedrobust.report.folder import read
from fedrobust.runs.codec import read as read_record
from fedrobust.runs.record import EvaluationRecord, HeterogeneityRecord, RoundRecord


def evaluation_of(content):
    return Evaluation.of(read_record(EvaluationRecord, content), "linf")


@pytest.fixture
def run(folder):
    return read(folder())


def trace(figure, name, metric="accuracy"):
    found = [one for one in figure.data if one.name == name and one.meta["metric"] == metric]
    assert len(found) == 1, [one.name for one in figure.data]
    return found[0]


def test_scores_by_round_are_the_runs_own(run, result):
    figure = plots.by_round(run.rounds, selected=2)
    clean = [one["clean"] for one in result["rounds"]]
    for name, metric in (
        ("Accuracy", "accuracy"),
        ("Balanced accuracy", "balanced_accuracy"),
        ("AUC × 100", "auc"),
    ):
        line = trace(figure, name, metric)
        assert line.x == (0, 1, 2)
        assert line.y == tuple(one[metric] for one in clean)
        band = trace(figure, f"{name}, 95 % interval", metric)
        assert band.x == (0, 1, 2, 2, 1, 0)
        bounds = [one["interval"][metric] for one in clean]
        assert band.y == tuple([high for _, high in bounds] + [low for low, _ in reversed(bounds)])
    assert trace(figure, "always the largest class").y == (114 / 156, 114 / 156)


def test_attacked_accuracy_by_round_is_shown_at_the_papers_and_the_largest_epsilon(run):
    figure = plots.by_round(run.rounds)
    assert trace(figure, "Accuracy under FGSM 0.005").y == (80 / 156,) * 3
    assert trace(figure, "Accuracy under FGSM 8/255").y == (3 / 156,) * 3
    assert not any(one.name.endswith("0.001") for one in figure.data)


def test_scores_by_epsilon_start_clean_and_stand_at_the_root_of_the_grey_level(run, result):
    figure = plots.by_epsilon({"Global model": run.teacher, "Student": run.student}, "linf")
    evaluations = {"Global model": result["model-evaluation"], "Student": result["student"]}
    for name, evaluation in evaluations.items():
        for metric in plots.NAMES:
            line = trace(figure, f"{name}, FGSM", metric)
            points = [evaluation["clean"], *evaluation["robust"]["fgsm"].values()]
            assert line.y == tuple(one[metric] for one in points)
            assert line.meta["epsilon"] == [0.0, 0.001, 0.005, 8 / 255]
            assert line.x == pytest.approx([0, math.sqrt(0.255), math.sqrt(1.275), math.sqrt(8)])
            assert line.visible == (metric == "accuracy")
    text = trace(figure, "Global model, FGSM").customdata[2]
    assert "ε 0.005 = 1.3/255" in text
    assert "80 of 156" in text


def test_each_score_has_its_own_constant_answer(run):
    figure = plots.by_epsilon({"Global model": run.teacher}, "linf")
    assert trace(figure, "always the largest class").y == (114 / 156,) * 2
    assert trace(figure, "chance", "balanced_accuracy").y == (0.5,) * 2, (
        "of the two classes that have a recall"
    )
    assert trace(figure, "chance", "auc").y == (0.5,) * 2


def test_epsilons_of_l2_are_drawn_as_they_are(folder, result):
    result["experiment"]["evaluation"] = {"norm": "l2"}
    run = read(folder(result))
    figure = plots.by_epsilon({"Global model": run.teacher}, run.norm)
    assert figure.layout.xaxis.title.text == "ε (l2), √ scale"
    line = trace(figure, "Global model, FGSM")
    assert line.x == pytest.approx([0, math.sqrt(0.001), math.sqrt(0.005), math.sqrt(8 / 255)])
    assert "ε 0.005<br>" in line.customdata[2]
    assert figure.layout.xaxis.ticktext[-2:] == ("0.01", "0.025")


def test_epsilons_are_drawn_in_order_of_size(result):
    table = result["model-evaluation"]["robust"]["fgsm"]
    shuffled = {name: table[name] for name in ("8/255", "0.001", "0.005")}
    evaluation = evaluation_of({"clean": None, "robust": {"fgsm": shuffled}})
    figure = plots.by_epsilon({"Global model": evaluation}, "linf")
    assert trace(figure, "Global model, FGSM").meta["epsilon"] == [0.001, 0.005, 8 / 255]


def test_without_an_auc_there_is_no_auc_line(result):
    evaluation = result["model-evaluation"]
    for one in (evaluation["clean"], *evaluation["robust"]["fgsm"].values()):
        one["auc"] = one["interval"]["auc"] = None
    figure = plots.by_epsilon({"Global model": evaluation_of(evaluation)}, "linf")
    assert not any("FGSM" in one.name and one.meta["metric"] == "auc" for one in figure.data)


def test_few_clients_are_stacked_bars(partition):
    figure = plots.by_client(partition["counts"], ["malignant", "<b>benign</b>"])
    assert figure.layout.barmode == "stack"
    assert [one.name for one in figure.data] == ["malignant", "&lt;b&gt;benign&lt;/b&gt;"]
    assert figure.data[0].y == (40, 37, 70, 0)
    assert figure.data[1].y == (100, 99, 100, 100)


def test_findings_are_not_called_images():
    assert "findings" in plots.by_client([[3, 1]], ["a", "b"], noun="findings").data[0].hovertemplate
    (heat,) = plots.by_client([[3, 1]] * 61, ["a", "b"], noun="findings").data
    assert "findings" in heat.hovertemplate
    assert heat.colorbar.title.text == "findings"


def test_clients_that_are_sites_have_their_names(partition):
    figure = plots.by_client(partition["counts"], ["malignant", "benign"], ["Bern", "Chur", "<b>", "Zug"])
    assert figure.data[0].x == ("Bern", "Chur", "&lt;b&gt;", "Zug")
    assert plots.by_client(partition["counts"], ["malignant", "benign"]).data[0].x == (0, 1, 2, 3)


def test_many_clients_are_a_heat_map_that_loses_no_image():
    counts = [[client % 3, client % 7] for client in range(1000)]
    figure = plots.by_client(counts, ["ill", "well"])
    (heat,) = figure.data
    assert heat.type == "heatmap"
    told = {entry[0]: [entry[1]] for entry in heat.customdata[0]}
    for entry in heat.customdata[1]:
        told[entry[0]].append(entry[1])
    assert [told[client] for client in range(1000)] == counts
    sizes = [sum(told[entry[0]]) for entry in heat.customdata[0]]
    assert sizes == sorted(sizes, reverse=True)
    for row, entries in zip(heat.z, heat.customdata, strict=True):
        assert [0 if root is None else round(root**2) for root in row] == [entry[1] for entry in entries]


def test_clients_that_differ_are_a_trace_of_their_own():
    found = HeterogeneityRecord(
        label_distance=(0.1, 0.4, 0.2),
        image_distance=(0.2, 0.3, 0.9),
        images=(100, 25, 100),
        random_label_index=0.05,
        random_image_index=0.25,
        label_differs=(1,),
        image_differs=(1, 2),
    )
    like, unlike = plots.by_distance(found, ["Bern", "<b>", "Zug"]).data
    assert (like.text, unlike.text) == (("Bern",), ("&lt;b&gt;", "Zug"))
    assert (unlike.x, unlike.y) == ((0.4, 0.2), (0.3, 0.9))
    assert unlike.marker.size[1] == 2 * unlike.marker.size[0], "areas are numbers of images"
    assert next(shape.x0 for shape in plots.by_distance(found).layout.shapes) == 0.05


def defended(number, rejected, attacked=True, success=None):
    content = {
        "round": number,
        "attack-success": None if success is None else {"n": 10, "successes": 1, "rate": success},
    }
    defence = {"attacked": attacked, "true-positive-rate": rejected, "false-positive-rate": 0.25}
    one = RoundRecord.read(content | {"defence": defence})
    return one, one.defence


def test_a_round_without_an_attack_has_no_detection_rate():
    figure = plots.by_defence(
        [defended(1, 1.0), defended(2, 0.0, attacked=False), defended(3, 0.5, success=0.9)]
    )
    lines = {one.name: (one.x, one.y) for one in figure.data}
    assert lines == {
        "Malicious rejected": ((1, 2, 3), (1.0, None, 0.5)),
        "Honest rejected": ((1, 2, 3), (0.25, 0.25, 0.25)),
    }, "one figure of the attack's success makes no line"


def test_without_two_rounds_there_is_no_plot_of_the_defence():
    assert plots.by_defence([defended(1, 1.0)]) is None
