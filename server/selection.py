"""Model selection over rounds, and early stopping."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fedrobust.config.sections import Evaluation
from fedrobust.runs.record import EvaluationRecord, MetricsRecord, RoundRecord
from server.callbacks.worst_client import worst_clients

PROBED = ("robust-accuracy", "robust-balanced-accuracy")
"""Figures of `evaluation.select-by` that are measured under a short attack."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The selection of a round by its model's metrics on the validation split.

    Attributes:
        settings: of ``[evaluation]``: ``select``, ``select_by`` and ``stop_after``.
        mixes: (clients, classes) class distribution of each client's training images, for the worst-off client; None
            if unknown.
        first: round from which the recipe trains: models of earlier ones are selected only where there is no other.
    """

    settings: Evaluation
    mixes: np.ndarray | None = None
    first: int = 1

    @property
    def validates(self) -> bool:
        """Whether the validation split is measured."""
        return self.settings.select == "best" or self.settings.validation

    def score(self, entry: RoundRecord) -> float:
        """Return the score of a round, whose maximum is selected: its number, or its validation metric.

        The accuracy under attack selects a round before robust overfitting (Rice et al., 2020, arXiv:2002.11569). Where
        one class is frequent a constant classifier has most of it, which the balanced accuracy does not reward.
        """
        if self.settings.select == "last":
            return float(entry.round)
        if entry.round < self.first:
            return -np.inf
        if self.settings.select_by in PROBED:
            probe = (
                entry.pgd_probe if self.settings.select_by == "robust-accuracy" else entry.pgd_probe_balanced
            )
            return -np.inf if probe is None else probe
        figure = None if entry.validation is None else self.figure(entry.validation)
        return -np.inf if figure is None else figure

    def figure(self, validation: MetricsRecord) -> float | None:
        """Return the validation metric, larger for a better model; None if undefined."""
        by = self.settings.select_by
        if by == "worst-client":
            assert self.mixes is not None  # checked before the first round
            return worst_clients(self.mixes, EvaluationRecord(clean=validation))["clean"].accuracy
        if by == "loss":
            return None if validation.loss is None else -validation.loss
        value: float | None = getattr(validation, by.replace("-", "_"))
        return value

    def scores(self, rounds: Iterable[RoundRecord]) -> list[float]:
        """Return the scores of validated rounds, for `exhausted`; none if the study does not stop early."""
        if not self.settings.stop_after:
            return []
        return [
            self.score(entry)
            for entry in rounds
            if entry.validation is not None and entry.round >= self.first
        ]

    def exhausted(self, scores: Sequence[float]) -> str:
        """Return why the study stops early (no better score in `stop_after` evaluations), "" if it continues."""
        wait = self.settings.stop_after
        if not wait or len(scores) <= wait or max(scores[-wait:]) > max(scores[:-wait]):
            return ""
        return f"no better validation {self.settings.select_by} in {wait} evaluations (evaluation.stop-after)"
