"""Success of attacks whose trigger is learnt: read from a simulated client's memory, refused elsewhere."""

import re

import numpy as np
import pytest
from flwr.app import RecordDict
from small_study import dataset, small_study, with_parts

from fedrobust.config import ConfigError
from fedrobust.engines.grid import SimulatedGrid
from fedrobust.flower.records import arrays_record
from fedrobust.poisoning import AttackMemory
from fedrobust.poisoning.memory import RECORD
from server.callbacks import AttackSuccess, FinishedRound
from server.parts import ServerParts


class Grid(SimulatedGrid):
    """A grid of which only the clients' states are asked."""

    def __init__(self, **states):
        self.states = states

    def client_state(self, client):
        """Return the state of a client, by its number."""
        return self.states.get(f"client_{client}", RecordDict())


def memory(level) -> RecordDict:
    trigger = np.full((5, 5, 1), level, np.float32)
    return RecordDict({RECORD: arrays_record(AttackMemory(2, own={"trigger": trigger}).arrays())})


def parts_of(grid, attack="a3fl(size=2)"):
    images = dataset()
    study = small_study(images, poisoning__attack=attack, poisoning__malicious=[1, 3], federation__clients=5)
    return ServerParts(study, grid, None)


def test_the_trigger_is_that_of_the_first_attacker_with_a_memory():
    learnt = {"client_3": memory(0.2), "client_4": memory(0.9)}
    idle = {"client_1": RecordDict({RECORD: arrays_record(AttackMemory(1).arrays())})}
    states_and_levels = (
        ({}, 128),
        (learnt, 51),
        ({**learnt, "client_1": memory(1.0)}, 255),
        ({**learnt, **idle}, 51),
    )
    for states, level in states_and_levels:
        parts = parts_of(Grid(**states), "a3fl")
        wide = np.zeros((4, 28, 28, 1), np.uint8)
        test = parts.study.dataset.test
        object.__setattr__(test, "images", wide)
        criterion = parts.learnt_criterion()
        assert (criterion.images[:, 2:7, 2:7] == level).all()


def test_attacks_with_a_fixed_trigger_have_none():
    assert parts_of(Grid(), "pixel-backdoor(size=2)").learnt_criterion is None


def test_where_clients_are_not_simulated_it_is_refused_before_the_first_round():
    parts = parts_of(object())
    expected = 'poisoning.attack = "a3fl(size=2)": its trigger is learnt by malicious clients'
    with pytest.raises(ConfigError, match=re.escape(expected)):
        with_parts(parts, evaluator=None, criterion=None, mixes=None).callbacks("folder")


def test_success_is_measured_anew_after_each_round():
    class Evaluator:
        def success(self, weights, criterion):
            return weights, criterion

    triggers = iter(["first", "second"])
    callback = AttackSuccess(Evaluator(), "fixed", lambda: next(triggers))
    for number in ("first", "second"):
        finished = FinishedRound(1, "weights", "measured")
        assert callback(finished) == {"attack_success": ("weights", number)}
    assert AttackSuccess(Evaluator(), "fixed")(finished) == {"attack_success": ("weights", "fixed")}
    assert AttackSuccess(Evaluator(), "fixed", lambda: None)(finished) == {"attack_success": None}
