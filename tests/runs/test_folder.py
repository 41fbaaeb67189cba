import json

import pytest

from fedrobust.atomic import atomic
from fedrobust.runs.folder import RunFolder, RunFolderError


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("before")

    def cut_short() -> None:
        with atomic(path) as draft:
            draft.write_text("half of")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cut_short()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path], "nothing is left behind"
    with atomic(path) as draft:
        draft.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"


def test_new_folders_never_collide(tmp_path):
    folders = [RunFolder.create("study", str(tmp_path)) for _ in range(5)]
    assert len({folder.path for folder in folders}) == 5


def test_a_used_folder_is_refused_and_an_empty_one_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    folder = RunFolder.create("study", "unused", str(tmp_path / "empty"))
    folder.write_text("experiment.toml", "")
    with pytest.raises(RunFolderError, match="not empty"):
        RunFolder.create("study", "unused", str(tmp_path / "empty"))
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="choose another --out"):
        RunFolder.create("study", "unused", str(tmp_path / "file" / "below"))
    assert RunFolder.open(tmp_path / "empty").path == folder.path
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_lines_are_json_and_not_numbers_are_refused(tmp_path):
    folder = RunFolder(tmp_path)
    folder.append_line("metrics.jsonl", {"round": 1})
    folder.append_line("metrics.jsonl", {"round": 2})
    lines = folder.file("metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2]
    with pytest.raises(ValueError, match="Out of range"):
        folder.write_json("result.json", {"loss": float("nan")})
    with pytest.raises(RunFolderError, match=r"result\.json"):
        folder.read_json("result.json")


def test_the_record_of_a_failed_run_is_written_whatever_is_in_it(tmp_path):
    folder = RunFolder(tmp_path)
    value = {
        "seconds": float("inf"),
        "error": "x" * 10**6 + "\ud800",
        "rounds": [{"loss": float("nan"), "by": {1}}],
    }
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("result.json", value)
    assert not folder.file("result.json").exists()
    folder.write_whatever("result.json", value)
    found = folder.read_json("result.json")
    assert found["seconds"] is None
    assert found["rounds"] == [{"loss": None, "by": "a set"}]
    assert len(found["error"]) == 10_000
