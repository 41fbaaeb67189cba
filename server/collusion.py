"""Collusion: the updates of all colluding clients, computed where the honest ones are known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fedrobust.aggregation import Aggregation, AggregationContext, Memory, Updates
from fedrobust.algorithms.contract import NOTHING
from fedrobust.poisoning import Attack, CollusionContext
from server.accumulators import Collected
from server.memories import memory_of, with_memory
from server.replies import Failure

WHOSE = "attack"
"""The prefix of what colluding clients agreed on, in the server's memory."""


def from_outside(context: AggregationContext) -> AggregationContext:
    """Return a rule's `context` without what only the server has: its images, answers of models, its memory.

    A rule that needs images fails; one that remembers behaves as in its first round.
    """
    return replace(context, memory={}, model=None, root=AggregationContext.root)


def collude(
    attack: Attack,
    collected: Collected,
    bad: np.ndarray,
    tolerated: int,
    draw: Callable[[], np.random.Generator],
    aggregate: Callable[[np.random.Generator], Aggregation],
    change: Callable[[Aggregation, np.random.Generator], tuple[np.ndarray, str]],
    value: Callable[[np.ndarray], float] | None = None,
    surrogate: bool = False,
    memory: Memory = NOTHING,
) -> tuple[tuple[Failure, ...], Memory]:
    """Replace the rows of the colluding clients by the attack's updates; return its failures, and `memory` after.

    If all clients of a round are malicious, their own updates are used in place of the honest ones.

    With `surrogate` knowledge they do not see honest updates: copies of what they learnt themselves stand in their
    place, also where they try what the defence lets through, of which they know what `from_outside` leaves.

    Args:
        attack: with a part that colludes.
        collected: the updates of a round; the rows of the colluding clients change.
        bad: mask of those rows (n,).
        tolerated: number of malicious clients that the defence tolerates.
        draw: returns the attackers' random numbers, the same in each call.
        aggregate: function from random numbers to the defence's result on the present rows.
        change: function from that result and random numbers to the change of the global weights, and why the server
            rejects it ("" if it accepts it).
        value: function from the change of the global weights to how good that is for the attackers; None: not measured.
        surrogate: whether they know their own updates only.
        memory: the server's, with what they agreed on in earlier rounds.
    """
    updates = collected.updates
    own = updates[bad].copy()
    hidden = updates[~bad] if surrogate else None
    if hidden is not None:
        updates[~bad] = own[np.arange(len(hidden)) % len(own)]
    known = bad if surrogate or bad.all() else ~bad
    honest = Updates(own if known is bad else updates[~bad])

    def aggregated(sent: np.ndarray) -> Aggregation:
        updates[bad] = np.nan_to_num(sent)
        return aggregate(draw())

    def step(sent: np.ndarray) -> np.ndarray:
        try:
            changed, fault = change(aggregated(sent), draw())
        except (ValueError, ArithmeticError):  # the server rejects a round on which its rule fails
            return np.full(updates.shape[1], np.nan, np.float32)
        return np.full_like(changed, np.nan) if fault else changed

    knowledge = CollusionContext(
        Updates(own),
        len(updates),
        tolerated,
        draw(),
        lambda sent: aggregated(sent).update,
        step,
        value=value,
        client_ids=collected.client_ids[known],
        memory=memory_of(memory, WHOSE),
    )
    try:
        agreed = attack.agreed(honest, knowledge)
        knowledge = replace(knowledge, memory=agreed)
        updates[bad] = np.nan_to_num(attack.collude(honest, knowledge))
    except Exception as error:  # raised by the attack's code: the clients fail
        updates[bad] = own
        reason = f"{type(error).__name__}: {error}"
        return tuple(Failure(int(client_id), reason) for client_id in collected.client_ids[bad]), memory
    finally:
        if hidden is not None:
            updates[~bad] = hidden
    return (), with_memory(memory, WHOSE, agreed)
