import json
import resource
import signal

import numpy as np
import pytest

from fedrobust.atomic import DiskError, atomic
from fedrobust.errors import FedrobustError
from fedrobust.paths import PathError, check_can_hold, expanded
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
