"""Wrong input at the command line: one line on standard error, an exit code that says whose turn it is, nothing left.

In this process, where TensorFlow is running already.
"""

import json
import os
import shlex
import signal
import zipfile

import h5py
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from fedrobust import cli
from fedrobust.atomic import DiskError
from fedrobust.registry import UnknownNameError

GREY = (28, 28, 1)


@pytest.fixture
def fedrobust(tmp_path, monkeypatch):
    """Run a command in an empty folder; the answer is click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fedrobust.runtime.claim_process", lambda: None)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    yield run
    assert signal.getsignal(signal.SIGTERM) == before


def dense(classes=2, activation=None, batch=None, name="dense"):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(batch_shape=(batch, *GREY))
    x = keras.layers.Flatten()(keras.layers.AveragePooling2D(4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, activation=activation, name=name)(x))


class Shift(keras.layers.Layer):
    def call(self, x):
        return x + 1.0


def with_shift():
    model = dense()
    return keras.Model(model.inputs, Shift()(model.outputs[0]))


def with_lambda():
    model = dense()
    return keras.Model(model.inputs, keras.layers.Lambda(lambda x: x * 2, name="twice")(model.outputs[0]))


def with_nan(value=np.nan):
    model = dense()
    kernel, bias = model.layers[-1].get_weights()
    kernel[3, 1] = value
    model.layers[-1].set_weights([kernel, bias])
    return model


def with_nan_answers():
    model = dense()
    return keras.Model(model.inputs, keras.ops.log(model.outputs[0] * 0.0 - 1.0))


def written_by_keras_2(path):
    """An HDF5 file with a list of layers, as TensorFlow 1 wrote them."""
    layers = [
        {"class_name": "Dense", "config": {"name": "dense", "units": 2, "batch_input_shape": [None, 3]}}
    ]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.2.4-tf", "tensorflow"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": layers})


def changed(path, member, content, method=zipfile.ZIP_DEFLATED):
    """Replace one member of an archive."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, old in members.items():
            archive.writestr(name, content(old) if name == member else old)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of model files, good and bad."""
    folder = tmp_path_factory.mktemp("models")
    dense().save(folder / "good.keras")
    dense(batch=8).save(folder / "fixed.keras")
    with_shift().save(folder / "custom.keras")
    with_lambda().save(folder / "lambda.keras")
    with_nan().save(folder / "nan.keras")
    with_nan(np.inf).save(folder / "inf.keras")
    with_nan_answers().save(folder / "answers.keras")
    dense(3).save(folder / "three.keras")
    dense().save_weights(folder / "only.weights.h5")
    dense().save(folder / "good.h5")
    with_shift().save(folder / "custom.h5")
    with_lambda().save(folder / "lambda.h5")
    written_by_keras_2(folder / "old.h5")
    (folder / "renamed.keras").write_bytes((folder / "good.h5").read_bytes())
    (folder / "renamed.h5").write_bytes((folder / "good.keras").read_bytes())
    dense().export(folder / "saved_model", verbose=False)
    (folder / "empty").mkdir()
    (folder / "nothing.keras").write_bytes(b"")
    (folder / "text.keras").write_text("no model")
    for name in ("net.onnx", "net.pt", "net.tflite", "net.safetensors", "net.xyz", "net"):
        (folder / name).write_bytes(b"\x00" * 64)
    whole = (folder / "good.keras").read_bytes()
    (folder / "cut.keras").write_bytes(whole[: len(whole) // 2])
    for name, member, content in (
        ("bomb", "config.json", lambda old: old + b" " * 2**27),
        ("deep", "config.json", lambda old: b"[" * 10**6),
        ("other", "config.json", lambda old: b"[1, 2]"),
        ("binary", "config.json", lambda old: b"\xff\xfe\x00"),
        ("weights", "model.weights.h5", lambda old: old[: len(old) // 2]),
    ):
        (folder / f"{name}.keras").write_bytes(whole)
        changed(folder / f"{name}.keras", member, content)
    with zipfile.ZipFile(folder / "zip.keras", "w") as archive:
        archive.writestr("readme.txt", "not a model")
    return folder


def refused(done, message, code=2):
    assert done.exit_code == code, done.output
    error = done.stderr
    assert message in error
    assert error.startswith("error: "), error
    assert error.count("\n") == 1, error
    assert "Traceback" not in done.output
    assert "internal error" not in error


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("none.keras", "there is no such file"),
        ("nothing.keras", "Keras cannot open it"),
        ("text.keras", "Keras cannot open it"),
        ("zip.keras", "holds no config.json"),
        ("cut.keras", "Keras cannot open it"),
        ("bomb.keras", "its config.json has 134,2"),
        ("deep.keras", "Keras cannot open it"),
        ("other.keras", "Keras cannot open it"),
        ("binary.keras", "Keras cannot open it"),
        ("weights.keras", "Keras cannot open it"),
        ("nan.keras", "1 of 98 numbers of dense/kernel are NaN or infinite"),
        ("inf.keras", "NaN or infinite"),
        ("answers.keras", "outputs on plain images are NaN or infinite"),
        ("three.keras", "has 3 outputs, the data have 2 classes"),
        ("custom.keras", "does not know 'Shift'"),
        ("lambda.keras", "its layer 'twice' is a Lambda"),
        ("custom.h5", "does not know 'Shift'"),
        ("lambda.h5", "its layer 'twice' is a Lambda"),
        ("old.h5", "written by Keras 2.2.4-tf, which Keras 3 cannot open"),
        ("renamed.keras", "an HDF5 file, as Keras 2 writes them; rename it to end in .h5"),
        ("renamed.h5", "an archive of Keras 3; rename it to end in .keras"),
        ("only.weights.h5", "weights without their network"),
        ("saved_model", 'a TensorFlow SavedModel, which Keras 3 does not open; where the model was made, save it with'),
        ("empty", "a folder, but not a run's"),
        ("net.onnx", "ONNX Runtime cannot open it"),
        ("net.pt", "a PyTorch file"),
        ("net.tflite", "LiteRT cannot open it"),
        ("net.safetensors", "without their network"),
        ("net.xyz", "ends in .xyz"),
        ("net", "ends in nothing"),
    ],
)  # fmt: skip
def test_model_files(fedrobust, models, tmp_path, file, message):
    refused(fedrobust("attack", models / file, "--data", "phantom", "--images", 10), message)
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize("option", ["--control", "--teacher", "--edge"])
@pytest.mark.parametrize(
    ("file", "message"), [("none.keras", "no such file"), ("text.keras", "open it"), ("empty", "")]
)
def test_models_to_compare_with(fedrobust, models, tmp_path, option, file, message):
    done = fedrobust(
        "audit", models / "good.keras", "--data", "phantom", "--images", 10, option, models / file
    )
    refused(done, message)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epsilon", "8px"], "epsilon = '8px' in norm linf"),
        (["--epsilon", "2/255,4/255"], "give one for each --epsilon"),
        (["--epsilon", "8"], "8 grey levels are 8/255"),
        (["--epsilon", "0"], "epsilon = '0'"),
        (["--epsilon", "-0.1"], "epsilon = '-0.1'"),
        (["--epsilon", "nan"], "epsilon = 'nan'"),
        (["--epsilon", "inf", "--norm", "l2"], "a number above 0"),
        (["--epsilon", "1/0"], "epsilon = '1/0'"),
        (["--epsilon", ""], "epsilon = ''"),
        (["--epsilon", "2.5", "--norm", "l0"], "a whole number of pixels"),
        (["--norm", "l3"], "norm = 'l3'"),
        (["--space", "outer"], "space = 'outer'"),
        (["--bits", "7"], "bits = 7"),
        (["--split", "all"], "split = 'all'"),
        (["--attack", "fast"], "'fast' is no evasion attack"),
        (["--attack", "pdg"], 'did you mean "pgd"?'),
        (["--attack", "pgd("], "pgd("),
        (["--attack", ""], "write a name"),
        (["--attack", "lbfgs"], "it searches in l2"),
        (["--attack", "fgsm", "--attack", "fgsm"], "given twice"),
        (["--out", "a-file"], "is a file"),
        (["--out", "a-file/below"], "is a file"),
        (["--out", "~nobody-of-this-name/x"], "not a path"),
        (["--data", "phantoms"], 'did you mean "phantom"?'),
        (["--data", "none.npz"], "no such file"),
        (["--data", "a-file"], "a file, but data come as one .npz file"),
        (["--data", "."], "a folder, but data come as one .npz file"),
        (["--data", "breastmnist", "--data-root", "~nobody-of-this-name"], "no such user"),
    ],
)
def test_options_of_attack(fedrobust, models, tmp_path, arguments, message):
    (tmp_path / "a-file").write_text("mine")
    start = [] if "--data" in arguments else ["--data", "phantom"]
    refused(fedrobust("attack", models / "good.keras", *start, "--images", 10, *arguments), message)
    assert [path.name for path in tmp_path.iterdir()] == ["a-file"]
    assert (tmp_path / "a-file").read_text() == "mine"


@pytest.mark.parametrize("epsilon", ["8px", "2/255,4/255", "8", "0", "nan", "1/0"])
def test_an_audit_s_epsilon(fedrobust, models, tmp_path, epsilon):
    done = fedrobust("audit", models / "good.keras", "--data", "phantom", "--epsilon", epsilon)
    refused(done, f"epsilon = '{epsilon}'")
    assert list(tmp_path.iterdir()) == []


STUDY = 'name = "one"\n[data]\nsamples = 60\n'


@pytest.fixture
def finished(tmp_path):
    """The folder of a run that is finished, without having run it."""
    from fedrobust.config import Experiment

    folder = tmp_path / "done"
    folder.mkdir()
    study = Experiment.of()
    (folder / "experiment.toml").write_text(study.to_toml())
    result = {
        "schema": 1, "status": "finished", "rounds": [], "experiment": study.to_dict(), "student": None, "export": [],
        "error": None, "name": "study",
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result))
    return folder


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.toml"], "none.toml: cannot be read"),
        (["run", "."], "cannot be read"),
        (["run", "binary.toml"], "binary.toml"),
        (["run", "--set", "federation.rounds"], "written key=value"),
        (["run", "--set", "data.name=none.npz"], "no such file"),
        (["run", "--set", "model.weights=none.h5"], "none.h5"),
        (["run", "--set", "model.name=no_such_module:build"], "no_such_module"),
        (["run", "--out", "used"], "not empty"),
        (["run", "--out", "binary.toml"], "is a file; name a folder"),
        (["run", "--resume", "none"], "not a run folder"),
        (["run", "--resume", "used"], "not a run folder"),
        (["run", "--resume", "done", "--set", "federation.rounds=3"], "the run is finished"),
        (["run", "--resume", "done", "--set", "engine.workers=1"], "the run is finished"),
        (["run", "--resume", "done", "--engine", "ray"], "the run is finished"),
        (["run", "study.toml", "--resume", "done"], "leave out the study file"),
        (["doctor", "none.toml"], "cannot be read"),
        (["bench", "none.toml"], "cannot be read"),
        (["bench", "study.toml", "--only", "nothing"], "nothing"),
        (["report", "none"], "not a run folder"),
        (["report", "binary.toml"], "not a run folder"),
        (["compare", "none"], "not a run folder"),
        (["compare", "done", "--csv", "no-folder/x.csv"], "there is no folder"),
        (["compare", "done", "--csv", "study.toml"], "exists already"),
        (["compare", "done", "--csv", "used"], "exists already"),
        (["attack", "used", "--data", "phantom"], "a folder, but not a run's"),
        (["attack", "done"], "has not written its model"),
        (["list", "rule"], 'did you mean "rules"?'),
        (["init", "no-folder/x.toml"], "there is no folder"),
        (["init", "study.toml"], "exists already"),
        (["init", "used"], "exists already"),
        (["data", "show", "brestmnist"], 'did you mean "breastmnist"?'),
        (["data", "show", "breastmnist", "--size", "30"], "data.size = 30"),
        (["data", "show", "used"], "a folder"),
    ],
)
def test_studies_folders_and_names(fedrobust, finished, tmp_path, arguments, message):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    refused(fedrobust(*arguments), message)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"{", b"[]", b"null", b'"text"', b'{"schema": 0}', b'{"schema": 99}', b"{}", b"[" * 10**5],
)
@pytest.mark.parametrize("command", [["report"], ["compare"], ["attack"], ["audit"], ["run", "--resume"]])
def test_results_that_cannot_be_read(fedrobust, finished, command, content):
    (finished / "result.json").write_bytes(content)
    refused(fedrobust(*command, finished), "result.json")


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["data", "lst"], ["run", "--rounds", "3"], ["attack"], ["compare"]]
)
def test_what_the_command_line_does_not_know(fedrobust, arguments):
    done = fedrobust(*arguments)
    assert done.exit_code == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_a_result_of_another_model_is_never_replaced(fedrobust, models, tmp_path):
    dense(name="other").save(tmp_path / "good.keras")
    options = ("--data", "phantom", "--images", 8, "--attack", "fgsm", "--epsilon", "2/255")
    first = fedrobust("attack", models / "good.keras", *options)
    second = fedrobust("attack", tmp_path / "good.keras", *options)
    places = [done.stdout.strip().splitlines()[-1] for done in (first, second)]
    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert len(set(places)) == 2
    named = fedrobust("attack", tmp_path / "good.keras", *options, "--out", os.path.dirname(places[0]))
    refused(named, "the folder holds the results of something else (another model)")
    again = fedrobust(
        "attack", tmp_path / "good.keras", *options, "--out", os.path.dirname(places[0]), "--force"
    )
    assert again.exit_code == 0, again.output
    other = fedrobust("attack", models / "fixed.keras", *options)
    assert other.exit_code == 0, "a fixed batch is freed"
    legacy = fedrobust("attack", models / "good.h5", *options)
    assert legacy.exit_code == 0, legacy.output


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyError("x"), 1, "internal error: KeyError: 'x'; the traceback is in "),
        (RecursionError("too deep"), 1, "internal error: RecursionError"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), 1, "internal error: UnicodeDecodeError"),
        (MemoryError(), 1, "the memory of this machine is used up"),
        (OSError(28, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (PermissionError(13, "Permission denied", "/x"), 1, "/x: Permission denied"),
        (OSError(5, "Input/output error"), 1, "Input/output error"),
        (OSError("no number"), 1, "internal error: OSError: no number"),
        (DiskError("a: cannot be written"), 1, "a: cannot be written"),
        (UnknownNameError("nobody"), 2, "nobody"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_whatever_ends_a_command_is_one_line(fedrobust, monkeypatch, error, code, message):
    def fail(*_):
        raise error

    monkeypatch.setattr("fedrobust.api.list_datasets", fail)
    monkeypatch.delenv("FEDROBUST_TRACEBACK", raising=False)
    done = fedrobust("data", "list")
    assert done.exit_code == code
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1
    if "the traceback is in" in done.stderr:
        log = done.stderr.partition("the traceback is in ")[2].partition(";")[0]
        with open(log, encoding="utf-8") as file:
            assert "Traceback" in file.read()
        os.unlink(log)


def test_a_traceback_for_who_asks(fedrobust, monkeypatch):
    for arguments in (["--traceback", "list", "rule"], ["list", "rule", "--traceback"]):
        assert "Traceback" in fedrobust(*arguments).stderr
    assert "Traceback" not in fedrobust("list", "rule").stderr
    monkeypatch.setenv("FEDROBUST_TRACEBACK", "1")
    assert "Traceback" in fedrobust("list", "rule").stderr


def test_control_codes_of_a_file_never_reach_the_terminal(fedrobust):
    done = fedrobust("run", "--set", "data.name=\x1b[31mred\x07")
    refused(done, "data.name")
    assert "\x1b[31mred" not in done.stderr
    assert "\x07" not in done.stderr


def examples_in(shown):
    """Return the words of each example in a command's help."""
    lines = shown.partition("Examples:\n")[2].splitlines()
    return [shlex.split(line.partition("|")[0]) for line in lines if line.startswith("    fedrobust ")]


