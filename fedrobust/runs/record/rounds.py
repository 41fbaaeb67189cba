"""One round of a run, as ``result.json`` and ``metrics.jsonl`` hold it."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from fedrobust.runs.codec import entry, read, record, to_json
from fedrobust.runs.record.metrics import AttackSuccessRecord, EvaluationRecord, MetricsRecord


@record
class FailureRecord:
    """A client of which a round makes no use."""

    partition: int = entry("the client's number; -1 where it is none of the study's")
    reason: str = entry("why", default="")


@record
class ClientsRecord:
    """The clients of a round."""

    sampled: int | None = entry("clients that were asked", default=None)
    trained: int | None = entry("of these, clients with valid replies", default=None)
    failed: int = entry("clients that are dropped", default=0)
    failures: tuple[FailureRecord, ...] = entry("these, by number", default=())
    loss: float | None = entry("mean training loss, clients weighted by their images", default=None)
    seconds: float | None = entry("the clients' own seconds of training, together", default=None)


@record
class DefenceRecord:
    """The defence in a round; null: not applicable."""

    rule: str | None = entry("the aggregation rule", default=None)
    before: tuple[str, ...] = entry("pre-aggregators", default=())
    tolerated: int | None = entry("malicious clients that the rule was given to tolerate", default=None)
    attacked: bool = entry("whether a sampled client attacked", default=False)
    valid: bool = entry("false where an attack failed by a fault of the study", default=True)
    attack_failures: tuple[FailureRecord, ...] = entry("malicious clients whose attack failed", default=())
    seconds: float | None = entry("time that the rule took", default=None)
    bytes: int | None = entry("memory of the updates", default=None)
    partitions: tuple[int, ...] | None = entry("clients whose updates the rule was given", default=None)
    malicious: tuple[int, ...] = entry("malicious clients among those sampled", default=())
    refused: tuple[int, ...] = entry("of these, clients with invalid replies", default=())
    accepted: tuple[int, ...] | None = entry(
        "clients that the rule accepted; null for rules that do not select", default=None
    )
    influence: tuple[float, ...] | None = entry(
        "weight of every client in `partitions` in the aggregated update", default=None
    )
    malicious_influence: float | None = entry("weight of the malicious ones, together", default=None)
    true_positive_rate: float | None = entry("share of the malicious clients rejected", default=None)
    false_positive_rate: float | None = entry("share of the honest clients rejected", default=None)
    rare: tuple[int, ...] = entry("honest clients whose class mix is unlike the others'", default=())
    rare_false_positive_rate: float | None = entry("share of these rejected", default=None)
    distance: float | None = entry(
        "from the aggregated update to the honest clients' mean (l2)", default=None
    )
    honest_norm: float | None = entry("l2 norm of the honest clients' mean", default=None)


@record
class WorstClientRecord:
    """The worst-off client: with the lowest accuracy under its class mix."""

    client: int | None = entry(
        "its number; null where the test images have no class of any client's", default=None
    )
    accuracy: float | None = entry("expected under its class mix", default=None)
    mean: float | None = entry(
        "the same, mean over all clients that have a class of the test images", default=None
    )


@record
class ModelRoundRecord:
    """One of several global models in a round."""

    clients: ClientsRecord = entry("its clients", default_factory=ClientsRecord)
    defence: DefenceRecord | None = entry("the defence among them", default=None)


@record
class RoundRecord(EvaluationRecord):
    """A round: the global model after it, and its clients."""

    round: int = entry("its number, from 1")
    validation: MetricsRecord | None = entry("on the validation images, where they select", default=None)
    worst_client: Mapping[str, WorstClientRecord] | None = entry(
        "``clean`` and every attack with its largest epsilon -> the worst-off client", default=None
    )
    pgd_probe: float | None = entry(
        "accuracy under PGD-5 of some validation images, where clients train adversarially", default=None
    )
    pgd_probe_balanced: float | None = entry(
        "balanced accuracy under the same attack, of more images of rare classes where it selects the round; left out "
        "where it was not measured",
        default=None,
        left_out=True,
    )
    attack_success: AttackSuccessRecord | None = entry(
        "success of the poisoning attack; null where it is untargeted, or did not run as asked", default=None
    )
    unmeasured: str | None = entry("why the model could not be measured", default=None, left_out=True)
    clients: ClientsRecord = entry("the clients", default_factory=ClientsRecord)
    defence: DefenceRecord | None = entry(
        "the defence; null for a plain mean of honest clients", default=None
    )
    epsilon: float | None = entry(
        "of all rounds up to this one; left out without differential privacy",
        default=None,
        left_out=True,
    )
    clip_norm: float | None = entry(
        "clipping norm of the next round, where it adapts", default=None, left_out=True
    )
    models: tuple[ModelRoundRecord, ...] | None = entry(
        "the same for each global model, where there are several", default=None, left_out=True
    )
    kept: str | None = entry("why the model is that of the round before; null where it is new", default=None)
    failed: bool = entry("whether no model could be made at all", default=False)
    seconds: float | None = entry("of the whole round", default=None)
    training_seconds: float | None = entry(
        "from the first message to the new model", default=None, left_out=True
    )

    @classmethod
    def read(cls, value: Any) -> "RoundRecord":
        """Read one entry of ``rounds``, or one line of ``metrics.jsonl``.

        Raises:
            RecordError: a key holds a value of another kind.
        """
        return read(cls, value)

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The round as plain JSON, made once: a run writes the rounds before after every round."""
        content: dict[str, Any] = to_json(self)
        return content

    @property
    def valid(self) -> bool:
        """Whether the attack, if there was one, ran as it was asked to."""
        return self.defence is None or self.defence.valid


def probes_of(rounds: Iterable[RoundRecord]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return accuracy and balanced accuracy under PGD-5 of the rounds that measured it; the latter only if all did.

    Example:
        >>> probes_of([RoundRecord(round=1), RoundRecord(round=2, pgd_probe=0.7, pgd_probe_balanced=0.5)])
        ((0.7,), (0.5,))
    """
    probed = [each for each in rounds if each.pgd_probe is not None]
    balanced = tuple(each.pgd_probe_balanced for each in probed if each.pgd_probe_balanced is not None)
    accuracy = tuple(each.pgd_probe for each in probed if each.pgd_probe is not None)
    return accuracy, balanced if len(balanced) == len(accuracy) else ()
