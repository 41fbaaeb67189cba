"""The compiled local updates by DP-SGD that the studies of one process share."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from fedrobust.algorithms.contract import proximal_of
from fedrobust.config.resolve_training import (
    algorithm_of,
    augmentations_of,
    loss_of,
    optimizer_of,
)
from fedrobust.config.sections import Training
from fedrobust.memoize import memoize

if TYPE_CHECKING:
    from fedrobust.models.classifier import Classifier
    from fedrobust.models.features import Features
    from fedrobust.training.private_update import PrivateUpdate


def _graph(
    training: Training, classifier: Any, features: Any, of: Hashable, base: str, clip: float
) -> Hashable:
    """Return the settings that the update depends on, with the model and the features by identity."""
    graph = training.loss, training.augmentations, training.optimizer, training.algorithm
    rates = training.proximal, training.backbone_rate, training.batch_size
    return id(classifier), id(features), graph, rates, of, base, clip


@memoize(keep=4, key=_graph)
def private_update(
    training: Training,
    classifier: "Classifier",
    features: "Features | None",
    of: Hashable,
    base: str,
    clip: float,
) -> "PrivateUpdate":
    """Return the compiled local update by DP-SGD.

    Args:
        training: optimiser, loss, augmentations, batch size.
        classifier: the model.
        features: of a frozen backbone, where the head alone is trained; None: the whole network is.
        of: what the classifier was built from.
        base: folder of the study file.
        clip: largest norm of an image's gradient.
    """
    # Starts TensorFlow.
    from fedrobust.training.clipped_sums import HeadSums, NetworkSums
    from fedrobust.training.private_update import PrivateUpdate

    loss = loss_of(training, base, classifier.multilabel)
    sums: HeadSums | NetworkSums
    if features is None:
        augmentations = augmentations_of(training, base)
        sums = NetworkSums(classifier, loss, augmentations, clip, training.batch_size)
    else:
        sums = HeadSums(classifier, loss, clip, training.batch_size)
    optimizer, proximal = optimizer_of(training, base), proximal_of(algorithm_of(training, base))
    return PrivateUpdate(classifier, sums, optimizer, proximal, training.backbone_rate, features)
