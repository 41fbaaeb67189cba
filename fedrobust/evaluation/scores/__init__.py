"""Further metrics of a classifier, named in `evaluation.metrics`. One file each."""

from fedrobust.evaluation.scores.brier import Brier
from fedrobust.evaluation.scores.contract import METRICS, Metric
from fedrobust.evaluation.scores.mcc import MCC
from fedrobust.evaluation.scores.quadratic_kappa import QuadraticKappa

GRADED: dict[str, Metric] = {"quadratic-kappa": QuadraticKappa()}
"""Metrics of data sets whose classes are grades."""

__all__ = ["GRADED", "MCC", "METRICS", "Brier", "Metric", "QuadraticKappa"]
