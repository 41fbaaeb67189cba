"""Keras files of others: what is opened, and what is said of the rest."""

import json
import warnings
import zipfile
from types import SimpleNamespace
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from fedrobust.models import keras_file as module
from fedrobust.models.keras_file import FOREIGN, FUNCTION, WANTED, ModelFileError, check_finite, load_keras


def dense():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def archive(path, config, method=zipfile.ZIP_DEFLATED, **members):
    """Write a ``.keras`` archive with this configuration."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in {"config.json": config, **members}.items():
            file.writestr(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return path


def hdf5(path, **attributes):
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
    return path


def refusal(path):
    with pytest.raises(ModelFileError) as refused:
        load_keras(path)
    return str(refused.value)


@pytest.fixture
def keras_raises(monkeypatch):
    """Let Keras fail in a given way to open any file."""

    def fail(error):
        def load_model(path, compile):
            raise error

        monkeypatch.setattr(keras.models, "load_model", load_model)

    return fail


@pytest.mark.parametrize("ending", ["keras", "h5", "hdf5"])
def test_files_of_both_kinds_answer_as_their_model_and_are_not_compiled(tmp_path, ending, draw):
    model, rows = dense(), draw.random((4, 3)).astype(np.float32)
    model.save(tmp_path / f"model.{ending}")
    loaded = load_keras(tmp_path / f"model.{ending}")
    np.testing.assert_array_equal(loaded(rows), model(rows))
    assert not loaded.compiled


def test_keras_own_warnings_are_left_out(tmp_path, monkeypatch):
    model = dense()

    def load_model(path, compile):
        warnings.warn("built with an older version", stacklevel=1)
        return model

    monkeypatch.setattr(keras.models, "load_model", load_model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_keras(archive(tmp_path / "model.keras", {})) is model


def test_folders_and_files_that_are_not_there_are_told_apart(tmp_path):
    assert refusal(tmp_path) == f"{tmp_path}: a folder, but not a run's; {WANTED}"
    (tmp_path / "saved_model.pb").touch()
    assert refusal(tmp_path) == (
        f"{tmp_path}: a TensorFlow SavedModel, which Keras 3 does not open; where the model was made, save it with "
        f'model.save("model.keras") and give that file; or in Python: {FUNCTION}'
    )
    path = tmp_path / "model.keras"
    assert refusal(path) == f"{path}: there is no such file"
    (tmp_path / "experiment.toml").touch()
    assert refusal(path) == f"{path}: there is no such file: the run in this folder has not written its model"
    path.write_bytes(b"")
    below = path / "model.keras"
    assert refusal(below) == f"{below}: cannot be read: Not a directory"


def test_a_file_in_a_run_folder_is_opened(tmp_path):
    (tmp_path / "experiment.toml").touch()
    dense().save(tmp_path / "model.keras")
    assert load_keras(tmp_path / "model.keras").count_params() == 8


@pytest.mark.parametrize(("ending", "what"), FOREIGN.items())
def test_files_of_other_libraries_are_called_by_their_kind(tmp_path, ending, what):
    for path in (tmp_path / f"net{ending}", tmp_path / f"net{ending.upper()}"):
        path.touch()
        assert refusal(path) == f"{path}: {what}; {WANTED}; or in Python: {FUNCTION}"


@pytest.mark.parametrize(
    ("name", "ending"), [("net.xyz", ".xyz"), ("net", "nothing"), ("net.keras.zip", ".zip")]
)
def test_files_of_other_names_are_refused_by_the_name(tmp_path, name, ending):
    path = tmp_path / name
    path.touch()
    assert refusal(path) == f"{path}: a name that ends in {ending}; {WANTED}"


def test_a_file_under_the_name_of_the_other_kind_is_to_be_renamed(tmp_path):
    path = hdf5(tmp_path / "model.keras")
    assert refusal(path) == f"{path}: an HDF5 file, as Keras 2 writes them; rename it to end in .h5"
    for name in ("model.h5", "model.hdf5"):
        path = archive(tmp_path / name, {})
        assert refusal(path) == f"{path}: an archive of Keras 3; rename it to end in .keras"


@pytest.mark.parametrize("ending", [".KERAS", ".H5", ".Hdf5"])
def test_a_name_in_capital_letters_is_to_be_written_small(tmp_path, ending):
    path = tmp_path / f"MODEL{ending}"
    path.touch()
    assert refusal(path) == (
        f"{path}: Keras goes by the ending in small letters; rename it to end in {ending.lower()}"
    )


LAMBDA = {"class_name": "Lambda", "config": {"name": "twice"}}
LAMBDA_REFUSED = (
    "is a Lambda: Python code in a file, which is not run. Rebuild the model with Keras' own layers; or, if you trust "
    "the file, open it in Python with safe_mode=False and hand the model to fedrobust.attack_model or audit_model"
)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (LAMBDA, "twice"),
        ({"class_name": "Functional", "config": {"layers": [{"class_name": "Dense"}, [LAMBDA]]}}, "twice"),
        ([{"module": "keras", "class_name": 3}, {"class_name": "Lambda", "config": {}}], ""),
        ({"config": {"class_name": "Lambda", "config": "none"}}, ""),
        ({"config": {"class_name": "Lambda"}}, ""),
    ],
)
def test_code_in_a_file_is_refused_wherever_it_is_before_keras_opens_it(tmp_path, config, name, keras_raises):
    keras_raises(AssertionError("was opened"))
    for path in (
        archive(tmp_path / "model.keras", config),
        hdf5(tmp_path / "model.h5", model_config=json.dumps(config)),
    ):
        assert refusal(path) == f"{path}: its layer {name!r} {LAMBDA_REFUSED}"


def unknown(names):
    return (
        f"Keras does not know {names}, of which the file holds no code: rebuild the model with Keras' own layers; or "
        "register the class in Python (keras.saving.register_keras_serializable), open the file there, and hand the "
        "model to fedrobust.attack_model or audit_model"
    )


DENSE: dict[str, Any] = {
    "class_name": "Dense",
    "module": "keras.layers",
    "registered_name": None,
    "config": {},
}
NOT_OPENED = f"Keras cannot open it (no such thing); {WANTED}"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (DENSE, NOT_OPENED),
        ({**DENSE, "registered_name": "Dense"}, NOT_OPENED),
        ({"class_name": "dtype", "module": "numpy"}, NOT_OPENED),
        ({"class_name": "set", "module": "builtins"}, NOT_OPENED),
        ({"class_name": "TensorShape", "module": "tensorflow"}, NOT_OPENED),
        ({"class_name": "Dense", "module": 3}, NOT_OPENED),
        ({"class_name": "Shift"}, NOT_OPENED),
        ({"class_name": "Dense", "inbound_nodes": []}, NOT_OPENED),
        ({"class_name": "Functional", "inbound_nodes": []}, NOT_OPENED),
        ({"class_name": "Model", "inbound_nodes": []}, NOT_OPENED),
        ({"class_name": "Sequential", "inbound_nodes": []}, NOT_OPENED),
        ({"class_name": "Shift", "inbound_nodes": []}, unknown("'Shift'")),
        ({"class_name": "Shift", "module": None}, unknown("'Shift'")),
        ({"class_name": "Shift", "module": "keras_of.mine"}, unknown("'Shift'")),
        ({**DENSE, "registered_name": "mine>Dense"}, unknown("'Dense'")),
        ({"class_name": "mine>Shift"}, unknown("'mine>Shift'")),
        (
            [{"class_name": "Z", "module": None}, DENSE, *[{"class_name": "A", "module": None}] * 2],
            unknown("'A', 'Z'"),
        ),
    ],
)
def test_classes_that_keras_does_not_have_are_named(tmp_path, config, reason, keras_raises):
    keras_raises(ValueError("no such thing\nand more"))
    path = archive(tmp_path / "model.keras", config)
    assert refusal(path) == f"{path}: {reason}"


class ResourceExhaustedError(Exception):
    """As TensorFlow calls what does not fit."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "the model does not fit into this machine's memory"),
        (ResourceExhaustedError("OOM"), "the model does not fit into this machine's memory"),
        (
            ValueError("No model config found in the file"),
            f"it holds weights without their network; {WANTED}",
        ),
        (ValueError("No model found in config file."), f"it holds weights without their network; {WANTED}"),
        (SystemExit(3), f"Keras cannot open it (3); {WANTED}"),
        (KeyError(), f"Keras cannot open it (KeyError); {WANTED}"),
    ],
)
def test_whatever_keras_raises_becomes_a_reason(tmp_path, error, reason, keras_raises):
    keras_raises(error)
    for path in (archive(tmp_path / "model.keras", DENSE), hdf5(tmp_path / "model.h5")):
        assert refusal(path) == f"{path}: {reason}"