def test_examples_in_the_help_can_be_parsed():
    """Options that do not exist, or values of a wrong type, are errors of the parser."""
    import click
    import typer

    root = typer.main.get_command(cli.app)

    def commands(group, path=()):
        for name, command in group.commands.items():
            here = (*path, name)
            yield from commands(command, here) if isinstance(command, click.Group) else [(here, command)]

    for path, command in commands(root):
        context = click.Context(command)
        for words in examples_in(command.get_help(context)):
            assert tuple(words[1 : 1 + len(path)]) == path
            command.make_context(path[-1], words[1 + len(path) :])


def test_spelling_of_commands_options_families_and_keys_is_forgiven(fedrobust):
    assert fedrobust("List", "Pre_Aggregators").output == fedrobust("list", "pre-aggregators").output
    assert "choose one of: breast, demo, derma" in fedrobust("init", "--From", "nothing").stderr
    done = fedrobust("init", "s.toml", "--from", "Breast")
    assert done.exit_code == 0, done.stderr
    assert "the study breast" in done.output
    from fedrobust.config import Experiment

    loaded = Experiment.load("s.toml", ["Federation.Min_Replies=0.25"])
    assert loaded.federation.min_replies == 0.25
    assert loaded.changed(federation__min_replies=0.5).to_dict() == Experiment.load("breast").to_dict()
    assert "leave one out" in fedrobust("init", "t.toml", "--from", "breast", "--data", "phantom").stderr


