"""Files are written whole or not at all, and what killed writers left goes with the next write of the same file."""

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext

import pytest

from fedrobust.atomic import DiskError, atomic

WRITER = """
import os, signal, sys
from pathlib import Path
from fedrobust.atomic import DiskError, atomic
with atomic(Path(sys.argv[1])) as draft:
    draft.write_text("half")
    print(draft, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_draft_of_a_process_stays_while_it_lives_and_goes_with_the_next_write_once_it_was_killed(
    tmp_path,
):
    path = tmp_path / "clients.svg"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    draft = os.path.basename(process.stdout.readline().strip())
    with atomic(path) as own:
        own.write_text("whole")
        assert names(tmp_path) == sorted([draft, own.name])
    assert names(tmp_path) == sorted([draft, "clients.svg"])
    process.communicate("")
    assert process.returncode == -signal.SIGKILL
    for other in ("clients.csv", "clients-of-all.svg"):
        with atomic(tmp_path / other) as own:
            own.write_text("other")
        assert draft in names(tmp_path), "it is no draft of that file"
    with atomic(path) as own:
        assert draft not in names(tmp_path)
        own.write_text("whole again")
    assert names(tmp_path) == ["clients-of-all.svg", "clients.csv", "clients.svg"]
    assert path.read_text() == "whole again"


def test_nothing_but_drafts_is_removed(tmp_path):
    path, kept = tmp_path / "card.json", tmp_path / "elsewhere"
    kept.write_text("mine")
    link = tmp_path / ".fedrobust-writing-card-abcdefgh.json"
    link.symlink_to(kept)
    (tmp_path / ".fedrobust-writing-card-notes.json").write_text("mine")
    with atomic(path) as draft:
        draft.write_text("{}")
    assert kept.read_text() == "mine"
    assert link.is_symlink()
    assert names(tmp_path) == sorted(
        [link.name, ".fedrobust-writing-card-notes.json", "card.json", "elsewhere"]
    )


def test_many_writers_of_one_file_disturb_no_draft(tmp_path):
    path, faults = tmp_path / "result.json", []

    def write(number):
        try:
            for _ in range(50):
                with atomic(path) as draft:
                    draft.write_text(str(number) * 100)
        except OSError as error:
            faults.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert not faults
    assert names(tmp_path) == ["result.json"]
    assert len(set(path.read_text())) == 1
    assert len(path.read_text()) == 100


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("before")

    def write():
        with atomic(path) as draft:
            draft.write_text("after")
            raise ValueError("half")

    with pytest.raises(ValueError, match="half"):
        write()
    assert names(tmp_path) == ["result.json"]
    assert path.read_text() == "before"


def test_the_file_is_synchronised_before_it_has_its_name_and_the_folder_after(tmp_path, monkeypatch):
    path, seen, real = tmp_path / "ledger.json", [], os.fsync

    def fsync(handle):
        real(handle)
        place = os.readlink(f"/proc/self/fd/{handle}")
        seen.append(("folder" if os.path.isdir(place) else "file", path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic(path) as draft:
        draft.write_text("{}")
    assert seen == [("file", False), ("folder", True)]


@pytest.mark.parametrize(("number", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synchronised_does_no_harm_unless_the_disk_is_broken(
    tmp_path, monkeypatch, number, told
):
    real = os.fsync

    def fsync(handle):
        if os.path.isdir(os.readlink(f"/proc/self/fd/{handle}")):
            raise OSError(number, os.strerror(number))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    expected = pytest.raises(DiskError, match="Input/output error") if told else nullcontext()
    with expected, atomic(tmp_path / "card.json") as draft:
        draft.write_text("{}")
    assert names(tmp_path) == ["card.json"]
