"""The peak memory of an exported file, measured in a process of its own.

    python -m fedrobust.edge.memory FILE

The runtime is imported inside of a function, so that this module can be imported without it.
"""

import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

from fedrobust.edge.errors import ExportError

STATUS = Path("/proc/self/status")


def peak_memory(path: Path) -> int | None:
    """Return the bytes that opening a file and classifying one image add to a process, at their peak.

    Measured as resident memory: the file's pages that were read, LiteRT's (or ONNX Runtime's) tensors and the code that
    it loads for them. None where the system has no ``/proc`` (other than Linux).

    Args:
        path: a ``.tflite`` or ``.onnx`` file.

    Raises:
        ExportError: the process failed.
    """
    if not STATUS.exists():
        return None
    command = [sys.executable, "-m", "fedrobust.edge.memory", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode or not done.stdout.strip().isdigit():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ExportError(f"{path}: its memory cannot be measured: {last}")
    return int(done.stdout)


def resident(key: str) -> int:
    """Return a figure of this process' memory in bytes: "VmRSS" now, "VmHWM" at its peak."""
    found = re.search(rf"^{key}:\s+(\d+) kB$", STATUS.read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise ExportError(f"{STATUS}: it has no {key}")
    return 1024 * int(found.group(1))


def measured(path: Path) -> int:
    """Return the bytes that opening a file and classifying one image add to this process."""
    import numpy as np

    # Opening a file starts its runtime, whose code is not the file's memory.
    from fedrobust.edge.runner import opened

    import_module("onnxruntime" if path.suffix == ".onnx" else "ai_edge_litert.interpreter")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    before = resident("VmRSS")
    interpreter = opened(path)
    interpreter.load(np.zeros((1, *interpreter.image_shape), np.float32))
    interpreter.invoke()
    return max(0, resident("VmHWM") - before)


if __name__ == "__main__":
    print(measured(Path(sys.argv[1])))  # noqa: T201
