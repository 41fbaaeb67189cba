"""`fedrobust export`: files of a model on a small data set, their figures, and what stands beside them."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from test_cli import fedrobust as command

import fedrobust
from fedrobust.config import ConfigError
from fedrobust.edge import choice
from fedrobust.edge.about import read_about
from fedrobust.runs.codec import read, to_json
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import RunRecord
from fedrobust.runs.record.export import ExportResultRecord


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small data set, bright or dark images of 12 pixels, and a model of it in another format."""
    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    splits = {}
    for split, n in (("train", 60), ("val", 20), ("test", 40)):
        labels = np.arange(n) % 2
        images = 90 + 40 * labels[:, None, None] + rng.normal(0, 25, (n, 12, 12))
        splits |= {
            f"{split}_images": images.clip(0, 255).astype(np.uint8),
            f"{split}_labels": labels[:, None],
        }
    np.savez(folder / "bright.npz", **splits)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 127.5, -1)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x)))
    model.compile("adam", "sparse_categorical_crossentropy")
    train = splits["train_images"][..., None].astype(np.float32)
    model.fit(train, splits["train_labels"], epochs=25, verbose=0)
    model.save(folder / "foreign.keras")
    return folder


@pytest.fixture(scope="module")
def done(place):
    return fedrobust.export_model(
        place / "foreign.keras",
        str(place / "bright.npz"),
        ["float32", "int8"],
        images=20,
        out=place / "out",
    )


def test_a_foreign_model_is_exported_for_images_in_0_to_1_with_its_figures(place, done):
    assert sorted(path.name for path in (place / "out").iterdir()) == [
        *("attacks", "classify.py", "export.html", "export.json", "labels.txt"),
        *("model.float32.tflite", "model.int8.tflite", "request.json"),
    ]
    assert done["accuracy"] > 0.9
    exact, small = done["files"]
    assert (exact["format"], exact["changed"], exact["agreement"]) == ("float32", 0, 1.0)
    assert small["agreement"] >= 0.95
    assert small["bytes"] < exact["bytes"]
    assert [file["taken"] for file in done["files"]].count(True) == 1
    assert all(file["peak-bytes"] > 0 for file in done["files"])
    assert done["calibration"] == 60
    about = read_about(place / "out" / "model.int8.tflite")
    assert (about.image_shape, len(about.labels), about.data) == ((12, 12, 1), 2, done["data"]["name"])
    assert "input format 0..255" in done["notes"][0]


@pytest.mark.parametrize(("name", "inside"), [("model", "median"), ("student", "median"), ("undefended", "")])
def test_a_file_says_which_defence_is_inside_where_that_is_known(place, tmp_path, name, inside):
    run = RunFolder(tmp_path)
    run.write_text(
        "experiment.toml", 'name = "tiny"\n[model]\ndefence = "median"\ndetector = "mahalanobis"\n'
    )
    run.write_json("result.json", RunRecord(status="finished", name="tiny").to_json())
    model = tmp_path / f"{name}.keras"
    model.write_bytes((place / "foreign.keras").read_bytes())
    done = fedrobust.export_model(
        model, str(place / "bright.npz"), ["float32"], attack=False, out=tmp_path / "out"
    )
    (file,) = done["files"]
    assert read_about(tmp_path / "out" / file["file"]).defence == inside
    assert any("hold no detector" in note for note in done["notes"]) == (name == "model")


def test_the_file_to_take_is_attacked_and_not_more_robust_than_every_attack_shows(done):
    found = done["robustness"]
    assert found["file"] in {file["file"] for file in done["files"] if file["taken"]}
    assert set(found["right"]) == {"float transfer", "straight-through PGD", "Square", "RayS"}
    assert found["worst"] <= min(found["right"].values()) <= max(found["right"].values()) <= found["clean"]
    assert found["n"] == 20
    assert found["accuracy"] == found["worst"] / 20
    assert found["interval"][0] <= found["accuracy"] <= found["interval"][1]


def test_a_rounding_in_the_model_does_not_hide_the_file_from_its_gradients(place, tmp_path):
    """Behind 16 grey levels the float model's own gradient is zero: PGD without a stand-in leaves what is right."""
    model = keras.models.load_model(place / "foreign.keras", compile=False)
    inputs = keras.Input((12, 12, 1))
    rounded = keras.ops.round(inputs * (15 / 255)) * (255 / 15)
    keras.Model(inputs, model(rounded)).save(tmp_path / "rounded.keras")
    settings = {"images": 20, "epsilon": 0.2, "out": tmp_path / "out"}
    data = str(place / "bright.npz")
    found = fedrobust.export_model(tmp_path / "rounded.keras", data, ["float32"], **settings)["robustness"]
    assert found["clean"] == 20
    assert max(found["right"]["float transfer"], found["right"]["straight-through PGD"]) < 5
    assert found["model-right"]["straight-through PGD"] < 5


def test_json_and_page_hold_the_same(place, done):
    content = json.loads((place / "out" / "export.json").read_text())
    assert {**content, "folder": done["folder"]} == json.loads(json.dumps(done))
    assert to_json(read(ExportResultRecord, content)) == content
    page = (place / "out" / "export.html").read_text()
    for said in ("Which file to take?", "Is the file robust?", "model.int8.tflite", "RayS"):
        assert said in page


