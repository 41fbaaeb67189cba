"""The environment of a run: versions and processor, date and command, without names of users or hosts."""

import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fedrobust.cores import cores
from fedrobust.processor import processor_name

PACKAGES = (
    "fedrobust",
    "flwr",
    "tensorflow",
    "keras",
    "numpy",
    "ai-edge-litert",
    "medmnist",
    "ray",
    "scikit-learn",
)


def environment(workers: int) -> dict[str, Any]:
    """Return versions, processor and threads as plain data."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
        "cores": cores(),
        "workers": workers,
        **{name: _version(name) for name in PACKAGES},
    }


def occasion() -> dict[str, str]:
    """Return the date in UTC, and the command line if it is this project's, as plain data.

    A command may name folders; nothing else in it tells of user or host.
    """
    date = {"date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"}
    program = Path(sys.argv[0]) if sys.argv else Path()
    ours = program.stem == "fedrobust" or program.parts[-2:] == ("fedrobust", "__main__.py")
    return date | ({"command": shlex.join(["fedrobust", *sys.argv[1:]])} if ours else {})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
