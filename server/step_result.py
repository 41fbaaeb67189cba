"""The result of an aggregation step."""

from dataclasses import dataclass, field

from fedrobust.aggregation import Memory
from fedrobust.models.layout import Weights
from fedrobust.runs.record import DefenceRecord
from server.replies import Failure


@dataclass(frozen=True, eq=False)
class StepResult:
    """The result of an aggregation step, which the caller accepts or discards as a whole.

    Attributes:
        weights: the next global weights.
        record: the round's ``defence`` in ``result.json``; None for a mean of honest clients.
        memory: the next state of rules and server optimiser.
        fault: why the result is unusable, "" if it is usable.
        attack_failures: malicious clients whose collusion failed.
    """

    weights: Weights
    record: DefenceRecord | None
    memory: Memory = field(default_factory=dict)
    fault: str = ""
    attack_failures: tuple[Failure, ...] = ()
