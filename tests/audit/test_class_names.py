"""A run's model on other data: outputs mean the classes that it was trained on, whatever number the data give them."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import fedrobust
from fedrobust.audit.class_names import check_classes
from fedrobust.audit.companions import companion, edge_companion
from fedrobust.audit.misreading import MisreadModelError
from fedrobust.config import ConfigError, Experiment
from fedrobust.data.phantom import phantom
from fedrobust.models.interfaces import Interfaces
from fedrobust.runs.record.parts import DatasetRecord

DATA = phantom(train=60)
RUN = DatasetRecord(labels=("benign", "malignant"), digest="of-the-run")


def of(names, digest="other"):
    return replace(DATA, name="mine", label_names=names, digest=digest)


@pytest.mark.parametrize(
    ("run", "data", "labels"),
    [
        (RUN, of(("benign", "malignant")), ""),
        (RUN, of(("Benign ", "malignant")), ""),
        (RUN, of(("malignant", "benign")), "1,0"),
        (RUN, of(("malignant", "benign")), "0,1"),
        (RUN, of(("normal", "pneumonia")), "0,1"),
        (RUN, of(("0", "1"), RUN.digest), ""),
        (RUN, of(("normal", "pneumonia"), RUN.digest), ""),
        (replace(RUN, labels=("0", "1")), of(("0", "1"), RUN.digest), ""),
    ],
)
def test_the_runs_order_and_a_declared_one_are_taken(run, data, labels):
    assert check_classes(run, data, Interfaces.parse("", labels)) == ""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            of(("malignant", "benign")),
            "the model: its classes are 'benign', 'malignant', in this order; mine has 'malignant', 'benign'; "
            'its outputs would be read as labels 0,1. Save the data in that order; or add --labels "1,0" (in '
            "Python labels=...), the label in mine of each of its outputs",
        ),
        (
            of(("malignant", "benign"), RUN.digest),
            "the model: its classes are 'benign', 'malignant', in this order; mine has 'malignant', 'benign', "
            'with the same images and labels: correct label_names in one of them; or add --labels "0,1" (in Python '
            "labels=...) to go by the names of mine",
        ),
        (
            of(("normal", "pneumonia")),
            "the model: its classes are 'benign', 'malignant', in this order; mine has 'normal', 'pneumonia': "
            'nothing tells which is which. Choose data with these classes; or add --labels "ORDER" (in Python '
            "labels=...), the label in mine of each of its outputs, such as 0,1",
        ),
    ],
)
def test_another_order_and_other_classes_are_refused_with_both(data, message):
    with pytest.raises(ConfigError) as refused:
        check_classes(RUN, data, Interfaces())
    assert str(refused.value) == message


def test_three_classes_have_the_order_that_fits():
    data = phantom(classes=3, train=60)
    names = data.label_names
    run = DatasetRecord(labels=(names[2], names[0], names[1]))
    with pytest.raises(ConfigError, match='add --labels "2,0,1" '):
        check_classes(run, data, Interfaces())


def test_an_order_that_is_declared_for_the_model_has_to_fit_a_companion_too():
    swapped, same = of(("malignant", "benign")), of(("benign", "malignant"))
    told = Interfaces.parse("", "1,0")
    assert check_classes(RUN, swapped, told, "teacher") == ""
    with pytest.raises(
        ConfigError, match=r'^control: .* read as labels 1,0.* --labels "control=0,1" .*in a study'
    ):
        check_classes(RUN, same, told, "control")
    assert check_classes(RUN, same, Interfaces.parse("", ["1,0", "control=0,1"]), "control") == ""


@pytest.mark.parametrize(
    ("run", "names", "who"),
    [
        (RUN, ("0", "1"), "the data do"),
        (replace(RUN, labels=("0", "1")), ("benign", "malignant"), "its run does"),
        (replace(RUN, labels=("0", "1")), ("0", "1"), "the data do"),
        (None, ("benign", "malignant"), "its run does"),
    ],
)
def test_without_names_a_note_says_that_nothing_tells(run, names, who):
    assert check_classes(run, of(names), Interfaces()) == (
        f"class order: {who} not name the classes (label_names): nothing tells whether labels mean what they meant in "
        "the run"
    )


# -- The commands ----------------------------------------------------------------------------------------------------


def saved(file, data, order=(0, 1), names=()):
    """Write a data set with its labels in another order."""
    parts = {"train": data.train, "val": data.validation, "test": data.test}
    new = np.argsort(order).astype(np.uint8)
    np.savez(
        file,
        **{f"{name}_images": part.images for name, part in parts.items()},
        **{f"{name}_labels": new[part.labels] for name, part in parts.items()},
        **({"label_names": np.array(names)} if names else {}),
    )
    return str(file)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run on phantoms, and the same images with the labels the other way round, named and not."""
    root = tmp_path_factory.mktemp("run")
    done = fedrobust.run(
        "quickstart",
        out=root / "run",
        data__samples=600,
        model__name="edge-cnn(width=8)",
        model__image_size=28,
        federation__clients=2,
        federation__rounds=4,
        evaluation__attacks=[],
        evaluation__examples=0,
        audit__enabled=False,
        distillation__enabled=False,
        export__enabled=False,
        output__report=False,
    )
    data = phantom(train=600)
    saved(root / "swapped.npz", data, (1, 0), ("malignant", "benign"))
    saved(root / "unnamed.npz", data, (1, 0))
    return done


