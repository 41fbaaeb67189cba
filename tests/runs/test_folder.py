import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from fedrobust.atomic import atomic
from fedrobust.runs import folder as module
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


class Noon(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 3, 4, 12, 5, 6)


def test_new_folders_are_named_after_the_study_and_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "datetime", Noon)
    root = tmp_path / "deep" / "runs"
    made = [RunFolder.create("study", str(root)).path for _ in range(3)]
    assert made == [root / f"study-20260304-120506{end}" for end in ("", "-2", "-3")]
    for number in range(4, 1000):
        (root / f"study-20260304-120506-{number}").touch()
    with pytest.raises(RunFolderError) as refusal:
        RunFolder.create("study", str(root))
    assert str(refusal.value) == (
        f"{root}: a thousand runs named study-20260304-120506; choose another --out"
    )
    (root / "study-20260304-120506-999").unlink()
    assert RunFolder.create("study", str(root)).path.name == "study-20260304-120506-999"


def test_a_folder_that_was_named_is_made_with_those_above_it(tmp_path):
    assert RunFolder.create("study", "unused", str(tmp_path / "a/b")).path == tmp_path / "a/b"
    assert (tmp_path / "a/b").is_dir()
    assert RunFolder.create("study", "unused", str(tmp_path / "a/b")).path == tmp_path / "a/b"


def test_what_is_refused_in_which_words(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for root, directory in ((str(file / "below"), ""), ("unused", str(file / "below"))):
        with pytest.raises(RunFolderError) as refusal:
            RunFolder.create("study", root, directory)
        assert str(refusal.value) == (
            f"output: a run folder cannot be made at {file / 'below'}: Not a directory; choose another --out"
        )
    with pytest.raises(RunFolderError) as refusal:
        RunFolder.create("study", "unused", str(tmp_path))
    assert str(refusal.value) == (
        f'output.dir = "{tmp_path}": the folder is not empty; a run starts in an empty or a new one'
    )
    with pytest.raises(RunFolderError) as refusal:
        RunFolder.open(f"{tmp_path}/./")
    assert str(refusal.value) == f"{tmp_path}/./: not a run folder (it has no experiment.toml)"


def test_a_study_that_is_a_folder_is_none(tmp_path):
    (tmp_path / "experiment.toml").mkdir()
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path)


def test_one_process_at_a_time_runs_in_a_folder(tmp_path):
    def enter(path):
        with RunFolder(path).locked():
            return True

    with RunFolder(tmp_path).locked():
        with pytest.raises(RunFolderError) as refusal:
            enter(tmp_path)
        assert str(refusal.value) == f"{tmp_path}: another process is running in this folder"
    before = len(os.listdir("/proc/self/fd"))
    assert enter(tmp_path), "the lock ends with the block"
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(RunFolderError) as refusal:
        enter(tmp_path / "gone")
    assert str(refusal.value) == f"{tmp_path / 'gone'}: cannot be opened: No such file or directory"


def test_every_writer_returns_the_path_and_writes_these_bytes(tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.file("a/b") == tmp_path / "a/b"
    drafts = []
    assert folder.write_text("a.txt", "ä\n") == tmp_path / "a.txt"
    assert folder.write_json("b.json", {"x": [1]}) == tmp_path / "b.json"
    assert folder.write_whatever("c.json", {"x": float("inf")}) == tmp_path / "c.json"
    assert (
        folder.write_with("d.npz", lambda path: drafts.append(path.write_bytes(b"d"))) == tmp_path / "d.npz"
    )
    lines = [folder.append_line("e.jsonl", {"x": number}) for number in (1, 2)]
    assert lines == [b'{"x": 1}\n', b'{"x": 2}\n']
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "a.txt": "ä\n".encode(),
        "b.json": b'{\n  "x": [\n    1\n  ]\n}\n',
        "c.json": b'{\n  "x": null\n}\n',
        "d.npz": b"d",
        "e.jsonl": b'{"x": 1}\n{"x": 2}\n',
    }


def test_not_numbers_are_refused_in_lines_too(tmp_path):
    folder = RunFolder(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.append_line("metrics.jsonl", {"loss": float("nan")})
    assert not folder.file("metrics.jsonl").exists()


def test_a_line_is_on_the_disk_when_it_is_written(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(os, "fsync", lambda handle: kept.append(os.fstat(handle).st_size))
    RunFolder(tmp_path).append_line("metrics.jsonl", {"round": 1})
    assert kept == [len('{"round": 1}\n')]


def test_what_cannot_be_read_in_which_words(tmp_path):
    folder = RunFolder(tmp_path)

    def words(name, read):
        with pytest.raises(RunFolderError) as refusal:
            read(name)
        return str(refusal.value).removeprefix(f"{tmp_path / name}: ")

    assert words("gone.json", folder.read_json) == "cannot be read: No such file or directory"
    folder.write_text("half.json", '{"a"')
    assert words("half.json", folder.read_json) == (
        "damaged, it is no JSON (Expecting ':' delimiter: line 1 column 5 (char 4))"
    )
    folder.write_text("list.json", "[1]")
    assert folder.read_json("list.json") == [1]
    assert words("list.json", folder.read_table) == "damaged: it holds no JSON object"


def test_an_error_without_the_system_s_words_is_told_as_it_is(tmp_path, monkeypatch):
    def fail(*_args, **_keywords):
        raise OSError("the network is gone")

    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(RunFolderError, match=r"result\.json: cannot be read: the network is gone$"):
        RunFolder(tmp_path).read_json("result.json")


GOOD = {"schema": 1, "status": "finished", "rounds": [], "experiment": {}, "student": None, "export": []}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({}, "not the result of a run: it names no schema"),
        (
            {**GOOD, "schema": 3},
            "schema = 3, this version reads 1 and 2; open the folder with the version that wrote it, or run the study "
            "again",
        ),
        *(
            ({**GOOD, key: 7}, f"damaged: '{key}' is missing or of another kind")
            for key in ("status", "rounds", "experiment", "student", "export")
        ),
        *(
            (
                {name: GOOD[name] for name in GOOD if name != key},
                f"damaged: '{key}' is missing or of another kind",
            )
            for key in ("status", "rounds", "experiment", "student", "export")
        ),
    ],
)
def test_a_result_that_is_none_in_which_words(tmp_path, result, words):
    folder = RunFolder(tmp_path)
    path = folder.write_json("result.json", result)
    with pytest.raises(RunFolderError, match=f"^{re.escape(f'{path}: {words}')}$"):
        folder.result()


def test_a_result_that_is_one(tmp_path):
    for student in (None, {"name": "small"}):
        result = {**GOOD, "student": student}
        RunFolder(tmp_path).write_json("result.json", result)
        assert RunFolder(tmp_path).result() == result


def test_files_are_utf8_whatever_the_machine_s_own_encoding_is(tmp_path):
    code = (
        "import sys, pathlib; from fedrobust.runs.folder import RunFolder; f = RunFolder(pathlib.Path(sys.argv[1]));"
        "f.write_json('result.json', {'a': 1}); f.append_line('a.jsonl', {}); print(f.read_json('result.json'))"
    )
    command = [sys.executable, "-X", "warn_default_encoding"]
    done = subprocess.run([*command, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{'a': 1}\n", "")
