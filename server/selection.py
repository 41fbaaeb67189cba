"""Model selection over rounds, and early stopping."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import dropwhile

import numpy as np

from fedrobust.audit.collapse import ONE_CLASS, UNSEEN
from fedrobust.config.sections import Evaluation
from fedrobust.runs.record import EvaluationRecord, MetricsRecord, RoundRecord
from server.callbacks.worst_client import worst_clients

PROBED = ("robust-accuracy", "robust-balanced-accuracy")
"""Figures of `evaluation.select-by` that are measured under a short attack, from 0 to 1."""

BELOW = 2.0
"""A constant classifier's score under attack is lower by this, and so below that of any other."""


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

        The accuracy under attack selects a round before robust overfitting (Rice et al., 2020, arXiv:2002.11569). A
        constant classifier keeps its answers under any attack, and with them the share of its class, balanced 1 /
        classes, which is more than a model keeps that begins to learn. It therefore scores below every other, see
        `is_constant`. Clean figures do not need that: there a model that learns exceeds it.
        """
        if self.settings.select == "last":
            return float(entry.round)
        if entry.round < self.first:
            return -np.inf
        if self.settings.select_by in PROBED:
            probe = (
                entry.pgd_probe if self.settings.select_by == "robust-accuracy" else entry.pgd_probe_balanced
            )
            if probe is None:
                return -np.inf
            return probe - BELOW if self.uninformative(entry) else probe
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

    def uninformative(self, entry: RoundRecord) -> bool:
        """Return whether a round's figure under attack is that of a constant classifier."""
        return (
            self.settings.select == "best"
            and self.settings.select_by in PROBED
            and entry.validation is not None
            and is_constant(entry.validation)
        )

    def scores(self, rounds: Iterable[RoundRecord], waiting: bool = False) -> list[float]:
        """Return the scores of validated rounds, for `exhausted`; none if the study does not stop early.

        Under attack those up to the first that is not constant do not count: the study waits for a model that learns.

        Args:
            rounds: in their order.
            waiting: whether rounds before these count already.
        """
        if not self.settings.stop_after:
            return []
        counted = (entry for entry in rounds if entry.validation is not None and entry.round >= self.first)
        return [
            self.score(entry) for entry in (counted if waiting else dropwhile(self.uninformative, counted))
        ]

    def remark(self, rounds: Iterable[RoundRecord]) -> str:
        """Return that no round but constant ones could be selected under attack; "" if others could, or none at all."""
        counted = [entry for entry in rounds if entry.validation is not None and entry.round >= self.first]
        if not counted or not all(map(self.uninformative, counted)):
            return ""
        return (
            f'evaluation.select-by = "{self.settings.select_by}": in every evaluated round the model gives all '
            "validation images, or nearly all, the same answer, which no attack changes; so does the kept model"
        )

    def exhausted(self, scores: Sequence[float]) -> str:
        """Return why the study stops early (no better score in `stop_after` evaluations), "" if it continues."""
        wait = self.settings.stop_after
        if not wait or len(scores) <= wait or max(scores[-wait:]) > max(scores[:-wait]):
            return ""
        return f"no better validation {self.settings.select_by} in {wait} evaluations (evaluation.stop-after)"


def is_constant(validation: MetricsRecord) -> bool:
    """Return whether a model gives nearly all images the same answer, as the audit has it.

    More than 95 % of the answers are one class, and no other that is there is recognised in more than 5 % of its
    images; of multi-label images, every finding is answered so.

    Example:
        >>> is_constant(MetricsRecord(accuracy=0.73, recall=(0.0, 1.0), predicted=(0, 78)))
        True
        >>> is_constant(MetricsRecord(accuracy=1.0, recall=(0.9, 1.0), predicted=(9, 591)))
        False
    """
    if validation.multilabel:
        known = [
            sorted((one.sensitivity, one.specificity))
            for one in validation.labels or ()
            if one.sensitivity is not None and one.specificity is not None
        ]
        return bool(known) and all(low <= UNSEEN and high > ONE_CLASS for low, high in known)
    total, most = sum(validation.predicted), max(validation.predicted, default=0)
    if not total or most / total <= ONE_CLASS:
        return False
    answer = validation.predicted.index(most)
    others = [value for label, value in enumerate(validation.recall) if label != answer and value is not None]
    return bool(others) and max(others) <= UNSEEN
