"""A stranger's client at a deployment: every call of Flower's, on every port, with every kind of false credentials.

    python experiments/reliability/strangers.py

The calls are tests (`tests/integration/test_stranger.py`, `tests/deployment`), which this program runs and counts: a
test that fails is a stranger who came in, or a door that does not open to those who may.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DOORS = [f"tests/deployment/test_{name}.py" for name in ("front_door", "own_messages", "handshake")]
WHOLE = [
    *(*DOORS, "tests/deployment/test_hosts.py", "tests/deployment/test_account.py"),
    "tests/integration/test_stranger.py",
]


def counted(report: Path) -> dict[str, int]:
    """Return how many tests ran, were skipped, and failed, by pytest's report."""
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    sums = {
        name: sum(int(each.get(name, 0)) for each in suites)
        for name in ("tests", "skipped", "failures", "errors")
    }
    return {
        "tests": sums["tests"] - sums["skipped"],
        "skipped": sums["skipped"],
        "strangers in": sums["failures"] + sums["errors"],
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="without a running server")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            f"--junitxml={report}",
            *(DOORS if given.quick else WHOLE),
        ]
        done = subprocess.run(command, cwd=PROJECT, stdout=sys.stderr, check=False)
        found = counted(report)
    print(json.dumps(found, indent=1))
    sys.exit(done.returncode)
