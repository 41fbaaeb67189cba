"""Predictions of a run's models on single images, with the preparation of an import."""

from fedrobust.prediction.predict import Prediction, Predictions, predict

__all__ = ["Prediction", "Predictions", "predict"]
