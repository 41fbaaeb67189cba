"""Further metrics of a classifier, named in `evaluation.metrics`. One file each."""

from fedrobust.evaluation.scores.brier import Brier
from fedrobust.evaluation.scores.contract import METRICS, Metric
from fedrobust.evaluation.scores.mcc import MCC

__all__ = ["MCC", "METRICS", "Brier", "Metric"]
