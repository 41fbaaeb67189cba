"""What every case of bad input is held to: exit code 2, one line that says what is wrong, nothing written."""

import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedrobust import cli

LONGEST = 2100


def files(folder: Path) -> dict[str, int]:
    # Python's own byte code of an imported module is no part of a study.
    return {
        str(path): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if not path.is_dir() and path.parent.name != "__pycache__"
    }


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Run a command of the command line in an empty folder; the answer is click's result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("fedrobust.runtime.claim_process", lambda: None)
    monkeypatch.delenv("FEDROBUST_TRACEBACK", raising=False)
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments):
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])

    yield run
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.fixture
def refused(command, tmp_path):
    """Run a command that must be refused; the answer is its line."""

    def run(*arguments, message="", code=2):
        before = files(tmp_path)
        done = command(*arguments)
        error = done.stderr
        assert done.exit_code == code, done.output
        assert error.startswith("error: "), error
        assert error.count("\n") == 1, error
        assert message in error
        assert len(error) < LONGEST
        assert error[:-1].isprintable()
        assert "Traceback" not in done.output
        assert "internal error" not in error
        assert files(tmp_path) == before, "something is half-written"
        return error

    return run
