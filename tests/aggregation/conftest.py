"""ByzFL's NumPy path as an oracle: its package imports torch, its rules on arrays do not need it."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def byzfl():
    """The modules ``aggregators`` and ``preaggregators`` of ByzFL; the test is skipped where it is not installed."""
    found = importlib.util.find_spec("byzfl")
    if found is None or found.origin is None:
        pytest.skip("byzfl is not installed")
    root = Path(found.origin).parent
    names = [name for name in sys.modules if name == "torch" or name.startswith(("torch.", "byzfl"))]
    before = {name: sys.modules.pop(name) for name in names}
    torch = types.ModuleType("torch")
    torch.Tensor = type("Tensor", (), {})
    torch.linalg = types.ModuleType("torch.linalg")
    sys.modules.update({"torch": torch, "torch.linalg": torch.linalg})
    for package in ("byzfl", "byzfl.utils", "byzfl.aggregators"):
        module = types.ModuleType(package)
        module.__path__ = [str(root / Path(*package.split(".")[1:]))]
        sys.modules[package] = module
    try:
        oracle = types.SimpleNamespace()
        for name in ("aggregators", "preaggregators"):
            module = importlib.import_module(f"byzfl.aggregators.{name}")
            oracle.__dict__.update(
                {key: value for key, value in vars(module).items() if isinstance(value, type)}
            )
        yield oracle
    finally:
        for name in list(sys.modules):
            if name == "torch" or name.startswith(("torch.", "byzfl")):
                del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture
def honest(draw):
    """Twelve updates of 300 numbers around one direction."""
    direction = draw.standard_normal(300)
    return (direction + 0.3 * draw.standard_normal((12, 300))).astype(np.float32)