@pytest.mark.slow
def test_the_command_writes_the_table_and_where_the_page_is(place):
    words = [
        "export",
        "foreign.keras",
        "--data",
        "bright.npz",
        "--format",
        "float16",
        "--no-attack",
        "--out",
        "said",
    ]
    said = command(*words, folder=place).stdout
    assert "model.float16.tflite" in said
    assert "Take model.float16.tflite." in " ".join(said.split())
    assert said.strip().endswith("said/export.html")
    assert json.loads((place / "said" / "export.json").read_text())["robustness"] is None


def test_predict_and_the_script_agree_on_what_the_file_says(place, done, tmp_path):
    from PIL import Image

    test = np.load(place / "bright.npz")["test_images"][:6]
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, image in zip(paths, test, strict=True):
        Image.fromarray(image).save(path)
    file = place / "out" / "model.int8.tflite"
    ours = [one.name for one in fedrobust.predict(file, *paths)]
    script = [sys.executable, str(place / "out" / "classify.py"), str(file), *map(str, paths)]
    lines = subprocess.run(script, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("\t")[1].rpartition("=")[0] for line in lines] == ours
    assert len(set(ours)) == 2


def test_where_int8_answers_otherwise_another_file_takes_its_place(place, monkeypatch):
    # No file changes less than none of the answers: int8 is made to raise its alarm.
    real = choice.changes_too_many
    monkeypatch.setattr(choice, "changes_too_many", lambda one: one.format == "int8" or real(one))
    found = fedrobust.export_model(
        place / "foreign.keras", str(place / "bright.npz"), ["int8"], attack=False, out=place / "other"
    )
    assert [file["format"] for file in found["files"]] == ["int8", "dynamic"]
    assert "int8.tflite changes" in found["files"][0]["alarm"]
    assert [file["taken"] for file in found["files"]] == [False, True]
    assert "int8.tflite changes" in (place / "other" / "export.html").read_text()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"formats": ["int9"]}, "formats = int9; allowed: float32, float16"),
        ({"formats": []}, "formats = none; allowed"),
        ({"epsilon": 2}, "epsilon = 2"),
        ({"data": ""}, "data: name the images"),
    ],
)
def test_what_is_wrong_is_said_before_the_model_is_opened(place, settings, said):
    data = settings.pop("data", str(place / "bright.npz"))
    with pytest.raises(ConfigError, match=said):
        fedrobust.export_model(place / "foreign.keras", data, **settings)


def test_a_function_is_not_exported(place):
    with pytest.raises(ConfigError, match="only those can be exported"):
        fedrobust.export_model(lambda images: images[:, 0, 0, :2], str(place / "bright.npz"))


@pytest.mark.slow
def test_global_model_and_student_of_a_run_are_exported_with_the_runs_data(tmp_path):
    run = fedrobust.run(
        out=tmp_path / "run",
        data__samples=400,
        federation__rounds=2,
        distillation__epochs=3,
        model__defence="bit-depth(bits=5)",
        export__formats=("float32", "dynamic"),
        audit__enabled=False,
        evaluation__attacks=(),
        output__report=False,
    )
    rounded = fedrobust.export_model(run.path, formats=["int8"], attack=False, out=tmp_path / "rounded")
    assert [file["file"] for file in rounded["files"]] == ["model.dynamic.tflite"]
    assert "an operation has no int8 form; dynamic, float16 and float32" in rounded["notes"][-1]
    for model, stem in ((run.path, "model"), (run.path / "student.keras", "student")):
        done = fedrobust.export_model(
            model, formats=["float32", "dynamic"], attack=False, out=tmp_path / stem
        )
        assert [file["file"] for file in done["files"]] == [
            f"{stem}.float32.tflite",
            f"{stem}.dynamic.tflite",
        ]
        assert done["files"][0]["agreement"] == 1.0
        about = read_about(tmp_path / stem / f"{stem}.float32.tflite")
        assert about.defence == "bit-depth(bits=5)"
        assert about.labels == tuple(run.result["dataset"]["labels"])


def test_a_litert_file_is_audited_by_queries(place, done):
    card = fedrobust.audit_model(
        place / "out" / "model.int8.tflite",
        str(place / "bright.npz"),
        effort="quick",
        images=20,
        out=place / "audited",
    )
    assert any("a LiteRT file has no gradient" in note for note in card["notes"])
    assert card["verdict"]["word"] in ("not robust", "not proven", "degenerate")
    assert card["clean"]["accuracy"] >= 0.9
    with pytest.raises(ConfigError, match="only those can be exported"):
        fedrobust.export_model(place / "out" / "model.int8.tflite", str(place / "bright.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["breastmnist", "pneumoniamnist"])
def test_an_int8_student_stays_the_student_it_was(name, tmp_path, real_data):
    """Within 2 points of float32, a third of its size, 97 % of its answers; and classified alike without TensorFlow."""
    run = fedrobust.run(
        out=tmp_path / "run",
        data__name=name,
        data__root=str(real_data),
        federation__rounds=5,
        audit__enabled=False,
        evaluation__attacks=(),
        output__report=False,
    )
    done = fedrobust.export_model(run.path / "student.keras", attack=False, out=tmp_path / "out")
    exact, small = done["files"][:2]
    assert (exact["format"], small["format"]) == ("float32", "int8")
    assert abs(small["accuracy"] - exact["accuracy"]) <= 0.02
    assert small["bytes"] <= exact["bytes"] / 3
    assert small["agreement"] >= 0.97
    # The student has learnt: better than a constant classifier.
    assert exact["accuracy"] > exact["metrics"]["majority_rate"]
