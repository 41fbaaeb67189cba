"""Graphs are made ready side by side; what cannot be is left to whoever needs it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest

from fedrobust.engines.grid import SimulatedGrid
from server.rehearsal import rehearse


def rehearsed(engine="threads", simulated=True, cached=False, fails=False, together=1):
    """Return what was made ready."""
    made, both = [], Barrier(together)

    def make(what):
        both.wait(timeout=5)
        made.append(what)
        if fails:
            raise ValueError("a recipe of a user's own")

    study = SimpleNamespace(
        experiment=SimpleNamespace(
            training=SimpleNamespace(features_are_cached=cached), engine=SimpleNamespace(name=engine)
        ),
        local_training=SimpleNamespace(update=lambda training: make("update")),
    )
    grid = SimulatedGrid(lambda slot: None, {}, clients=2, workers=2) if simulated else object()
    with ThreadPoolExecutor(2) as pool:
        rehearse(study, SimpleNamespace(rehearse=lambda: make("evaluation")), grid, pool)
    return sorted(made)


@pytest.mark.parametrize("fails", [False, True])
def test_training_and_evaluation_are_made_ready_at_once(fails):
    assert rehearsed(together=2, fails=fails) == ["evaluation", "update"]


@pytest.mark.parametrize("where", [{"engine": "ray"}, {"simulated": False}])
def test_training_in_other_processes_is_made_ready_there(where):
    assert rehearsed(**where) == ["evaluation"]


def test_a_head_on_kept_features_has_no_graphs_of_its_network():
    assert rehearsed(cached=True) == []
