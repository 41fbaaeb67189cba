"""The contract of further metrics, and their registry."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from fedrobust.evaluation.intervals import Floats, Integers
from fedrobust.registry import Registry

METRICS = Registry("metric", "fedrobust.evaluation.scores")


class Metric(Protocol):
    """A frozen dataclass of settings that is called; its score appears in record, report and sweeps.

    It may have a method ``interval(labels, logits, confidence)`` that returns the score's limits, and a class attribute
    ``multilabel = True`` where its ``labels`` are label sets.
    """

    def __call__(self, labels: Integers, logits: Floats) -> float | None:
        """Return the score of finite `logits` (n, classes) against `labels` (n,); None where it is not defined."""
        ...


NONE_FURTHER: Mapping[str, Metric] = MappingProxyType({})
"""No further metrics."""
