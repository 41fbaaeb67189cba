"""What a benchmark ran on: enough to judge its figures, nothing that names a host."""

import json
from pathlib import Path
from typing import Any

from fedrobust.runs.environment import environment


def machine() -> dict[str, Any]:
    """Return processor, cores and versions."""
    about = environment(workers=0)
    names = ("processor", "cores", "system", "python", "flwr", "tensorflow", "keras", "ray", "numpy")
    return {name: about[name] for name in names}


def write(path: Path, **content: Any) -> None:
    """Write the figures of a benchmark, with the machine, as JSON."""
    path.write_text(json.dumps({"machine": machine(), **content}, indent=2) + "\n")
