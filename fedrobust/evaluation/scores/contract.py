"""The contract of further scores, and their registry."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from fedrobust.evaluation.intervals import Floats, Integers
from fedrobust.registry import Registry

METRICS = Registry("metric", "fedrobust.evaluation.scores")


class Metric(Protocol):
    """A frozen dataclass of settings with one method. Record, report and sweeps show what a study asks for."""

    def __call__(self, labels: Integers, logits: Floats) -> float | None:
        """Return the score of finite `logits` (n, classes) against `labels` (n,); None where it is not defined."""
        ...


NONE_FURTHER: Mapping[str, Metric] = MappingProxyType({})
"""No further scores."""