def test_explain_tells_what_a_name_is(fedrobust):
    assert fedrobust("explain", "FedProx").output.startswith("fedprox: federated algorithm")
    assert 'did you mean "krum"?' in fedrobust("explain", "kurm").stderr


def test_help_explains_every_argument_and_option():
    import click.testing
    import typer

    def commands(group):
        for command in group.commands.values():
            yield from commands(command) if isinstance(command, click.Group) else [command]

    for command in commands(typer.main.get_command(cli.app)):
        for parameter in command.params:
            assert getattr(parameter, "help", ""), (command.name, parameter.name)
        shown = click.testing.CliRunner().invoke(command, ["-h"]).output
        assert "\\[" not in shown
        assert "-h, --help" in shown
        assert shown.count("rguments:") <= 1, shown
        assert len(examples_in(shown)) == 2, shown


def test_version_exit_codes_and_completion_are_offered(fedrobust):
    from fedrobust import __version__

    assert fedrobust("--version").output.strip() == f"fedrobust {__version__}"
    shown = fedrobust("-h").output
    assert "..." not in shown.replace("[ARGS]...", ""), "a summary is cut"
    for word in ("Exit codes: 0 done; 1", "130 stopped", "--install-completion", "--version", "--traceback"):
        assert word in shown


def test_list_shows_settings_and_no_machinery(fedrobust):
    shown = fedrobust("list").output
    assert "MISSING" not in shown
    assert " at 0x" not in shown
    assert "clipping" in shown
