"""The one command of all figures of reliability, and parts of it; the slow test runs its quick form."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module")
def programs():
    sys.path.insert(0, str(HERE))
    import run
    import soak

    yield run, soak
    sys.path.remove(str(HERE))
    for name in ("run", "soak"):
        sys.modules.pop(name, None)


def test_a_figure_that_has_to_be_zero_is_told(programs):
    run, _ = programs
    printed = 'notice\n{"a": 1}\n{"part": {"lost": 0, "crashes": []}}\nlicences: {all}\n'
    assert run.figures(printed) == [{"a": 1}, {"part": {"lost": 0, "crashes": []}}]
    assert run.wrong(run.figures(printed)) == []
    assert run.wrong([{"faults": {"race": {"files left": 2, "lost": 1}}}]) == [
        "faults, race: lost = 1",
        "faults, race: files left = 2",
    ]
    assert run.wrong([{"rounds": 11, "nodes not back": 1, "other bits": 0, "strangers in": 0}]) == [
        "nodes not back = 1"
    ]
    assert run.wrong([{"times an honest reply's: largest": 10.5}]) == [
        "times an honest reply's: largest = 10.5"
    ]
    assert run.wrong([{"rounds": 60, "kB a round": [9.0, 8.0, 10.0]}]) == [], (
        "so few rounds say nothing of a slope"
    )
    assert run.wrong([{"rounds": 5000, "kB a round": [9.0, 8.0, 10.0]}]) == ["kB a round = [9.0, 8.0, 10.0]"]
    assert run.QUICK.keys() == run.FULL.keys()
    assert all((HERE / words[0]).is_file() for words in run.FULL.values())


def test_a_stopped_run_goes_on_with_the_parts_that_are_missing_or_were_not_well(
    programs, tmp_path, monkeypatch, capsys
):
    """Parts are little programs here, which note that they ran."""
    run, _ = programs
    for name, lines in (
        ("good", "print('{\"lost\": 0}')"),
        ("bad", "print('{\"lost\": 2}')"),
        ("ends", "1 / 0"),
    ):
        (tmp_path / f"{name}.py").write_text(f"open('{tmp_path}/ran', 'a').write('{name} ')\n{lines}\n")
    monkeypatch.setattr(run, "HERE", tmp_path)
    parts = {name: [f"{name}.py"] for name in ("good", "bad", "ends")}
    monkeypatch.setattr(run, "FULL", parts)
    out = tmp_path / "figures.json"

    def played(code, *more):
        monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(out), *more])
        with pytest.raises(SystemExit) as end:
            run.main()
        assert end.value.code == code
        ran = (tmp_path / "ran").read_text().split() if (tmp_path / "ran").exists() else []
        (tmp_path / "ran").unlink(missing_ok=True)
        return ran, capsys.readouterr().out.splitlines()

    ran, said = played(1)
    assert ran == ["good", "bad", "ends"]
    assert [line.partition(" min, ")[2] for line in said] == [
        "as it has to be",
        "bad: lost = 2",
        "ends: exit code 1",
    ]
    assert played(1)[0] == ["bad", "ends"], "what was well is not run again"
    assert played(0, "--part", "good")[0] == []
    parts["good"] = ["good.py", "--more"]
    assert played(0, "--part", "good")[0] == ["good"], "other settings are another part"
    monkeypatch.setattr(run, "code_digest", lambda: "other")
    assert played(0, "--part", "good")[0] == ["good"], "and so is other code"


def test_every_test_that_the_page_calls_a_proof_is_there():
    tests = HERE.parents[1] / "tests"
    section = (HERE / "README.md").read_text().partition("## Deployment security")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 8
    for row in rows:
        files = re.findall(r"`(tests/[a-z_/]+?(?:\.py)?)`", row)
        names = re.findall(r"`(test_[a-z0-9_]+)`", row)
        assert files, row
        text = "".join((tests.parent / name).read_text() for name in files if name.endswith(".py"))
        assert [name for name in names if f"def {name}(" not in text] == [], row


def test_the_slope_of_the_memory_and_its_interval(programs):
    import numpy as np

    _, soak = programs
    rounds = list(range(10, 5010, 10))
    noise = np.random.default_rng(0).normal(0, 30.0, len(rounds))
    for rise in (0.0, 2.0):
        middle, low, high = soak.slope(
            rounds, [rise * at + more for at, more in zip(rounds, noise, strict=True)]
        )
        assert low < rise < high
        assert high - low < 0.02
        assert low < middle < high
    assert not low < 0 < high, "a leak of two kilobytes a round is seen"


@pytest.mark.slow  # minutes: processes that each import TensorFlow
def test_the_quick_form(programs):
    run, _ = programs
    done = subprocess.run(
        [sys.executable, str(HERE / "run.py"), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("as it has to be") == len(run.QUICK)
