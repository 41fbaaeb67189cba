"""Trackers of experiments: TensorBoard, MLflow, Weights & Biases. Each is a listener of a run's events."""

from fedrobust.registry import Registry

TRACKERS = Registry("tracker", home="fedrobust.tracking.trackers")
"""Trackers by the name of ``--log``."""
