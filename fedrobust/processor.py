"""The processor's name."""

import platform
from pathlib import Path


def processor_name(table: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name from /proc/cpuinfo, else from Python's `platform`."""
    try:
        lines = table.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
