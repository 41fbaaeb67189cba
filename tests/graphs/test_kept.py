"""Kept files: whole or not there, for their owner alone, and no more than fit."""

import os

import pytest

from fedrobust import runtime
from fedrobust.graphs.kept import SWITCH, KeptFiles, KeptFilesNotice, kept_files


def test_what_was_written_is_read_by_its_user_alone(tmp_path):
    files = KeptFiles(tmp_path / "below" / "graphs")
    files.write("one", b"1" * 100)
    assert files.read("one") == b"1" * 100
    assert files.read("two") is None
    assert files.folder.stat().st_mode & 0o777 == 0o700
    assert (files.folder / "one").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "damage", [lambda body: body[:-1], lambda body: body[:40] + b"x" + body[41:], lambda body: b""]
)
def test_a_damaged_file_is_said_and_removed(tmp_path, damage):
    files = KeptFiles(tmp_path / "graphs")
    files.write("one", b"1" * 100)
    path = files.folder / "one"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(KeptFilesNotice, match="made anew: it is damaged"):
        assert files.read("one") is None
    assert not path.exists()


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path):
    files = KeptFiles(tmp_path / "graphs")
    files.write("one", b"1")
    files.folder.chmod(0o777)
    with pytest.warns(KeptFilesNotice, match="others may write to the folder: chmod 700"):
        assert files.read("one") is None
    with pytest.warns(KeptFilesNotice, match="nothing is kept there"):
        files.write("two", b"2")
    files.folder.chmod(0o700)
    assert files.read("one") == b"1"
    assert files.read("two") is None


def test_a_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    files = KeptFiles(tmp_path / "graphs")
    files.write("one", b"1")
    owner = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.warns(KeptFilesNotice, match=f"the folder belongs to user {owner}"):
        assert files.read("one") is None


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.warns(KeptFilesNotice, match="nothing is kept there"):
        KeptFiles(tmp_path / "file" / "graphs").write("one", b"1")


def test_what_was_not_read_for_longest_makes_room(tmp_path):
    files = KeptFiles(tmp_path / "graphs", most_bytes=400)
    for age, name in enumerate("abc"):
        files.write(name, b"1" * 68)
        os.utime(files.folder / name, (1e9 - age, 1e9 - age))
    files.read("c")
    files.write("d", b"1" * 168)
    assert [name for name in "abcd" if (files.folder / name).exists()] == ["a", "c", "d"]


@pytest.mark.parametrize(
    ("switch", "own", "used"),
    [("", True, True), ("", False, False), ("on", False, True), ("off", True, False)],
)
def test_a_process_of_this_project_keeps_graphs_unless_told_otherwise(
    monkeypatch, tmp_path, switch, own, used
):
    monkeypatch.setenv(SWITCH, switch)
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime, "_own_process", own)
    files = kept_files()
    assert (files is not None) == used
    assert files is None or files.folder == tmp_path / "graphs"