@pytest.mark.parametrize("version", ["2.2.4-tf", "1.0", np.bytes_(b"2.\xff")])
def test_files_of_older_versions_are_to_be_opened_by_those(tmp_path, version, keras_raises):
    keras_raises(ValueError("q" * 100))
    path = hdf5(tmp_path / "model.h5", keras_version=version)
    written = version if isinstance(version, str) else "2.\ufffd"
    assert refusal(path) == (
        f"{path}: written by Keras {written}, which Keras 3 cannot open ('{'q' * 39}...{'q' * 19}'); open it with the "
        "Keras that wrote it and hand fedrobust.audit_model a function predict(images) that calls it, or build the "
        "network anew in Keras 3 and load its weights"
    )


@pytest.mark.parametrize("attributes", [{"keras_version": "3.10.0"}, {"keras_version": "20"}, {}])
def test_files_of_this_version_or_of_none_are_not_called_old(tmp_path, attributes, keras_raises):
    keras_raises(ValueError("no such thing"))
    path = hdf5(tmp_path / "model.h5", **attributes)
    assert refusal(path) == f"{path}: {NOT_OPENED}"


@pytest.mark.parametrize("content", [b"", b"no HDF5 file", b"\x89HDF\r\n\x1a\n"])
def test_a_damaged_hdf5_file_is_refused(tmp_path, content, keras_raises):
    keras_raises(ValueError("no such thing"))
    path = tmp_path / "model.h5"
    path.write_bytes(content)
    assert refusal(path) == f"{path}: {NOT_OPENED}"


