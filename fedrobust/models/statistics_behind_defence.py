"""BatchNorm's statistics behind a prediction-time defence, which changes what the network is shown."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.models.recalibration import recalibration_of

EPSILON = 1e-3
"""Keras' default of BatchNorm, which it adds to variances: below it their ratios mean nothing."""


def behind_defence(
    classifier: Classifier, weights: Weights, images: NDArray[np.uint8], fitted_to: Any = None
) -> Weights:
    """Return `weights` with BatchNorm statistics that are moved as the classifier's defence moves those of `images`.

    Clients train without the defence, so that their statistics are those of images as they are stored: behind a median
    filter a network takes smooth images for another class. Statistics are measured on `images` with and without the
    defence (`Recalibration`), and `weights` get the difference: whoever measured theirs, a defence that changes nothing
    changes none of them.

    Args:
        classifier: the model behind its defence; without one, or without BatchNorm, the weights stay as they are.
        weights: trained without the defence.
        images: (n, height, width, channels) uint8, the server's.
        fitted_to: the defence that the statistics of `weights` are fitted to; None: to images as they are stored.

    Source: statistics measured on the images that a network is shown (Schneider et al., 2020, arXiv:2006.16971); the
    difference in place of the measurement is this project's.
    """
    if classifier.defence is None or not classifier.layout.statistics:
        return weights
    before = classifier if fitted_to is None else classifier.with_defence(fitted_to)
    without = recalibration_of(before, defended=fitted_to is not None)(weights, images).statistics
    behind = recalibration_of(classifier, defended=True)(weights, images).statistics
    places = classifier.layout.places("variance")
    return Weights(weights.trainable, moved(weights.statistics, without, behind, places))


def moved(
    statistics: NDArray[np.float32],
    without: NDArray[np.float32],
    behind: NDArray[np.float32],
    variances: NDArray[np.intp],
) -> NDArray[np.float32]:
    """Return `statistics` (s,) with the differences between two measurements of others.

    Means are moved by the difference; of variances, the ratio counts.

    Args:
        statistics: means and variances of a model.
        without: (s,) measured on images without the defence.
        behind: (s,) measured on the same images behind it.
        variances: places of the variances.

    Example:
        >>> one, other = np.array([1.0, 4.0], np.float32), np.array([3.0, 1.0], np.float32)
        >>> moved(np.array([2.0, 8.0], np.float32), one, other, np.array([1])).round(2).tolist()
        [4.0, 2.0]
    """
    found = statistics + (behind - without)
    own, before, after = statistics[variances], without[variances], behind[variances]
    found[variances] = np.maximum(own + (own + EPSILON) * ((after - before) / (before + EPSILON)), 0.0)
    return found.astype(np.float32)
