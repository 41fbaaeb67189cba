import pytest

from fedrobust.report import constant, findings, wording
from fedrobust.report.epsilon import Epsilon
from fedrobust.report.errors import ReportError
from fedrobust.report.folder import read
from fedrobust.report.sections.cells import versus
from fedrobust.report.sections.models import models
from fedrobust.runs.codec import read as read_record
from fedrobust.runs.record import MetricsRecord


def plain(text):
    return text.replace(findings.JOINER, "").replace(wording.THIN, " ")


def test_the_summary_holds_the_runs_numbers(folder):
    assert plain(findings.summary(read(folder()))) == (
        "4 hospitals, 2 rounds: accuracy 89.7 % on 156 test images (84.0–93.6), AUC 0.911; always "
        "predicting “normal, benign”: 73.1 %; under FGSM at 8/255: 1.9 %."
    )


def test_the_summary_quotes_the_worst_of_several_attacks(folder, result):
    robust = result["model-evaluation"]["robust"]
    robust["noise"] = {"8/255": robust["fgsm"]["0.005"]}
    result["model-evaluation"]["robust"] = {"noise": robust["noise"], "fgsm": robust["fgsm"]}
    assert plain(findings.summary(read(folder(result)))).endswith("under FGSM at 8/255: 1.9 %.")


def test_the_summary_leaves_out_what_was_not_measured(folder, result):
    result["model-evaluation"]["clean"] |= {"auc": None, "interval": {}}
    result["model-evaluation"]["robust"] = {}
    assert plain(findings.summary(read(folder(result)))) == (
        "4 hospitals, 2 rounds: accuracy 89.7 % on 156 test images; always predicting “normal, benign”: 73.1 %."
    )


def score(correct, predicted, interval):
    return {
        "n": 156,
        "correct": correct,
        "accuracy": correct / 156,
        "predicted": predicted,
        "majority_rate": 114 / 156,
        "interval": {"accuracy": interval},
    }


def warnings_of(folder, result, clean, attacked):
    result |= {"student": None, "export": []}
    result["model-evaluation"] = {"clean": clean, "robust": {"fgsm": attacked}}
    return [plain(one) for one in constant.warnings(read(folder(result)))]


def test_a_constant_model_is_called_one(folder, result):
    # The paper's Breast MobileNetV2 after adversarial training: 112 of 156, where always "benign" scores 114.
    clean = score(112, [2, 154], [0.643, 0.783])
    assert warnings_of(folder, result, clean, {"0.005": clean, "8/255": clean}) == [
        "The global model predicts “normal, benign” for 154 of 156 test images (98.7 %): it is close to a "
        "constant classifier.",
        "The global model under FGSM at every ε predicts “normal, benign” for more than 95 % of the images.",
    ]


def test_an_interval_that_holds_the_majority_rate_is_told(folder, result):
    clean = score(120, [50, 106], [0.697, 0.830])
    good = score(140, [50, 106], [0.84, 0.936])
    low = score(60, [50, 106], [0.311, 0.463])
    assert warnings_of(folder, result, clean, {"0.001": good, "0.005": clean, "8/255": low}) == [
        "The accuracy of the global model, 76.9 % (69.7–83.0), does not differ significantly from the 73.1 % of a "
        "constant classifier.",
        "The global model under FGSM at ε = 0.005 does not differ significantly from the 73.1 % of a constant "
        "classifier.",
    ]


def test_a_file_that_answers_otherwise_is_warned_about_and_another_one_named(folder, result):
    files = [
        {
            "format": "int8",
            "file": "s.int8.tflite",
            "changed": 30,
            "agreement": 0.952,
            "alarm": "It changes 30 of 624.",
        },
        {
            "format": "dynamic",
            "file": "s.dynamic.tflite",
            "changed": 1,
            "peak-bytes": 9_400_000,
            "taken": True,
        },
    ]
    run = read(folder({**result, "export": files}))
    assert findings.alarms(run) == ["It changes 30 of 624."]
    assert "It changes 30 of 624." not in constant.warnings(run)
    rows = {name.text: [cell.text + cell.note for cell in cells] for name, cells in models(run)["table"].rows}
    assert [plain(each) for each in rows["Agreement"][-2:]] == ["95.2 %30 changed", "–1 changed"]
    assert rows["File to take"][-2:] == ["–", "take this"]
    assert plain(rows["Peak memory"][-1]) == "9.4 MB"


def test_a_good_model_is_not_warned_about(folder, result):
    good = score(140, [50, 106], [0.84, 0.936])
    assert warnings_of(folder, result, good, {"0.005": good}) == []


def test_a_good_model_of_a_rare_disease_is_not_constant(folder, result):
    rare = {"n": 600, "majority_rate": 0.98, "recall": [1.0, 1.0], "predicted": [12, 588]}
    good = rare | {"correct": 600, "accuracy": 1.0, "interval": {"accuracy": [0.9936, 1.0]}}
    assert warnings_of(folder, result, good, {"0.005": good}) == []
    assert versus(read_record(MetricsRecord, good)).note == ""
    blind = rare | {"recall": [0.0, 1.0], "predicted": [0, 600], "correct": 588, "accuracy": 0.98}
    blind |= {"interval": {"accuracy": [0.965, 0.989]}}
    assert "close to a constant" in warnings_of(folder, result, blind, {})[0]
    assert versus(read_record(MetricsRecord, blind)).note == "one class"


def test_images_of_one_class_cannot_tell_a_constant_model(folder, result):
    alone = {"n": 100, "correct": 99, "accuracy": 0.99, "majority_rate": 1.0, "recall": [None, 0.99]}
    alone |= {"predicted": [1, 99], "interval": {"accuracy": [0.946, 1.0]}}
    assert warnings_of(folder, result, alone, {"0.005": alone}) == []
    other = alone | {"correct": 1, "accuracy": 0.01, "recall": [None, 0.01], "predicted": [99, 1]}
    assert "close to a constant" in warnings_of(folder, result, other, {})[0]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [([0.74, 0.9], "above"), ([0.70, 0.9], "level"), ([0.1, 0.7], "below"), (None, wording.NONE)],
)
def test_an_accuracy_is_held_against_the_majority(bounds, words):
    assert constant.versus_majority(read_record(MetricsRecord, score(120, [50, 106], bounds))) == words


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("0.001", "0.001 = 0.26/255"),
        ("0.5/255", "0.5/255 = 0.00196"),
        ("0.05", "0.05 = 12.8/255"),
        ("51/255", "51/255 = 0.2"),
    ],
)
def test_epsilon_is_written_both_ways(name, words):
    assert wording.epsilon(Epsilon.read(name)) == words


@pytest.mark.parametrize("name", ["", "a", "1/0", "1/2/3", "nan"])
def test_an_epsilon_that_is_no_number_is_refused(name):
    with pytest.raises(ReportError, match="epsilon"):
        Epsilon.read(name)


def test_file_sizes():
    sizes = [wording.size_in_bytes(number) for number in (0, 999, 118_000, 999_700, 2_260_546)]
    assert [plain(size) for size in sizes] == ["0 bytes", "999 bytes", "118 kB", "1 MB", "2.26 MB"]
