import json
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

from fedrobust.atomic import DiskError, atomic
from fedrobust.errors import FedrobustError
from fedrobust.paths import PathError, check_can_hold, expanded
from fedrobust.runs import request as request_module
from fedrobust.runs.folder import RunFolder, RunFolderError
from fedrobust.runs.request import OtherResultError, folder_for
from fedrobust.runs.run import Run

FIRST, SECOND = {"model": "a", "epsilons": ("1/255",)}, {"model": "b", "epsilons": ("1/255",)}


def finish(request, parent, out="", force=False):
    with folder_for(request, out, parent, "model.keras-attack", force) as folder:
        (folder / "attack.json").write_text(json.dumps(request))
    return folder


def test_another_model_of_the_same_name_gets_a_folder_of_its_own(tmp_path):
    first, second = finish(FIRST, tmp_path), finish(SECOND, tmp_path)
    assert (first.name, second.name) == ("model.keras-attack", "model.keras-attack-2")
    assert json.loads((first / "attack.json").read_text())["model"] == "a"
    assert finish(FIRST, tmp_path) == first, "the same request finds its folder again"
    assert finish({**SECOND, "epsilons": ["1/255"]}, tmp_path) == second, "lists and tuples are one in JSON"


def test_a_folder_that_was_named_is_not_overwritten_unasked(tmp_path):
    out = tmp_path / "here"
    finish(FIRST, tmp_path, out)
    with pytest.raises(OtherResultError, match=r"another model.*--force"):
        finish(SECOND, tmp_path, out)
    assert json.loads((out / "attack.json").read_text())["model"] == "a"
    finish(SECOND, tmp_path, out, force=True)
    assert json.loads((out / "attack.json").read_text())["model"] == "b"


