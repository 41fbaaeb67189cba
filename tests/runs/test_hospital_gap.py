"""The worst hospital, where hospitals can be compared."""

from dataclasses import replace

import pytest

from fedrobust.runs.hospital_gap import measured_alike, side_by_side, told_apart, worst_and_best
from fedrobust.runs.record import ClinicalRecord, HospitalRecord, HospitalsRecord, IntervalsRecord
from fedrobust.runs.record.metrics import LabelRecord


def hospital(name, *recall, limits=None, **changed):
    known = [value for value in recall if value is not None]
    metrics = ClinicalRecord(
        accuracy=0.5,
        balanced_accuracy=sum(known) / len(known),
        recall=recall,
        interval=IntervalsRecord(balanced_accuracy=limits),
        **changed,
    )
    return HospitalRecord(name=name, metrics=metrics)


def test_the_worst_is_the_lowest_of_the_same_classes():
    found = side_by_side([hospital("Bern", 0.9, 0.9, None), hospital("Chur", 0.7, 0.5, None)])
    assert (found.worst, found.gap) == ("Chur", pytest.approx(0.3))
    assert [one.name for one in worst_and_best(found)] == ["Chur", "Bern"]
    assert side_by_side([]) == HospitalsRecord()
    alike = side_by_side([hospital("Bern", 0.9, 0.7), hospital("Chur", 0.8, 0.8)])
    assert (alike.worst, alike.gap) == (None, 0.0)


def test_hospitals_with_other_classes_are_not_compared():
    """The model is as good everywhere: only who has images of the difficult class scores lower."""
    places = (hospital("Bern", 0.9, 0.9, 0.3), hospital("Chur", 0.9, 0.9, None))
    assert not measured_alike(places)
    found = side_by_side(places)
    assert (found.worst, found.gap) == (None, None)
    assert worst_and_best(replace(found, worst="Bern", gap=0.2)) is None, "as early versions recorded it"


def test_findings_count_where_images_with_and_without_them_are_there():
    both, without = (
        LabelRecord(sensitivity=0.5, specificity=0.5),
        LabelRecord(sensitivity=None, specificity=1.0),
    )
    places = [hospital("Bern", 0.5, labels=(both, both)), hospital("Chur", 0.5, labels=(both, without))]
    assert not measured_alike(places)
    assert measured_alike([places[0], places[0]])


def test_images_of_one_class_leave_no_gap():
    found = side_by_side(
        [hospital("Bern", 0.9, 0.9), hospital("Chur", 0.8, 0.8), hospital("Genf", None, 0.1)]
    )
    assert (found.worst, found.gap) == ("Chur", None)


@pytest.mark.parametrize(("limits", "apart"), [((0.5, 0.7), True), ((0.5, 0.85), False), (None, True)])
def test_hospitals_are_told_apart_by_their_intervals(limits, apart):
    assert (
        told_apart(hospital("Chur", 0.6, 0.6, limits=limits), hospital("Bern", 0.9, limits=(0.8, 1.0)))
        is apart
    )