@pytest.mark.parametrize("config", ["{", "[" * 100_000, ""])
def test_an_hdf5_file_whose_network_cannot_be_parsed_is_left_to_keras(tmp_path, config, keras_raises):
    keras_raises(ValueError("no such thing"))
    path = hdf5(tmp_path / "model.h5", model_config=config[:60_000])
    assert refusal(path) == f"{path}: {NOT_OPENED}"


def test_a_network_too_long_to_parse_is_left_to_keras_in_hdf5_and_refused_in_an_archive(
    tmp_path, monkeypatch, keras_raises
):
    keras_raises(ValueError("no such thing"))
    text = json.dumps({"class_name": "Shift", "module": None})
    paths = [hdf5(tmp_path / "model.h5", model_config=text), archive(tmp_path / "model.keras", text)]
    monkeypatch.setattr(module, "MOST_CONFIG_BYTES", len(text))
    for path in paths:
        assert refusal(path) == f"{path}: {unknown(repr('Shift'))}"
    monkeypatch.setattr(module, "MOST_CONFIG_BYTES", len(text) - 1)
    assert refusal(paths[0]) == f"{paths[0]}: {NOT_OPENED}"
    assert refusal(paths[1]) == f"{paths[1]}: its config.json has {len(text)} bytes; allowed: {len(text) - 1}"
    monkeypatch.setattr(module, "MOST_CONFIG_BYTES", 2000)
    long = archive(tmp_path / "long.keras", text.ljust(2001))
    assert refusal(long) == f"{long}: its config.json has 2,001 bytes; allowed: 2,000"


