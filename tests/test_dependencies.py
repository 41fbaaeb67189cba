"""Whatever is imported is declared: nothing works only because another package brought it."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions as read_distributions
from pathlib import Path

import pytest

import fedrobust

PROJECT = Path(__file__).parents[1]
PACKAGES = ("fedrobust", "clients", "server")
OWN = {*PACKAGES, "tests"}
OPPONENTS = {"adv_lib", "pyautoattack", "torch"}
"""What benchmarks compare with in an environment of their own, as their docstrings say: torch is not installed here."""


packages_distributions = cache(read_distributions)
"""Modules and the distributions they come from: read from the metadata of all packages that are installed."""


@cache
def imported(folder: Path) -> dict[str, Path]:
    """Return the foreign top-level modules that the Python files below a folder import, and one that does."""
    files = sorted(folder.rglob("*.py"))
    # Scripts import their neighbours, and tests import scripts; modules of the packages do not.
    scripts = () if folder.name in PACKAGES else (folder, PROJECT / "experiments", PROJECT / "docs")
    beside = {path.stem for each in scripts for path in each.rglob("*.py")}
    found = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names = [node.module]
            found.update({name.partition(".")[0]: path for name in names})
    return {
        name: path
        for name, path in found.items()
        if name not in OWN and name not in sys.stdlib_module_names and name not in beside
    }


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*groups: str) -> set[str]:
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = settings["project"].get("optional-dependencies", {})
    wanted = [*settings["project"]["dependencies"], *(each for extra in extras.values() for each in extra)]
    for group in groups:
        wanted += settings["dependency-groups"][group]
    return {plain(re.findall(r"[A-Za-z0-9._-]+", each)[0]) for each in wanted} | (
        # Ray comes with the extra that is asked for by name.
        {"ray"} if any(each.startswith("flwr[simulation]") for each in wanted) else set()
    )


def test_every_dependency_is_imported():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    used = {name for folder in PACKAGES for name in imported(PROJECT / folder)}
    names = {plain(each) for name in used for each in packages_distributions().get(name, [name])}
    wanted = {plain(re.findall(r"[A-Za-z0-9._-]+", each)[0]) for each in settings["project"]["dependencies"]}
    assert wanted - names == set()


def test_the_version_stands_once_and_is_the_installed_one():
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    assert fedrobust.__version__ == settings["project"]["version"]
    assert "__version__ =" not in (PROJECT / "fedrobust" / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("folder", "groups"),
    [("fedrobust", ()), ("clients", ()), ("server", ()), ("experiments", ("dev",)), ("tests", ("dev",))],
)
def test_every_import_is_declared(folder, groups):
    known, distributions = declared(*groups), packages_distributions()
    elsewhere = OPPONENTS if folder == "experiments" else set()
    undeclared = {
        f"{name} ({path.relative_to(PROJECT)})"
        for name, path in imported(PROJECT / folder).items()
        if name not in elsewhere and not {plain(each) for each in distributions.get(name, [name])} & known
    }
    assert undeclared == set()
