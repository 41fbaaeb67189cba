"""Change the code in small ways and see whether the tests notice: a mutation score with its interval.

    python experiments/reliability/mutation.py aggregation --sample 300
    python experiments/reliability/mutation.py aggregation poisoning server runs simulation   # every mutant; hours

mutmut (https://mutmut.readthedocs.io) makes the changes, one at a time, and runs the tests that reach the changed
function; its settings stand in `[tool.mutmut]` of pyproject.toml. Everything happens in a copy of the project below
`--folder`, which keeps results: the same command goes on where it was stopped. `python -m mutmut show NAME` there shows
a survivor.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

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
    "simulation": "fedrobust/simulation",
    "server": "server",
    "training": "fedrobust/training",
}
BESIDES = {
    "models": ("tests/evasion/test_model_file.py",),
    "flower": ("tests/aggregation/test_parity.py", "tests/simulation/test_malformed.py"),
    "simulation": ("tests/integration/test_study.py",),
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
    shutil.copy2(Path(__file__).with_name("fastest_first.py"), plugins)
    # Python remembers of a folder on its path that is not there yet, and would never look into it again.
    (folder / "mutants").mkdir(exist_ok=True)


def mutmut(folder: Path, *arguments: str, children: int = 1) -> str:
    """Run mutmut in `folder` and return what it prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    if arguments[0] == "run":
        command[4:4] = ["--max-children", str(children)]
    paths = (folder / "mutants", folder / "plugins")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if arguments[0] != "run" and done.returncode:
        raise SystemExit(f"mutmut {arguments[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def statuses(folder: Path) -> dict[str, str]:
    """Return the state of every mutant that mutmut has made, by name."""
    lines = mutmut(folder, "results", "--all", "true").splitlines()
    pairs = (line.strip().rpartition(": ") for line in lines if "__mutmut_" in line)
    return {name: state for name, _, state in pairs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="+", choices=sorted(PACKAGES))
    parser.add_argument("--sample", type=int, default=0, help="mutants drawn from each package; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of the draw")
    parser.add_argument("--children", type=int, default=1, help="mutants tested at a time")
    parser.add_argument("--folder", type=Path, default=Path("runs/mutation"))
    options = parser.parse_args()
    for package in options.packages:
        folder = options.folder.resolve() / package
        copied(folder, package)
        prefix = PACKAGES[package].replace("/", ".") + "."
        if not (folder / "mutants" / "mutmut-stats.json").exists():
            # The first run makes the mutants and notes which test reaches which function.
            said = mutmut(folder, "run", f"{prefix}none")
            if not (folder / "mutants" / "mutmut-stats.json").exists():
                raise SystemExit(f"{package}: its tests fail before anything is changed:\n{said[-5000:]}")
        names = sorted(name for name in statuses(folder) if name.startswith(prefix))
        drawn = random.Random(options.seed).sample(names, min(options.sample or len(names), len(names)))
        said = mutmut(folder, "run", *drawn, children=options.children)
        states = statuses(folder)
        if "not checked" in (states[name] for name in drawn):
            raise SystemExit(f"{package}: not every mutant was tried:\n{said[-5000:]}")
        found = Counter(states[name] for name in drawn)
        noticed = sum(found[state] for state in NOTICED)
        low, high = wilson(noticed, len(drawn))
        print(
            f"{package}: {noticed} of {len(drawn)} mutants noticed = {noticed / len(drawn):.1%} "
            f"({low:.1%} to {high:.1%}), of {len(names)}; {dict(found)}"
        )
        for name in sorted(name for name in drawn if states[name] not in NOTICED):
            print(f"  {states[name]}: {name}")


if __name__ == "__main__":
    main()
