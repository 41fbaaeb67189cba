"""What a run ran on: enough to repeat it, nothing that names a person or a host."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fedrobust.cores import cores

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
    """Return versions, processor and threads, as plain data."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": cores(),
        "workers": workers,
        **{name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor(table: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name from Linux' table of processors, or what Python calls it where there is none."""
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
