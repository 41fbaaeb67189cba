"""The mean logits of several models: the teacher of a student."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fedrobust.lazy import tf
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights


def mean_logits(asked: Iterable[np.ndarray]) -> tuple[np.ndarray, int]:
    """Return the mean of several models' logits, float32, and their number; one model's are left as they are.

    It is the teacher of FedDF (Lin et al., 2020, arXiv:2006.07242, equation 1): clients count alike.

    Example:
        >>> mean_logits([np.array([[1.0, 0.0]]), np.array([[3.0, 1.0]])])
        (array([[2. , 0.5]], dtype=float32), 2)
    """
    first, *others = asked
    if not others:
        return first, 1
    total = first.astype(np.float64)
    for logits in others:
        total += logits
    return (total / (1 + len(others))).astype(np.float32), 1 + len(others)


def answers_of(classifier: Classifier, models: Sequence[Weights]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function from native images in [0, 1] to the teachers' mean logits, for use inside a graph."""
    arrays = [classifier.arrays(weights) for weights in models]

    def answers(images: tf.Tensor) -> tf.Tensor:
        each = [classifier.answers(trainable, statistics, images) for trainable, statistics in arrays]
        return tf.add_n(each) / len(each)

    return answers
