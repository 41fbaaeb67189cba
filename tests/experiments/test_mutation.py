"""What the mutation program sets mutmut to, and in which order tests run under it."""

import importlib
import json
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture
def program(monkeypatch):
    """Return a program of the folder by its name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module
    for name in ("mutation", "fastest_first", "in_one_process"):
        sys.modules.pop(name, None)


def test_a_copy_is_set_to_one_package_and_the_tests_that_reach_it(program, tmp_path):
    mutation = program("mutation")
    source = tmp_path / "source"
    source.mkdir()
    whole = (mutation.PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    (source / "pyproject.toml").write_text(whole, encoding="utf-8")
    mutation.PROJECT, mutation.COPIED = source, ("pyproject.toml",)
    for package, folder in mutation.PACKAGES.items():
        mutation.copied(tmp_path / package, package)
        written = (tmp_path / package / "pyproject.toml").read_text(encoding="utf-8")
        settings = tomllib.loads(written)["tool"]["mutmut"]
        assert settings["only_mutate"] == [f"{folder}/*"]
        selected = [f"tests/{package}", folder, *mutation.BESIDES.get(package, ())]
        assert settings["pytest_add_cli_args_test_selection"] == selected
        assert settings["pytest_add_cli_args"][:2] == ["-p", "fastest_first"]
        assert (
            settings["pytest_add_cli_args"][2:]
            == tomllib.loads(whole)["tool"]["mutmut"]["pytest_add_cli_args"]
        )
        # Nothing lies beside the plugin that could hide a library of the same name.
        plugins = sorted(path.name for path in (tmp_path / package / "plugins").iterdir())
        assert plugins == ["fastest_first.py", "in_one_process.py"]
        assert (tmp_path / package / "mutants").is_dir()
        root = FOLDER.parents[1]
        assert all((root / path).exists() for path in selected)


def test_a_first_run_whose_tests_fail_is_no_score(program, tmp_path, monkeypatch):
    mutation = program("mutation")
    monkeypatch.setattr(mutation, "copied", lambda folder, package: folder.mkdir(parents=True))
    monkeypatch.setattr(mutation, "mutmut", lambda folder, *arguments, **settings: "1 failed: test_x")
    monkeypatch.setattr(sys, "argv", ["mutation.py", "runs", "--folder", str(tmp_path)])
    with pytest.raises(
        SystemExit, match=r"runs: its tests fail before anything is changed:\n1 failed: test_x"
    ):
        mutation.main()


def test_the_quickest_tests_run_first(program, tmp_path, monkeypatch):
    fastest_first = program("fastest_first")
    items = [SimpleNamespace(nodeid=name) for name in ("study", "unit", "new", "other")]
    monkeypatch.chdir(tmp_path)
    fastest_first.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == ["study", "unit", "new", "other"], "nothing has been timed"
    seconds = {"study": 30.0, "unit": 0.01, "other": 0.01}
    Path("mutmut-stats.json").write_text(json.dumps({"duration_by_test": seconds}))
    fastest_first.pytest_collection_modifyitems(items)
    assert [item.nodeid for item in items] == ["new", "unit", "other", "study"]


CODE = """
NAMES = set()


def larger(one, other):
    return one if one > other else other


def registered(name):
    if len(name) > 1:
        NAMES.add(name)
    return sorted(NAMES)


def unreached(number):
    return number + 1
"""
TESTS = """
import pytest
from fedrobust.tiny.code import larger, registered


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 1), (2, 2)])
def test_larger(one, other):
    assert larger(one, other) == max(one, other)


def test_registered():
    assert registered("ab") == ["ab"]
    assert registered("a") == ["ab"]


def test_that_fails_as_it_is():
    assert larger(1, 2) == 1
"""
SETTINGS = """
[tool.mutmut]
source_paths = ["fedrobust"]
also_copy = []
only_mutate = []
pytest_add_cli_args_test_selection = []
pytest_add_cli_args = ["-p", "no:cacheprovider"]
"""


@pytest.mark.slow
def test_one_session_tells_noticed_changes_from_others(program, tmp_path, monkeypatch, capsys):
    """`>=` for `>` alters no maximum; a name that a change has registered stays so afterwards."""
    mutation, source = program("mutation"), tmp_path / "source"
    files = {
        "pyproject.toml": SETTINGS,
        "fedrobust/__init__.py": "",
        "fedrobust/tiny/__init__.py": "",
        "fedrobust/tiny/code.py": CODE,
        "tests/tiny/test_code.py": TESTS,
    }
    for name, text in files.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(mutation, "PROJECT", source)
    monkeypatch.setattr(mutation, "COPIED", ("fedrobust", "tests", "pyproject.toml"))
    monkeypatch.setattr(mutation, "PACKAGES", {"tiny": "fedrobust/tiny"})
    arguments = ["mutation.py", "tiny", "--in-one-process", "--folder", str(tmp_path / "runs")]
    monkeypatch.setattr(sys, "argv", arguments)
    mutation.main()
    first, score, *missed = capsys.readouterr().out.splitlines()
    assert first.endswith("left out: tests/tiny/test_code.py::test_that_fails_as_it_is")
    assert "3 of 9 mutants noticed = 33.3% (12.1% to 64.6%), of 9" in score
    assert [line.strip().replace("fedrobust.tiny.code.x_", "") for line in missed] == [
        "survived: larger__mutmut_3",
        "uncertain: registered__mutmut_1",
        "survived: registered__mutmut_2",
        "uncertain: registered__mutmut_3",
        "no tests: unreached__mutmut_1",
        "no tests: unreached__mutmut_2",
    ]
    name = "fedrobust.tiny.code.x_larger__mutmut_3"
    monkeypatch.setattr(sys, "argv", [*arguments, "--names", name])
    mutation.main()
    assert "0 of 1 mutants noticed" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*arguments, "--tests", "tests/nowhere"])
    with pytest.raises(SystemExit, match="tiny: not every mutant was tried"):
        mutation.main()
