"""A network's own last layer is kept only if its classes are the data's, in their order."""

from dataclasses import replace

import pytest

from fedrobust.checks.class_order import kept_head, renamed
from fedrobust.config.sections import Model
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import DatasetRecord, RunRecord
from tests.server.small_study import dataset

NAMES = ("healthy", "one", "two")


def faults(tmp_path, labels, own=NAMES, digest="other", check=kept_head, **settings):
    place = RunFolder(tmp_path)
    place.write_text("experiment.toml", 'name = "before"\n')
    place.write_text("model.keras", "never opened")
    trained = DatasetRecord(labels=labels, digest=digest)
    place.write_json("result.json", RunRecord(status="finished", name="before", dataset=trained).to_json())
    model = Model(**{"name": "model.keras", "weights": "file", **settings})
    return list(check(model, replace(dataset(), label_names=own), tmp_path, ""))


@pytest.mark.parametrize("labels", [("one", "healthy", "two"), ("a", "b", "c")])
def test_a_last_layer_of_other_classes_or_another_order_is_refused(tmp_path, labels):
    (fault,) = faults(tmp_path, labels)
    assert 'model.head = "keep" with model.name = "model.keras": its classes are' in fault
    assert "made-up has 'healthy', 'one', 'two'; set model.head = \"new\"" in fault


@pytest.mark.parametrize(
    ("labels", "settings"),
    [
        (NAMES, {}),
        ((" Healthy", "ONE", "two"), {}),
        (("one", "healthy", "two"), {"head": "new"}),
        (("one", "healthy", "two"), {"weights": "random"}),
        (("one", "healthy", "two"), {"digest": dataset().digest}),
        (("0", "1", "2"), {}),
        (("one", "healthy", "two"), {"own": ("0", "1", "2")}),
        (("one", "healthy"), {}),
    ],
    ids=["same", "written otherwise", "new", "random", "same data", "unnamed", "own unnamed", "other number"],
)
def test_what_cannot_be_told_or_does_not_matter_passes(tmp_path, labels, settings):
    assert faults(tmp_path, labels, **settings) == []


def test_the_same_images_and_labels_under_other_names_are_told(tmp_path):
    swapped, same = ("one", "healthy", "two"), {"digest": dataset().digest, "check": renamed}
    (said,) = faults(tmp_path, swapped, **same)
    assert (
        "its run calls the classes 'one', 'healthy', 'two', made-up calls them 'healthy', 'one', 'two'"
        in said
    )
    assert "with the same images and labels" in said
    for labels, settings in (
        (NAMES, same),
        (swapped, {**same, "head": "new"}),
        (("0", "1", "2"), same),
        (swapped, {"check": renamed}),
    ):
        assert faults(tmp_path, labels, **settings) == []


def test_a_network_that_is_in_no_run_has_no_names(tmp_path):
    (tmp_path / "model.keras").write_text("never opened")
    model = Model(name="model.keras", weights="file")
    assert list(kept_head(model, dataset(), tmp_path, "")) == []
