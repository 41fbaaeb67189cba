"""METRICS of one model, clean and attacked, by ascending epsilon."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedrobust.report.epsilon import Epsilon
from fedrobust.runs.record import EvaluationRecord, MetricsRecord

Attacked = Mapping[str, Mapping[Epsilon, MetricsRecord]]


@dataclass(frozen=True)
class Evaluation:
    """One model, clean and under every attack: ``attacked[attack][epsilon]``, epsilons ascending."""

    clean: MetricsRecord | None
    attacked: Attacked

    @classmethod
    def of(cls, record: EvaluationRecord | None, norm: str) -> "Evaluation":
        """Return the evaluation in a record, whose epsilons are of `norm`; empty without one.

        Raises:
            ReportError: an epsilon is not a number.
        """
        if record is None:
            return cls(None, {})
        attacked = {
            attack: dict(sorted((Epsilon.read(name, norm), metrics) for name, metrics in curve.items()))
            for attack, curve in record.robust.items()
        }
        return cls(record.clean, {attack: curve for attack, curve in attacked.items() if curve})
