"""The heterogeneity of a study's clients: after site shifts, the same in every run."""

import pytest

from fedrobust.config import Experiment
from fedrobust.study import Study
from server.client_images import class_counts
from server.stages.heterogeneity import heterogeneity_record


def measured(**settings):
    study = Study(Experiment.of(federation__clients=6, data__samples=300, **settings))
    return heterogeneity_record(study, class_counts(study))


def test_an_even_partition_is_like_a_random_division():
    found = measured()
    assert found == measured()
    assert found.images == (50,) * 6
    assert found.label_index == pytest.approx(found.random_label_index, abs=0.05)
    assert found.image_index == pytest.approx(found.random_image_index, rel=0.2)
    assert found.size_gini == pytest.approx(0)


def test_a_skewed_partition_differs_in_labels_and_sizes():
    found = measured(data__partition="dirichlet(alpha=0.2)")
    assert found.label_index > 2 * found.random_label_index
    assert len(found.label_differs) >= 3
    assert found.size_gini > 0.2


@pytest.mark.parametrize("shift", ["blur", "noise", "low-contrast", "gamma"])
def test_a_scanner_makes_its_clients_images_differ_and_no_labels(shift):
    found = measured(data__site_shifts=[f"2: {shift}"])
    assert 2 in found.image_differs
    assert max(found.image_distance) == found.image_distance[2]
    assert found.label_distance == measured().label_distance


def test_labels_are_those_after_the_shifts():
    found = measured(data__site_shifts=["1: prevalence(shares=[0.9, 0.1])"])
    assert 1 in found.label_differs
    assert found.images[1] < 50