def test_an_archive_is_refused_where_it_is_both_large_and_packed_more_tightly_than_any_model(
    tmp_path, monkeypatch, keras_raises
):
    keras_raises(ValueError("no such thing"))
    zeros = bytes(1_000_000)
    tight = archive(tmp_path / "tight.keras", DENSE, zeros=zeros)
    loose = archive(tmp_path / "loose.keras", DENSE, zipfile.ZIP_STORED, zeros=zeros)
    size, unpacked = tight.stat().st_size, len(zeros) + len(json.dumps(DENSE))
    assert unpacked > module.MOST_RATIO * size
    for path in (tight, loose):
        assert refusal(path) == f"{path}: {NOT_OPENED}", "neither is large"
    monkeypatch.setattr(module, "MOST_UNPACKED", unpacked - 1)
    assert refusal(loose) == f"{loose}: {NOT_OPENED}"
    assert refusal(tight) == (
        f"{tight}: {size:,} bytes that unpack to {unpacked:,}: refused, no model is packed as tightly"
    )
    monkeypatch.setattr(module, "MOST_UNPACKED", unpacked)
    assert refusal(tight) == f"{tight}: {NOT_OPENED}"


def test_archives_that_are_none_or_lack_their_configuration_are_refused(tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(b"nothing")
    assert refusal(path) == (
        f"{path}: Keras cannot open it, it is damaged or of another kind (File is not a zip file); {WANTED}"
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("other.json", "{}")
    assert refusal(path) == f"{path}: Keras cannot open it: it holds no config.json; {WANTED}"
    archive(path, "{")
    assert refusal(path).startswith(
        f"{path}: Keras cannot open it, it is damaged or of another kind (Expecting "
    )


def test_a_damaged_member_is_called_damaged(tmp_path):
    path = archive(tmp_path / "model.keras", {"class_name": "Dense", "config": list(range(99))})
    content = bytearray(path.read_bytes())
    start = 30 + len("config.json")
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith(f"{path}: damaged (Error -3 while decompressing data")
    assert message.endswith("); copy or save it again")


def variable(array, path="dense/kernel"):
    return SimpleNamespace(numpy=lambda: array, path=path)


def test_weights_that_are_no_numbers_are_counted():
    def unreadable():
        raise ValueError("a resource")

    fine = [
        SimpleNamespace(path="no array"),
        SimpleNamespace(path="state", numpy=unreadable),
        variable(np.arange(4)),
        variable(np.array(["text"])),
        variable(np.ones((2, 2), np.float16)),
    ]
    check_finite(SimpleNamespace(weights=fine), "model.keras")
    for wrong in (np.nan, np.inf, -np.inf):
        array = np.array([[0.0, wrong, 1.0], [wrong, 2.0, 3.0]], np.float32)
        with pytest.raises(ModelFileError) as refused:
            check_finite(SimpleNamespace(weights=[*fine, variable(array, "head/bias")]), "model.keras")
        assert str(refused.value) == (
            "model.keras: 2 of 6 numbers of head/bias are NaN or infinite: its training diverged; give a model with "
            "finite weights"
        )


def test_a_file_with_weights_that_are_no_numbers_is_refused_by_its_path(tmp_path):
    model = dense()
    model.set_weights([np.full((3, 2), np.nan), np.zeros(2)])
    model.save(tmp_path / "model.keras")
    assert refusal(tmp_path / "model.keras").startswith(f"{tmp_path / 'model.keras'}: 6 of 6 numbers of ")
