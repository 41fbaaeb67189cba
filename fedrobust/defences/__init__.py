"""Prediction-time defences: what a deployed model does to an image before its network sees it. One file a defence."""

from fedrobust.defences.bit_depth import BitDepth
from fedrobust.defences.contract import DEFENCES, PredictionDefence

__all__ = ["DEFENCES", "BitDepth", "PredictionDefence"]
