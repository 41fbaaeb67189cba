"""Surrogates that a study names are opened, and compared with its data, before its first round."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import pytest

from fedrobust.config import ConfigError
from fedrobust.evaluation.surrogate_file import with_surrogate_file
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import DatasetRecord, RunRecord
from server.surrogates import check_surrogates
from tests.server.small_study import dataset

NAMES = ("healthy", "one", "two")


def study(spec, names=NAMES, base=None):
    return SimpleNamespace(
        experiment=SimpleNamespace(evaluation=SimpleNamespace(attacks=("fgsm", spec))),
        dataset=replace(dataset(), label_names=names),
        threat=SimpleNamespace(space="native"),
        evasion=lambda spec: with_surrogate_file(spec, base),
    )


@pytest.fixture
def file(tmp_path):
    """Return the model's file in the folder of a run on data of three classes."""
    place = RunFolder(tmp_path)
    inputs = keras.Input((5, 4, 1))
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    model.save(place.file("model.keras"))
    place.write_text("experiment.toml", 'name = "other"\n')
    record = RunRecord(status="finished", name="other", dataset=DatasetRecord(labels=NAMES, digest="other"))
    place.write_json("result.json", record.to_json())
    return place.file("model.keras")


def test_a_surrogate_whose_classes_are_those_of_the_data_passes(file):
    check_surrogates(study(f"transfer(surrogate={str(file)!r})"))


def test_a_surrogate_is_found_beside_the_study_file(file):
    check_surrogates(study("transfer(surrogate='model.keras')", base=file.parent))


@pytest.mark.parametrize("spec", ["pgd", "transfer", "transfer(surrogate='query')"])
def test_attacks_without_a_file_have_nothing_to_compare(spec):
    check_surrogates(study(spec))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ("one", "healthy", "two"),
            "made-up has 'one', 'healthy', 'two'; its outputs would be read as labels 0,1,2",
        ),
        (("a", "b", "c"), "nothing tells which is which"),
    ],
)
def test_a_surrogate_with_other_classes_is_refused_before_the_first_round(file, names, said):
    spec = f"transfer(surrogate={str(file)!r})"
    with pytest.raises(ConfigError, match=said) as refused:
        check_surrogates(study(spec, names))
    assert f'evaluation.attacks = "{spec}": ' in str(refused.value)
    assert "a study reads a surrogate as the data are" in str(refused.value)


def test_a_surrogate_for_other_images_or_another_number_of_classes_is_refused(file, tmp_path):
    inputs = keras.Input((5, 4, 1))
    two = tmp_path / "two.keras"
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))).save(two)
    with pytest.raises(ConfigError, match=r'evaluation.attacks = "transfer.*two.keras'):
        check_surrogates(study(f"transfer(surrogate={str(two)!r})"))
