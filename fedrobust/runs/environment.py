"""The environment of a run: versions and processor, without names of users or hosts."""

import platform
from importlib.metadata import PackageNotFoundError, version
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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
