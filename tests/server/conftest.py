"""Shared by the tests of the server."""

import pytest

from fedrobust.runs.events import listening


@pytest.fixture
def told():
    """The events of a test."""
    events = []
    with listening(events.append):
        yield events
