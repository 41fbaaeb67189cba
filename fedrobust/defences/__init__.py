"""Prediction-time defences: transformations of each image before the network of the deployed model. One file each."""

from fedrobust.defences.bit_depth import BitDepth
from fedrobust.defences.contract import DEFENCES, PredictionDefence

__all__ = ["DEFENCES", "BitDepth", "PredictionDefence"]
