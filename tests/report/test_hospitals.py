"""The hospitals on a report's page."""

from fedrobust.report.folder import Run
from fedrobust.report.sections.hospitals import hospitals
from fedrobust.runs.hospital_gap import side_by_side
from fedrobust.runs.record import ClinicalRecord, HospitalRecord, IntervalsRecord, RunRecord


def hospital(name, balanced, limits, recall=(0.8, 0.8), **too_few):
    metrics = ClinicalRecord(
        n=40,
        accuracy=0.8,
        balanced_accuracy=balanced,
        auc=0.9,
        recall=recall,
        interval=IntervalsRecord(balanced_accuracy=limits),
        too_few=too_few,
    )
    return HospitalRecord(name=name, metrics=metrics)


def section(*places):
    found = hospitals(Run(RunRecord(hospitals=side_by_side(places))))
    return found["sentence"].replace("\u202f", " "), found["table"]


def test_the_worst_hospital_is_named_with_both_intervals():
    sentence, _ = section(hospital("Bern", 0.9, (0.85, 0.95)), hospital("Chur", 0.6, (0.5, 0.7)))
    assert sentence == (
        "The model is worst at “Chur”: balanced accuracy 60.0 % (50.0–70.0), 30.0 points below the best hospital, "
        "“Bern”, 90.0 % (85.0–95.0)."
    )


def test_hospitals_whose_intervals_overlap_are_not_told_apart():
    sentence, _ = section(hospital("Bern", 0.9, (0.65, 0.95)), hospital("Chur", 0.6, (0.5, 0.7)))
    assert "The model is worst" not in sentence
    assert sentence.endswith("not told apart.")


def test_hospitals_with_other_classes_are_not_compared():
    sentence, _ = section(
        hospital("Bern", 0.9, (0.85, 0.95)), hospital("Chur", 0.6, (0.5, 0.7), (0.8, None, 0.4))
    )
    assert "are not compared" in sentence


def test_scores_of_too_few_images_say_so():
    few = {"accuracy": "3 errors", "balanced_accuracy": "4 malignant", "auc": "4 of a class"}
    _, table = section(hospital("Bern", 0.9, (0.85, 0.95), **few), hospital("Chur", 0.9, (0.8, 0.95)))
    (_, (accuracy, _, balanced, auc, *_)), (_, others) = table.rows
    assert accuracy.note == "too few: 3 errors"
    assert balanced.note == "85.0–95.0 · too few: 4 malignant"
    assert auc.note == "too few: 4 of a class"
    assert not any("too few" in cell.note for cell in others)
