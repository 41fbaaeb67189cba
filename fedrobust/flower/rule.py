"""Flower's own strategies as aggregation rules, for comparison."""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import Strategy

from fedrobust.aggregation import Aggregation, AggregationContext, Updates
from fedrobust.flower.records import LiveArray
from fedrobust.registry import UnknownNameError
from fedrobust.spec import Spec, SpecError

STRATEGIES = ("FedAvg", "FedMedian", "FedTrimmedAvg", "Krum", "MultiKrum", "Bulyan")


@dataclass(frozen=True)
class FlowerRule:
    """A Flower strategy as an aggregation rule; it gets the clients' weights as from Flower's server.

    Attributes:
        strategy: from flwr.serverapp.strategy.
    """

    strategy: Strategy

    def weight(self, examples: int, typical: float) -> int:
        """Return a client's weight: its claimed number of images, which of Flower's strategies only FedAvg uses."""
        return examples if type(self.strategy).__name__ == "FedAvg" else 1

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the strategy's aggregate of `updates`, as an update."""
        current = context.current if context.current is not None else np.zeros(updates.size, np.float32)
        matrix = np.asarray(updates)
        whole = len(context.examples) == len(updates)
        replies = [
            _reply(current + row, int(context.examples[place]) if whole else 1)
            for place, row in enumerate(matrix)
        ]
        with _quiet():
            arrays, _ = self.strategy.aggregate_train(context.round, replies)
        if arrays is None:
            raise RuntimeError(f"{type(self.strategy).__name__} returned no weights")
        weights = next(iter(arrays.values())).numpy()
        return Aggregation((weights - current).astype(np.float32))


def flower_rule(text: str, f: int) -> FlowerRule:
    """Return the rule of a spec such as ``flower:MultiKrum(num_nodes_to_select=5)``.

    Args:
        text: the spec.
        f: number of malicious nodes, for strategies that take one, if the spec does not give it.

    Raises:
        UnknownNameError, SpecError: there is no such strategy, or it does not take the settings.
    """
    spec = Spec.parse(text.removeprefix("flower:"))
    if spec.name not in STRATEGIES:
        raise UnknownNameError(f"{text!r}: of Flower's strategies choose one of: {', '.join(STRATEGIES)}")
    settings: dict[str, Any] = dict(spec.settings)
    if spec.name in ("Krum", "MultiKrum", "Bulyan"):
        settings.setdefault("num_malicious_nodes", f)
    make = getattr(importlib.import_module("flwr.serverapp.strategy"), spec.name)
    try:
        return FlowerRule(make(**settings))
    except (TypeError, ValueError) as error:
        raise SpecError(f"{text!r}: {error}") from error


def _reply(weights: np.ndarray, examples: int) -> Message:
    record = ArrayRecord()
    record["weights"] = LiveArray(weights)
    content = RecordDict({"arrays": record, "metrics": MetricRecord({"num-examples": examples})})
    question = Message(RecordDict(), 0, "train")
    return Message(content, reply_to=question)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the strategies' log lines."""
    logger = logging.getLogger("flwr")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
