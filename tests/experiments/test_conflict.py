"""The table of what each promise of privacy leaves of robustness."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/privacy"


def run(*arguments):
    """Return what the command writes to stdout."""
    command = [sys.executable, str(HERE / "conflict.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_help_is_given_without_the_table():
    shown = run("--help")
    assert "the table, as in RESULTS.md" in shown
    assert "aggregation rules left" not in shown


@pytest.mark.slow
def test_the_page_has_the_table_of_the_command():
    page = (HERE / "RESULTS.md").read_text(encoding="utf-8")
    (there,) = re.findall(r"(?<=<!-- conflict -->\n).*?(?=<!-- end -->)", page, re.DOTALL)
    assert there == run()