QUICK = {"epsilon": "1/255", "effort": "quick", "images": 20}
COMMANDS = {
    "attack": lambda run, data, out, **told: fedrobust.attack_model(
        run, data, ["fgsm"], ["1/255"], out=out, images=20, **told
    ),
    "audit": lambda run, data, out, **told: fedrobust.audit_model(run, data, out=out, **QUICK, **told),
    "certify": lambda run, data, out, **told: fedrobust.certify_model(
        run, data, 0.05, samples=50, images=60, **told
    ),
    "detect": lambda run, data, out, **told: fedrobust.detect_attacks(
        run, data, detector="mahalanobis", images=20, **told
    ),
    "export": lambda run, data, out, **told: fedrobust.export_model(
        run, data, ["float32"], attack=False, out=out, **told
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_takes_a_run_s_model_for_one_of_the_other_order(command, run, tmp_path):
    swapped = str(run.path.parent / "swapped.npz")
    with pytest.raises(ConfigError, match='add --labels "1,0"'):
        COMMANDS[command](run.path, swapped, tmp_path / "out")


def test_an_export_with_the_declared_order_names_the_outputs_rightly(run, tmp_path):
    swapped = str(run.path.parent / "swapped.npz")
    own = COMMANDS["export"](run.path, "", tmp_path / "own")
    other = COMMANDS["export"](run.path, swapped, tmp_path / "other", labels="1,0")
    assert other["files"][0]["accuracy"] > 0.6
    assert (tmp_path / "own" / "labels.txt").read_text().split() == ["benign", "malignant"]
    assert (tmp_path / "other" / "labels.txt").read_text().split() == ["malignant", "benign"]
    assert own["accuracy"] == pytest.approx(other["accuracy"], abs=0.15)


def test_a_certificate_is_of_the_declared_order(run, tmp_path):
    swapped = str(run.path.parent / "swapped.npz")
    found = COMMANDS["certify"](run.path, swapped, "", labels="1,0")
    assert found["unsmoothed"]["value"] > 0.6
    assert found["smoothed"]["value"] > 0.6


@pytest.mark.parametrize("form", ["float32", "onnx"])
def test_an_exported_file_names_its_outputs_wherever_it_is(form, run, tmp_path):
    if form == "onnx":
        pytest.importorskip("onnxruntime")
    swapped = str(run.path.parent / "swapped.npz")
    done = fedrobust.export_model(run.path, "", [form], attack=False, out=tmp_path / "files")
    file = str(tmp_path / "files" / done["files"][0]["file"])
    with pytest.raises(ConfigError, match=r'^the model: its classes are .* add --labels "1,0"'):
        fedrobust.attack_model(
            file, swapped, ["square(queries=5)"], ["1/255"], out=tmp_path / "out", images=20
        )
    if form == "float32":
        with pytest.raises(ConfigError, match=r'^edge: its classes are .* add --labels "edge=1,0"'):
            edge_companion(file, fedrobust.load_dataset(swapped))


def test_without_names_the_order_that_fits_is_asked_for(run, tmp_path):
    with pytest.raises(MisreadModelError, match='--labels "1,0" gives'):
        COMMANDS["attack"](run.path, str(run.path.parent / "unnamed.npz"), tmp_path / "out")


def test_a_run_as_a_control_is_compared_too(run, tmp_path):
    swapped = str(run.path.parent / "swapped.npz")
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ConfigError, match=r'^control: its classes are .* add --labels "control=1,0"'):
        COMMANDS["audit"](model, swapped, tmp_path / "out", control=str(run.path), labels="0,1", input="0..1")


def test_a_companion_in_a_folder_without_a_result_is_asked_about(run, tmp_path):
    (tmp_path / "experiment.toml").write_text(Experiment.of().to_toml())
    run.model().save(tmp_path / "model.keras")
    swapped = fedrobust.load_dataset(str(run.path.parent / "swapped.npz"))
    with pytest.raises(MisreadModelError, match=r'^control, .*--labels "control=1,0" gives'):
        companion(tmp_path, swapped, "native")
