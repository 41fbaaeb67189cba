"""Change the code in small ways and see whether the tests notice: a mutation score with its interval.

    python experiments/reliability/mutation.py aggregation --sample 300
    python experiments/reliability/mutation.py aggregation poisoning server runs engines   # every mutant; hours
    python experiments/reliability/mutation.py evasion --sample 100 --in-one-process          # about ten times as fast

mutmut (https://mutmut.readthedocs.io) makes the changes, one at a time, and runs the tests that reach the changed
function; its settings stand in `[tool.mutmut]` of pyproject.toml. Everything happens in a copy of the project below
`--folder`, which keeps results: the same command goes on where it was stopped. `python -m mutmut show NAME` there shows
a survivor. With `--in-one-process` one pytest session tries all of them (`in_one_process.py`): without doctests and the
tests of other folders, so that the score is a lower bound, and from the beginning when it was stopped.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from in_one_process import drawn

from fedrobust.evaluation.intervals import wilson

PROJECT = Path(__file__).resolve().parents[2]
COPIED = (
    "fedrobust",
    "server",
    "clients",
    "tests",
    "experiments",
    "docs",
    "pyproject.toml",
    "README.md",
    "Makefile",
)
SELECTED = re.compile(r"pytest_add_cli_args_test_selection = \[.*?\]", re.DOTALL)
ONLY = re.compile(r"only_mutate = \[.*?\]", re.DOTALL)
ARGUMENTS = "pytest_add_cli_args = ["
PACKAGES = {
    "aggregation": "fedrobust/aggregation",
    "audit": "fedrobust/audit",
    "edge": "fedrobust/edge",
    "evaluation": "fedrobust/evaluation",
    "evasion": "fedrobust/evasion",
    "flower": "fedrobust/flower",
    "models": "fedrobust/models",
    "poisoning": "fedrobust/poisoning",
    "runs": "fedrobust/runs",
    "engines": "fedrobust/engines",
    "server": "server",
    "training": "fedrobust/training",
}
BESIDES = {
    "models": ("tests/evasion/test_model_file.py",),
    "flower": ("tests/aggregation/test_parity.py", "tests/engines/test_malformed.py"),
    "engines": ("tests/integration/test_study.py",),
    "server": (
        "tests/integration/test_study.py",
        "tests/integration/test_guards.py",
        "tests/integration/test_poisoning.py",
    ),
}
"""Tests of other folders that are needed to reach a package: whole studies, and Flower's rules as rules."""

NOTICED = ("killed", "timeout", "suspicious", "segfault", "caught by type check")


