"""Model files that cannot be used, and the ways to run code from one; `tests/integration/test_errors.py` has more.

A marker file tells whether code ran.
"""

import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

GREY = (28, 28, 1)
ATTACK = ("--data", "phantom", "--images", 10, "--attack", "fgsm", "--epsilon", "2/255")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The bytes of a `.keras` file of a small network."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(GREY)
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(inputs))
    path = tmp_path_factory.mktemp("good") / "good.keras"
    keras.Model(inputs, keras.layers.Dense(2, name="dense")(x)).save(path)
    return path.read_bytes()


@pytest.fixture
def write(good, tmp_path):
    """Write the good file with one member changed, or with more members."""

    def written(member="", change=lambda old: old, more=()):
        (tmp_path / "model.keras").write_bytes(good)
        with zipfile.ZipFile(tmp_path / "model.keras") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(tmp_path / "model.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, old in members.items():
                archive.writestr(name, change(old) if name == member else old)
            for name, content in more:
                archive.writestr(name, content)

    return written


def of_layer(place, **changes):
    """Return the change of a configuration in which one layer has other entries."""

    def change(old):
        config = json.loads(old)
        config["config"]["layers"][place].update(changes)
        return json.dumps(config).encode()

    return change


def of_setting(place, **changes):
    """Return the change of a configuration in which one layer has other settings."""

    def change(old):
        config = json.loads(old)
        config["config"]["layers"][place]["config"].update(changes)
        return json.dumps(config).encode()

    return change


def function(module, name):
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def layer(module, name, registered=None, /, **config):
    return of_layer(
        1, module=module, class_name=name, registered_name=registered, config={"name": "x", **config}
    )


MARKER = "marker"
CODE = {
    "eval as an activation": of_setting(-1, activation=function("builtins", "eval")),
    "system as an activation": of_setting(-1, activation=function("os", "system")),
    "a download as an activation": of_setting(-1, activation=function("keras.utils", "get_file")),
    "Keras' inner modules": of_setting(-1, activation=function("keras.src.utils.file_utils", "get_file")),
    "another model as an activation": of_setting(-1, activation=function("keras.saving", "load_model")),
    "NumPy's loader as an activation": of_setting(-1, activation=function("numpy", "load")),
    "a writer of TensorFlow": of_setting(-1, activation=function("tensorflow.io", "write_file")),
    "a pickled function": of_setting(-1, activation={"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}),
    "a Lambda": layer("keras.layers", "Lambda", function={"class_name": "__lambda__", "config": {"value": "4wEA"}}),
    "system as a layer": layer("os", "system", command=f"touch {MARKER}"),
    "a process as a layer": layer("subprocess", "Popen", args=["touch", MARKER]),
    "NumPy's loader as a layer": layer("numpy", "load", file=MARKER),
    "a download as a layer": layer("keras.utils", "get_file", fname=MARKER, origin="file:///etc/hostname"),
    "a module of PyTorch": layer("keras.layers", "TorchModuleWrapper", module="gASVIQAAAAA="),
    "a SavedModel": layer("keras.layers", "TFSMLayer", filepath="saved", call_endpoint="serve"),
    "a vocabulary from a file": layer("keras.layers", "StringLookup", vocabulary="/etc/hostname"),
    "a registered class": layer(None, "Evil", "package>Evil"),
}  # fmt: skip
QUICK = ("system as a layer",)


SLOW = [pytest.param(each, marks=pytest.mark.slow) for each in CODE if each not in QUICK]


@pytest.mark.parametrize("case", [*QUICK, *SLOW])
def test_code(refused, write, tmp_path, case):
    write("config.json", CODE[case])
    refused("attack", "model.keras", *ATTACK, message="model.keras: ")
    assert not (tmp_path / MARKER).exists()


@pytest.mark.slow
@pytest.mark.parametrize("case", CODE)
def test_code_in_an_old_file(refused, good, tmp_path, case):
    """The same in the attributes of an HDF5 file."""
    with zipfile.ZipFile(_put(tmp_path / "good.keras", good)) as archive:
        config = CODE[case](archive.read("config.json"))
    (tmp_path / "good.keras").unlink()
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = keras.__version__, "tensorflow"
        file.attrs["model_config"] = config
        file.create_group("model_weights")
    refused("attack", "model.h5", *ATTACK, message="model.h5: ")
    assert not (tmp_path / MARKER).exists()


def _put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_setting(-1, units=4 * 10**7), "declare 7,840,000,0"),
        *(
            pytest.param(of_setting(place, **setting), message, marks=pytest.mark.slow)
            for place, setting, message in (
                (-1, {"units": 10**9}, "declare 196,000,000,0"),
                (-1, {"units": 10**30}, "bytes of weights; allowed"),
                (-1, {"units": -1}, "Keras cannot open it"),
                (0, {"batch_shape": [None, 10**6, 10**6, 1]}, "Keras cannot open it"),
            )
        ),
    ],
)
def test_what_the_layers_declare_is_bounded_before_it_is_allocated(refused, write, change, message):
    write("config.json", change)
    refused("attack", "model.keras", *ATTACK, message=message)


