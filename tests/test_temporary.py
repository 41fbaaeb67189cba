"""Temporary folders: removed at the end, or by the next start where their process was killed."""

import os
import signal
import subprocess
import sys

import pytest

from fedrobust.temporary import remove_abandoned, temporary_folder

DOOMED = """
import os, signal, sys
from pathlib import Path
from fedrobust.temporary import temporary_folder
with temporary_folder("fedrobust-trial-", Path(sys.argv[1])) as folder:
    (folder / "draft").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_process_stays_while_it_lives_and_goes_with_the_next_start_once_it_was_killed(
    tmp_path,
):
    process = subprocess.Popen(
        [sys.executable, "-c", DOOMED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    name = process.stdout.readline().strip()
    assert remove_abandoned("fedrobust-trial-", tmp_path) == 0
    with temporary_folder("fedrobust-trial-", tmp_path) as own:
        assert {str(own), name} == {str(path) for path in tmp_path.iterdir()}
    process.communicate("")
    assert process.returncode == -signal.SIGKILL
    assert [str(path) for path in tmp_path.iterdir()] == [name], "what it wrote is left"
    with temporary_folder("fedrobust-trial-", tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_removed(tmp_path):
    for name in ("fedrobust-trial-", "fedrobust-trial-abc", "fedrobust-other-abcdefgh"):
        (tmp_path / name).mkdir()
    (tmp_path / "fedrobust-trial-afileabc").touch()
    (tmp_path / "fedrobust-trial-linklink").symlink_to(tmp_path / "fedrobust-other-abcdefgh")
    (tmp_path / "fedrobust-trial-gonewith").mkdir()
    before = {path.name for path in tmp_path.iterdir()}
    assert remove_abandoned("fedrobust-trial-", tmp_path) == 1
    assert before - {path.name for path in tmp_path.iterdir()} == {"fedrobust-trial-gonewith"}


def test_only_its_user_can_read_it_and_it_goes_when_the_block_raises(tmp_path):
    with temporary_folder("fedrobust-trial-", tmp_path) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
    with pytest.raises(ZeroDivisionError), temporary_folder("fedrobust-trial-", tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_took_for_abandoned_is_made_again(tmp_path, monkeypatch):
    import fcntl

    locked = []

    def flock(handle, how):
        locked.append(os.readlink(f"/proc/self/fd/{handle}"))
        if len(locked) == 1:
            raise BlockingIOError

    monkeypatch.setattr(fcntl, "flock", flock)
    with temporary_folder("fedrobust-trial-", tmp_path) as folder:
        assert str(folder) == locked[1] != locked[0]


def test_without_locks_a_folder_is_made_all_the_same(tmp_path, monkeypatch):
    import fcntl

    def flock(handle, how):
        raise OSError("no locks on this file system")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / "fedrobust-trial-abcdefgh").mkdir()
    with temporary_folder("fedrobust-trial-", tmp_path) as folder:
        assert folder.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["fedrobust-trial-abcdefgh"], (
        "nobody knows whose it is"
    )


def test_what_libraries_write_for_themselves_goes_with_the_next_start_once_they_were_killed(tmp_path):
    doomed = (
        "import os, signal, tempfile\n"
        "from fedrobust.temporary import temporary_files_in\n"
        "with temporary_files_in('fedrobust-trial-'):\n"
        "    tempfile.mkdtemp()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    place = {**os.environ, "TMPDIR": str(tmp_path)}
    assert (
        subprocess.run([sys.executable, "-c", doomed], env=place, check=False).returncode == -signal.SIGKILL
    )
    assert [len(list(path.iterdir())) for path in tmp_path.iterdir()] == [1], "it lies in a folder of ours"
    assert remove_abandoned("fedrobust-trial-", tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
