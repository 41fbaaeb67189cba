"""Detectors of attacked images, on which a model abstains: one file each."""

from fedrobust.detectors.contract import DETECTORS, Detector, Seen

__all__ = ["DETECTORS", "Detector", "Seen"]