def many_layers(old):
    config = json.loads(old)
    layers = config["config"]["layers"]
    layers += [{**layers[-1], "name": f"x{place}"} for place in range(6000)]
    return json.dumps(config).encode()


def test_more_layers_than_any_network_has(refused, write):
    write("config.json", many_layers)
    refused("attack", "model.keras", *ATTACK, message="6,00")


OUTSIDE = ["/tmp/evil", "assets/../../evil", "..\\evil"]


@pytest.mark.parametrize(
    "member", ["../../evil", *(pytest.param(each, marks=pytest.mark.slow) for each in OUTSIDE)]
)
def test_members_outside_of_the_archive(refused, write, member):
    write(more=[(member, b"evil")])
    refused("attack", "model.keras", *ATTACK, message="lies outside of the archive")


def kernel(file):
    """Return the name of the Dense layer's kernel in a file of weights."""
    found = []
    file.visititems(
        lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) and item.ndim == 2 else None
    )
    return found[0]


def link(file, name, shape):
    file[name] = h5py.ExternalLink("/etc/hostname", "/x")


def storage(file, name, shape):
    file.create_dataset(name, shape, "f4", external=[("/proc/self/environ", 0, h5py.h5f.UNLIMITED)])


def huge(file, name, shape):
    file.create_dataset(name, (10**6, 10**6), "f4", chunks=(1000, 1000), compression="gzip")


def nowhere(file, name, shape):
    file[name] = h5py.SoftLink("/nowhere")


def other_shape(file, name, shape):
    file[name] = np.zeros((3, 3), np.float32)


def text(file, name, shape):
    file[name] = "weights"


WEIGHTS = (link, storage, huge, nowhere, other_shape, text)


@pytest.mark.parametrize(
    "make",
    [storage, *(pytest.param(each, marks=pytest.mark.slow) for each in WEIGHTS if each is not storage)],
)
def test_weights_that_are_elsewhere_or_of_another_size(refused, write, tmp_path, make):
    def change(old):
        path = _put(tmp_path / "weights.h5", old)
        with h5py.File(path, "r+") as file:
            name = kernel(file)
            shape = file[name].shape
            del file[name]
            make(file, name, shape)
        try:
            return path.read_bytes()
        finally:
            path.unlink()

    write("model.weights.h5", change)
    refused("attack", "model.keras", *ATTACK, message="Keras cannot open it")


@pytest.mark.slow  # three gigabytes are packed
@pytest.mark.parametrize("method", ["ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"])
@pytest.mark.parametrize("member", ["model.weights.h5", "metadata.json"])
def test_a_bomb(refused, good, tmp_path, method, member):
    with zipfile.ZipFile(_put(tmp_path / "good.keras", good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (tmp_path / "good.keras").unlink()
    with zipfile.ZipFile(tmp_path / "model.keras", "w", getattr(zipfile, method)) as archive:
        for name, content in members.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
                for _ in range(400 if name == member else 0):
                    file.write(bytes(2**23))
    refused("attack", "model.keras", *ATTACK, message="no model is packed as tightly")


def small(*shape, outputs=1, dtype="float32"):
    inputs = keras.Input(shape, dtype=dtype)
    x = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, [x, 2.0 * x][:outputs] if outputs > 1 else x)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: small(28, 28, 1, outputs=2), "it has 2 outputs"),
        (lambda: small(784), "its input is (None, 784)"),
        (lambda: small(28, 28, 1, 1), "its input is (None, 28, 28, 1, 1)"),
    ],
)
def test_networks_that_do_not_take_images(refused, tmp_path, model, message):
    model().save(tmp_path / "model.keras")
    refused("attack", "model.keras", *ATTACK, message=message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ending", [{"activation": "softmax"}, {"activation": "sigmoid", "units": 1}, {"units": 1}]
)
@pytest.mark.parametrize("batch", [None, 8])
def test_one_logit_probabilities_and_a_fixed_batch_are_understood(command, tmp_path, ending, batch):
    inputs = keras.Input(batch_shape=(batch, *GREY))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(inputs))
    keras.Model(inputs, keras.layers.Dense(**{"units": 2, **ending})(x)).save(tmp_path / "model.keras")
    done = command("attack", "model.keras", *ATTACK)
    assert done.exit_code == 0, done.output