def test_results_of_an_earlier_version_are_somebody_else_s(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(OtherResultError):
        finish(FIRST, tmp_path, tmp_path)
    (tmp_path / "request.json").write_bytes(b"\xff\xfe")
    with pytest.raises(OtherResultError, match="does not say of what"):
        finish(FIRST, tmp_path, tmp_path)


def test_what_fails_before_it_has_results_leaves_no_folder(tmp_path):
    def fail(parent, *, late):
        with folder_for(FIRST, "", parent, "x") as folder:
            (folder / "attacks").mkdir()
            if late:
                (folder / "attacks/one.npz").write_text("")
            raise ValueError("no such model")

    for late in (False, True):
        with pytest.raises(ValueError, match="no such model"):
            fail(tmp_path / "runs", late=late)
        assert (tmp_path / "runs").exists() == late


@pytest.mark.parametrize(
    ("held", "difference"),
    [
        (json.dumps({"model": "b", "epsilons": []}), "another model, epsilons"),
        (json.dumps({"epsilons": ["1/255"]}), "another model"),
        (json.dumps({"model": "a", "epsilons": ["1/255"], "seed": 1}), "of another version"),
        ("[]", "it does not say of what"),
        ("{", "it does not say of what"),
    ],
)
def test_what_is_refused_in_which_words(tmp_path, held, difference):
    (tmp_path / "request.json").write_text(held)
    with pytest.raises(OtherResultError) as refusal:
        finish(FIRST, tmp_path, tmp_path)
    assert str(refusal.value) == (
        f"out = {str(tmp_path)!r}: the folder holds the results of something else ({difference}); name another one, "
        "or say --force (force=True) to replace them"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["request.json"]


def test_a_folder_that_is_no_folder_is_refused_by_its_setting(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(PathError) as refusal:
        finish(FIRST, tmp_path, file)
    assert str(refusal.value) == f"out = {str(file)!r}: {file} is a file; name a folder, new or existing"
    with pytest.raises(PathError) as refusal:
        finish(FIRST, file)
    assert str(refusal.value).startswith(
        f"the current folder; results are written below it, or below --out = {str(file)!r}: "
    )


def test_a_thousand_folders_of_one_name_are_enough(tmp_path, monkeypatch):
    assert (request_module.FILE, request_module.MOST_FOLDERS) == ("request.json", 1000)
    monkeypatch.setattr(request_module, "MOST_FOLDERS", 4)
    for number in range(3):
        finish({"model": number}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.keras-attack",
        "model.keras-attack-2",
        "model.keras-attack-3",
    ]
    with pytest.raises(OtherResultError) as refusal:
        finish(FIRST, tmp_path)
    assert (
        str(refusal.value)
        == f"{tmp_path}: a thousand results named model.keras-attack; name a folder with --out"
    )


def test_a_file_of_the_name_is_passed_over(tmp_path):
    (tmp_path / "model.keras-attack").write_text("mine")
    assert finish(FIRST, tmp_path).name == "model.keras-attack-2"


@pytest.mark.parametrize("result", ["attack.json", "card.json"])
def test_results_without_a_request_are_somebody_else_s(tmp_path, result):
    (tmp_path / result).write_text("{}")
    with pytest.raises(OtherResultError, match="it does not say of what"):
        finish(FIRST, tmp_path, tmp_path)
    (tmp_path / result).rename(tmp_path / "notes.json")
    assert finish(FIRST, tmp_path, tmp_path) == tmp_path, "other files do not matter"
    assert json.loads((tmp_path / "request.json").read_text()) == {"model": "a", "epsilons": ["1/255"]}


def test_force_takes_away_the_results_of_another_request_only(tmp_path):
    def files(request):
        with folder_for(request, tmp_path, tmp_path, "x", force=True) as folder:
            return sorted(path.name for path in folder.iterdir())

    for name in ("attack.json", "card.json", "labels.txt", "export.html", "model.int8.tflite", "notes.txt"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "export.json").write_text('{"files": [{"file": "model.int8.tflite"}, {"file": "../x"}, 3]}')
    assert files(FIRST) == ["notes.txt", "request.json"]
    (tmp_path / "card.json").write_text("{}")
    assert files(FIRST) == ["card.json", "notes.txt", "request.json"]
    assert files(SECOND) == ["notes.txt", "request.json"], "one of the two results may be missing"
    (tmp_path / "model.int8.tflite").write_text("of nobody")
    (tmp_path / "export.json").write_text("damaged")
    assert files(FIRST) == ["model.int8.tflite", "notes.txt", "request.json"]


def test_files_that_are_of_no_request_are_not_replaced_unasked(tmp_path):
    def export(out="", force=False):
        with folder_for(FIRST, out, tmp_path, "x", force, ("model.int8.tflite", "labels.txt")) as folder:
            return folder

    own = tmp_path / "x"
    own.mkdir()
    (own / "labels.txt").write_text("mine")
    with pytest.raises(OtherResultError, match=r"the folder has labels\.txt, which would be replaced"):
        export(own)
    assert export() == tmp_path / "x-2"
    assert finish(FIRST, tmp_path, own) == own, "nothing is written there under that name"
    (own / "request.json").unlink()
    assert export(own, force=True) == own
    assert export(own) == own, "now they are of its request"


def test_force_takes_away_the_files_of_an_export_that_was_interrupted(tmp_path):
    def export(formats):
        with folder_for({"model": "a", "formats": formats}, tmp_path, tmp_path, "x", force=True) as folder:
            return sorted(path.name for path in folder.iterdir())

    export(["int8", "onnx", "../x", 3])
    for name in ("model.int8.tflite", "model.onnx", "labels.txt", "model.float32.tflite", "notes.txt"):
        (tmp_path / name).write_text("")
    assert export(["float16"]) == ["model.float32.tflite", "notes.txt", "request.json"]


def test_a_failure_leaves_the_request_where_there_is_more(tmp_path):
    def fail(out, result=""):
        with folder_for(FIRST, out, tmp_path, "x") as folder:
            if result:
                (folder / result).mkdir(parents=True)
                (folder / result / "one.npz").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "some/deep/folder")
    assert list(tmp_path.iterdir()) == [], "folders above it that were made for it go too"
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "one", "attacks")
    assert (tmp_path / "one/request.json").exists(), "results need their request"
    (tmp_path / "two").mkdir()
    finish(FIRST, tmp_path, tmp_path / "two")
    (tmp_path / "two/attack.json").unlink()
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "two")
    assert (tmp_path / "two/request.json").exists(), "it was there before"
    (tmp_path / "three").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fail(tmp_path / "three")
    assert list((tmp_path / "three").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, monkeypatch):
    def refuse(*_args, **_keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(DiskError) as refusal:
        finish(FIRST, tmp_path, tmp_path / "new")
    assert str(refusal.value).startswith(f"{tmp_path / 'new'}: cannot be written: No space left on device; ")


def test_paths_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for wrong in (tmp_path / "file", tmp_path / "file/below", tmp_path / "file/below/more"):
        with pytest.raises(PathError, match="is a file"):
            check_can_hold(wrong, "out")
    for wrong in (tmp_path / "loop" / "x", "~nobody-of-this-name/x", "a\0b", "not-utf-8-\udcff"):
        with pytest.raises(PathError, match="not a path"):
            expanded(wrong)
    check_can_hold(tmp_path / "new/and/deep", "out")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def full_disk():
    """Files may grow to 4 kB: writing more fails as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_is_a_sentence_and_keeps_what_was_there(tmp_path, full_disk):
    folder = RunFolder(tmp_path)
    folder.write_json("result.json", {"round": 1})
    with pytest.raises(DiskError, match=r"result\.json: cannot be written: File too large; make room"):
        folder.write_json("result.json", {"text": "x" * 9000})
    with pytest.raises(DiskError, match=r"weights\.npz: cannot be written"):
        folder.write_with("weights.npz", lambda path: np.savez(path, a=np.zeros(9000), b=np.zeros(9000)))
    folder.append_line("metrics.jsonl", {"text": "x" * 4000})
    with pytest.raises(DiskError, match=r"metrics\.jsonl: cannot be written"):
        folder.append_line("metrics.jsonl", {"text": "x" * 1000})
    assert json.loads((tmp_path / "result.json").read_text()) == {"round": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", "metrics.jsonl"}


def test_a_folder_that_is_gone_is_a_sentence_and_other_errors_stay_theirs(tmp_path):
    def write(path, error=None):
        with atomic(path) as draft:
            draft.write_text("x")
            if error:
                raise error

    with pytest.raises(DiskError, match="No such file or directory"):
        write(tmp_path / "gone" / "file")
    with pytest.raises(KeyError):
        write(tmp_path / "file", KeyError("mine"))
    write(tmp_path / f"{'n' * 250}.txt")


GOOD = {"schema": 1, "status": "finished", "rounds": [], "experiment": {}, "student": None, "export": []}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe{}", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 200_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "names no schema"),
        (json.dumps({**GOOD, "schema": 0}).encode(), "schema = 0, this version reads 1"),
        (json.dumps({**GOOD, "schema": 99}).encode(), "schema = 99"),
        (json.dumps({**GOOD, "schema": "1"}).encode(), "schema = '1'"),
        (json.dumps({**GOOD, "schema": True}).encode(), "schema = True"),
        (json.dumps({**GOOD, "rounds": {}}).encode(), "'rounds'"),
        (json.dumps({key: GOOD[key] for key in GOOD if key != "status"}).encode(), "'status'"),
    ],
)
def test_results_that_are_none_are_refused_with_the_file(tmp_path, content, message):
    (tmp_path / "experiment.toml").write_text('name = "x"\n')
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=message) as refusal:
        Run.open(tmp_path)
    assert "result.json" in str(refusal.value)


def test_a_result_that_is_a_folder_or_a_link_to_nowhere(tmp_path):
    (tmp_path / "experiment.toml").write_text('name = "x"\n')
    with pytest.raises(FedrobustError, match="cannot be read"):
        Run.open(tmp_path)
    (tmp_path / "result.json").mkdir()
    with pytest.raises(FedrobustError, match="cannot be read"):
        Run.open(tmp_path)
