"""A plugin of pytest: the tests that took least, when mutmut timed them, run first.

mutmut's fork server hands a changed function's tests over in no order, and the run ends at the first that fails: a
whole study would often run before the unit test that tells in milliseconds. `mutation.py` switches it on.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

STATISTICS = Path("mutmut-stats.json")
"""Written by mutmut into the folder in which tests run, once it has run them all."""


def durations(path: Path = STATISTICS) -> Mapping[str, float]:
    """Return the seconds of every test by its name; none before mutmut has timed them."""
    if not path.exists():
        return {}
    seconds: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))["duration_by_test"]
    return seconds


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by how long they took; new ones first, and equals in their order."""
    seconds = durations()
    if seconds:
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
