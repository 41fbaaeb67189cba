"""Fine-pruning: cut off features that clean images do not use, then fine-tune."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.bounds import Count, Positive, Share
from fedrobust.lazy import keras, tf
from fedrobust.models.layout import Weights
from fedrobust.removal.contract import BATCH, REMOVALS, Removed, Suspect
from fedrobust.removal.fine_tuning import fine_tuned, steps_of


@REMOVALS.register("fine-pruning")
@dataclass(frozen=True, kw_only=True)
class FinePruning:
    """Prune features that clean images hardly activate, then fine-tune (Liu et al., 2018, arXiv:1805.12185).

    A backdoor may live in features that are dormant on clean images. The head's input features are cut off in the order
    of their mean size on the server's images, smallest first, as long as the accuracy there falls by no more than
    `drop`. After global average pooling a feature is a channel of the last convolution, which the paper prunes. Their
    weights in the head are set to 0 and stay there.

    Attributes:
        drop: largest loss of accuracy on the server's images by pruning.
        most: largest share of the features that is pruned.
        epochs: passes of fine-tuning over the server's images.
        learning_rate: of fine-tuning, with momentum 0.9.
    """

    drop: Share = 0.02
    most: Share = 0.9
    epochs: Count = 4
    learning_rate: Positive = 0.001

    def __call__(self, suspect: Suspect) -> Removed:
        """Return the pruned and fine-tuned model."""
        layout = suspect.classifier.layout
        features = features_of(suspect)
        kernel, bias = (np.asarray(one) for one in layout.split(suspect.weights.trainable, "trainable")[-2:])
        order = np.argsort(np.abs(features).mean(0), kind="stable")[: int(self.most * features.shape[1])]
        pruned = order[: self.count(features, kernel, bias, suspect.labels, order)]
        mask = np.ones(layout.parameters, bool)
        within = (
            layout.parameters - bias.size - kernel.size + np.arange(kernel.size).reshape(kernel.shape)[pruned]
        )
        mask[within.ravel()] = False
        cut = Weights(np.where(mask, suspect.weights.trainable, np.float32(0)), suspect.weights.statistics)
        rates = [self.learning_rate] * steps_of(suspect, self.epochs)
        found = {"features": float(features.shape[1]), "pruned": float(len(pruned))}
        return Removed(fine_tuned(suspect, cut, rates, kept=mask), found)

    def count(
        self,
        features: np.ndarray,
        kernel: np.ndarray,
        bias: np.ndarray,
        labels: np.ndarray,
        order: np.ndarray,
    ) -> int:
        """Return how many features can be cut off, in `order`, until the accuracy falls by more than `drop`.

        Example:
            >>> features = np.array([[1.0, 0.1, 2.0], [0.0, 0.0, 3.0]])
            >>> kernel = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 0.5]])
            >>> FinePruning(drop=0.1).count(features, kernel, np.zeros(2), np.array([0, 1]), np.array([1, 0]))
            1
        """
        logits = features @ kernel + bias
        least = (logits.argmax(1) == labels).mean() - self.drop
        for number, feature in enumerate(order):
            logits = logits - features[:, feature, None] * kernel[feature]
            if (logits.argmax(1) == labels).mean() < least:
                return number
        return len(order)


def features_of(suspect: Suspect) -> np.ndarray:
    """Return the head's input features (n, d) float32 of the server's images."""
    # Starts Keras.
    from fedrobust.models.two_batchnorms import main_of

    classifier, weights = main_of(suspect.classifier, suspect.weights)
    network = classifier.network
    both = keras.Model(network.input, [network.layers[-1].input, network.output])
    trainable, statistics = classifier.arrays(weights)

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run(images: Any) -> Any:
        prepared = classifier.preparation(images)
        others = classifier.frozen.among(list(statistics))
        return both.stateless_call(list(trainable), others, prepared, training=False)[0][0]

    starts = range(0, len(suspect.images), BATCH)
    return np.concatenate([np.asarray(run(tf.constant(suspect.images[at : at + BATCH]))) for at in starts])
