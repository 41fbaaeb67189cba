"""Further scores of a classifier, one file each: a study asks for them by name in `evaluation.metrics`."""

from fedrobust.evaluation.scores.brier import Brier
from fedrobust.evaluation.scores.contract import METRICS, Metric
from fedrobust.evaluation.scores.mcc import MCC

__all__ = ["MCC", "METRICS", "Brier", "Metric"]
