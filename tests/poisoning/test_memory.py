"""What malicious clients keep, and what they know of the last change of the global model."""

import numpy as np
import pytest

from fedrobust.poisoning import Attack, AttackContext, AttackMemory


class Counts:
    """An attack that counts its rounds."""

    def prepare(self, context):
        """Return the number of its rounds so far."""
        return {"rounds": np.array([1 + int(context.memory.own.get("rounds", [0])[0])])}

    def update(self, update, context):
        """Return the update times that number."""
        return update * float(context.memory.own["rounds"][0])


class Keeps(Counts):
    """The same, keeping weights and update."""

    keeps = ("weights", "update")


VECTOR = np.array([1.0, -2.0], np.float32)


def test_memory_survives_the_way_through_arrays():
    for memory in (
        AttackMemory(),
        AttackMemory(4, VECTOR, None, {}),
        AttackMemory(2, VECTOR, 2 * VECTOR, {"a/b": np.zeros((2, 3), np.uint8)}),
    ):
        again = AttackMemory.of(memory.arrays())
        assert again.round == memory.round
        for name in ("weights", "update"):
            one, other = getattr(again, name), getattr(memory, name)
            assert (one is None and other is None) or one.tolist() == other.tolist()
        assert {name: array.tolist() for name, array in again.own.items()} == {
            name: array.tolist() for name, array in memory.own.items()
        }
    assert AttackMemory.of({}).round == 0


@pytest.mark.parametrize(("attack", "names"), [(Counts(), []), (Keeps(), ["update", "weights"])])
def test_only_what_an_attack_asks_for_is_kept(attack, names):
    whole = Attack((attack,))
    kept = whole.kept(whole.prepared(AttackContext(round=3)), VECTOR, 2 * VECTOR)
    assert whole.remembers
    assert sorted(kept.arrays()) == sorted(["own/rounds", "round", *names])
    assert not Attack.parse("sign-flip").remembers


def test_what_is_prepared_is_what_the_round_sees_and_the_next_one_finds():
    attack, memory, sent = Attack((Counts(),)), AttackMemory(), []
    for round in (1, 2, 5):
        context = attack.prepared(AttackContext(round=round, memory=memory))
        sent.append(attack.update(VECTOR, context).tolist())
        memory = attack.kept(context, VECTOR, VECTOR)
    assert sent == [[1, -2], [2, -4], [3, -6]]


def test_the_change_is_that_since_the_clients_last_round():
    known = AttackContext(current=3 * VECTOR, memory=AttackMemory(7, VECTOR))
    assert known.change.tolist() == [2, -4]
    assert AttackContext(current=VECTOR).change is None
    assert AttackContext(memory=AttackMemory(1, VECTOR)).change is None


def test_statistics_are_not_compared_with_weights():
    class Longer(Keeps):
        statistics = "same"

        def update(self, update, context):
            """Return the update; there is no change to know of."""
            assert context.change is None
            return update

    context = AttackContext(
        current=VECTOR, statistics=np.ones(3, np.float32), memory=AttackMemory(1, VECTOR, VECTOR)
    )
    assert Attack((Longer(),)).statistics(np.ones(3, np.float32), context).tolist() == [1, 1, 1]
