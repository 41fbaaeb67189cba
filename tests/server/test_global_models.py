"""Several global models in one round loop: each is trained by its own clients, and they are evaluated as one."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from small_study import LAYOUT, weights

from fedrobust.config import Experiment
from fedrobust.models.layout import Layout, Weights
from fedrobust.runs.checkpoint import Checkpoint
from server.client_registry import ClientRegistry
from server.global_models import GlobalModels, shared_out
from server.round_outcome import Aggregated, RoundOutcome, together
from server.rounds import RoundLoop, round_record
from server.selection import Selection

BOTH = Layout((*LAYOUT.entries, *LAYOUT.entries))


def outcome(sampled, trained, loss) -> RoundOutcome:
    return RoundOutcome(sampled, trained, (), loss, 1.0)


@dataclass
class Group:
    """A federation of some clients, which adds `step` to every weight, or fails with `fault`."""

    clients: tuple[int, ...]
    step: float = 1.0
    fault: str = ""
    layout: Layout = LAYOUT

    def __post_init__(self):
        numbers = np.array(self.clients)
        self.registry = ClientRegistry(numbers, None, np.ones(len(numbers), np.int64), 1.0, 1)
        self.heard, self.remembered = [], []

    def aggregate(self, number, current, sampled, replies, memory):
        self.heard += [reply.metadata.src_node_id - 1 for reply in replies]
        self.remembered.append(dict(memory))
        if self.fault:
            return Aggregated(outcome(2, 0, float("nan")), None, fault=self.fault)
        trained = Weights(current.trainable + np.float32(self.step), current.statistics)
        return Aggregated(outcome(2, len(self.heard), self.step), trained, {"count": np.full(1, self.step)})


def loop(*groups, fault="") -> RoundLoop:
    judge = SimpleNamespace(classifier=SimpleNamespace(layout=BOTH), fault=lambda weights: fault)
    settings = Experiment.of()
    return RoundLoop(None, groups, judge, settings.evaluation, Selection(settings.evaluation), 3, 3)


def reply(client):
    return SimpleNamespace(metadata=SimpleNamespace(src_node_id=client + 1))


BEFORE = Checkpoint(
    1,
    GlobalModels((LAYOUT, LAYOUT)).joined([weights(1.0), weights(5.0)]),
    weights(0.0),
    0.0,
    "",
    {},
    {"model-0/count": np.zeros(1), "model-1/count": np.ones(1)},
)


def made(*groups, order=(3, 0, 2, 1), fault=""):
    return loop(*groups, fault=fault).made(2, BEFORE, [(0, 1), (2, 3)], map(reply, order))


def test_each_model_hears_its_own_clients_whoever_answers_first():
    one, other = Group((0, 1)), Group((2, 3), step=10.0)
    found = made(one, other)
    assert (one.heard, other.heard) == ([0, 1], [3, 2])
    assert found.weights.trainable.tolist() == [2.0, 2.0, 15.0, 15.0]
    assert [memory["count"].item() for memory in (*one.remembered, *other.remembered)] == [0.0, 1.0]
    assert {name: array.item() for name, array in found.memory.items()} == {
        "model-0/count": 1.0,
        "model-1/count": 10.0,
    }


def test_a_model_that_could_not_be_made_stays_as_it_was():
    found = made(Group((0, 1), fault="round 2: few"), Group((2, 3)))
    assert (found.kept, found.failed) == ("", False)
    assert found.weights.trainable.tolist() == [1.0, 1.0, 6.0, 6.0]
    assert found.memory["model-0/count"].item() == 0.0


def test_a_round_has_failed_if_no_model_could_be_made():
    found = made(Group((0, 1), fault="round 2: few"), Group((2, 3), fault="round 2: none"))
    assert (found.kept, found.failed) == ("round 2: few", True)
    assert found.weights is BEFORE.weights


def test_models_that_cannot_be_evaluated_together_are_all_kept():
    found = made(Group((0, 1)), Group((2, 3)), fault="not finite")
    assert (found.kept, found.failed, found.weights) == ("round 2: not finite", False, BEFORE.weights)


def test_the_record_has_the_whole_and_the_parts():
    record = round_record(2, made(Group((0, 1)), Group((2, 3), step=4.0), order=(0, 2, 3)), 0.0)
    assert (record.clients.sampled, record.clients.trained, record.clients.loss) == (
        4,
        3,
        3.0,
    )
    assert [part.clients.trained for part in record.models] == [1, 2]


def test_strangers_go_to_the_first_model_which_refuses_them():
    one, other = Group((0, 1)), Group((2, 3))
    made(one, other, order=(9, 2))
    assert (one.heard, other.heard) == ([9], [2])


def test_one_model_is_not_copied():
    alone = GlobalModels((LAYOUT,))
    model = weights(3.0)
    assert alone.split(model)[0] is alone.joined([model]) is model
    assert alone.joined_memory([{"a": model.trainable}]) == {"a": model.trainable}


@pytest.mark.parametrize("trained", [0, 2])
def test_losses_together_weight_each_model_by_its_clients(trained):
    found = together([outcome(2, trained, 1.0), outcome(3, 2, 3.0), outcome(1, 0, float("nan"))])
    assert (found.sampled, found.trained, found.loss) == (6, trained + 2, 2.0 if trained else 3.0)


def test_items_are_taken_from_their_source_one_by_one():
    taken = []

    def source():
        for number in range(6):
            taken.append(number)
            yield number

    even, odd = shared_out(source(), lambda number: number % 2, 2)
    assert (next(odd), taken) == (1, [0, 1])
    assert (list(even), list(odd)) == ([0, 2, 4], [3, 5])