def copied(folder: Path, package: str) -> None:
    """Copy what is tested into `folder`, set to change one package and to run the tests that are named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, target = PROJECT / name, folder / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "results", "pictures")
            shutil.copytree(source, target, dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copy2(source, target)
    settings = folder / "pyproject.toml"
    text = settings.read_text(encoding="utf-8")
    # The examples in its docstrings are tests, too.
    tests = [f"tests/{package}", PACKAGES[package], *BESIDES.get(package, ())]
    text = SELECTED.sub(f"pytest_add_cli_args_test_selection = {json.dumps(tests)}", text)
    text = ONLY.sub(f'only_mutate = ["{PACKAGES[package]}/*"]', text)
    text = text.replace(ARGUMENTS, f'{ARGUMENTS}"-p", "fastest_first", ')
    settings.write_text(text, encoding="utf-8")
    # A folder of its own: modules that lie beside the plugin must not hide those of the same name.
    plugins = folder / "plugins"
    plugins.mkdir(exist_ok=True)
    for plugin in ("fastest_first.py", "in_one_process.py"):
        shutil.copy2(Path(__file__).with_name(plugin), plugins)
    # Python remembers of a folder on its path that is not there yet, and would never look into it again.
    (folder / "mutants").mkdir(exist_ok=True)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in `folder`, on the changed code."""
    paths = (folder / "mutants", folder / "plugins")
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def mutmut(folder: Path, *arguments: str, children: int = 1) -> str:
    """Run mutmut in `folder` and return what it prints."""
    command = ["-m", "mutmut", *arguments]
    if arguments[0] == "run":
        command[3:3] = ["--max-children", str(children)]
    done = run(folder, *command)
    if arguments[0] != "run" and done.returncode:
        raise SystemExit(f"mutmut {arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def statuses(folder: Path) -> dict[str, str]:
    """Return the state of every mutant that mutmut has made, by name."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    pairs = (line.strip().rpartition(": ") for line in lines if "__mutmut_" in line)
    return {name: state for name, _, state in pairs}


def in_processes(folder: Path, package: str, options: argparse.Namespace) -> tuple[dict[str, str], int]:
    """Return the states of the changes drawn, each tried in a process of its own, and of how many they were drawn."""
    prefix = PACKAGES[package].replace("/", ".") + "."
    if not (folder / "mutants" / "mutmut-stats.json").exists():
        # The first run makes the mutants and notes which test reaches which function.
        said = mutmut(folder, "run", f"{prefix}none")
        if not (folder / "mutants" / "mutmut-stats.json").exists():
            raise SystemExit(f"{package}: its tests fail before anything is changed:\n{said[-5000:]}")
    names = sorted(name for name in statuses(folder) if name.startswith(prefix))
    chosen = drawn(names, options.sample, options.seed)
    said = mutmut(folder, "run", *chosen, children=options.children)
    states = statuses(folder)
    if "not checked" in (states[name] for name in chosen):
        raise SystemExit(f"{package}: not every mutant was tried:\n{said[-5000:]}")
    return {name: states[name] for name in chosen}, len(names)


def in_one_process(folder: Path, package: str, options: argparse.Namespace) -> tuple[dict[str, str], int]:
    """Return the same of changes that are tried in one pytest session."""
    out = folder / "in-one-process.json"
    out.unlink(missing_ok=True)
    tests = options.tests or [f"tests/{package}"]
    # -P: the project's own copy beside it must not hide the changed one.
    command = ["-P", "-m", "in_one_process", PACKAGES[package].replace("/", ".") + ".", *tests]
    command += ["--sample", str(options.sample), "--seed", str(options.seed), "--out", str(out)]
    command += ["--names", *options.names] if options.names else []
    done = run(folder, *command)
    if not out.exists():
        raise SystemExit(
            f"{package}: not every mutant was tried:\n{done.stdout[-2500:]}{done.stderr[-2500:]}"
        )
    found = json.loads(out.read_text(encoding="utf-8"))
    for test in found["broken"]:
        print(f"  fails before anything is changed, left out: {test}")
    return found["states"], found["of"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", choices=sorted(PACKAGES))
    parser.add_argument("--sample", type=int, default=0, help="mutants drawn from each package; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--children", type=int, default=1, help="mutants tested at a time")
    parser.add_argument("--in-one-process", action="store_true", help="try all in one pytest session")
    parser.add_argument("--tests", nargs="+", help="in one process: these instead of the package's folder")
    parser.add_argument("--names", nargs="+", help="in one process: these mutants instead of drawn ones")
    parser.add_argument("--folder", type=Path, default=Path("runs/mutation"))
    options = parser.parse_args()
    if (options.tests or options.names) and not (options.in_one_process and len(options.packages) == 1):
        parser.error("--tests and --names go with --in-one-process and one package")
    for package in options.packages:
        folder = options.folder.resolve() / package
        copied(folder, package)
        tried = in_one_process if options.in_one_process else in_processes
        states, total = tried(folder, package, options)
        found = Counter(states.values())
        noticed = sum(found[state] for state in NOTICED)
        low, high = wilson(noticed, len(states))
        print(
            f"{package}: {noticed} of {len(states)} mutants noticed = {noticed / len(states):.1%} "
            f"({low:.1%} to {high:.1%}), of {total}; {dict(found)}"
        )
        for name in sorted(name for name in states if states[name] not in NOTICED):
            print(f"  {states[name]}: {name}")


if __name__ == "__main__":
    main()
