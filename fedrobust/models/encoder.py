"""The input of a classifier's last layer, as a function of weights and images."""

from __future__ import annotations

from collections.abc import Sequence

from fedrobust.lazy import keras, tf
from fedrobust.models.classifier import Classifier
from fedrobust.models.two_batchnorms import TwoBatchNorms


def encoded(
    classifier: Classifier,
    trainable: Sequence[tf.Tensor],
    statistics: Sequence[tf.Tensor],
    prepared: tf.Tensor,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Return features (n, d), logits (n, classes) and the BatchNorm statistics after the pass.

    The arguments are those of `Classifier.logits`; of two sets of BatchNorm it is the main one. Features of more than
    one axis are flattened.
    """
    auxiliary: Sequence[tf.Tensor] = ()
    if isinstance(classifier, TwoBatchNorms):
        (_, trainable), (auxiliary, statistics) = (
            classifier.sets("trainable", trainable),
            classifier.sets("statistic", statistics),
        )
    network = classifier.network
    both = keras.Model(network.inputs, [network.layers[-1].input, network.output])
    held = dict(zip(map(id, network.trainable_variables), trainable, strict=True))
    others = network.non_trainable_variables
    moving = dict(zip(map(id, others), classifier.frozen.among(list(statistics)), strict=True))
    (features, logits), after = both.stateless_call(
        [held[id(variable)] for variable in both.trainable_variables],
        [moving[id(variable)] for variable in both.non_trainable_variables],
        prepared,
        training=training,
    )
    moved = moving | dict(zip(map(id, both.non_trainable_variables), after, strict=True))
    found = classifier.frozen.without([moved[id(variable)] for variable in others])
    return tf.reshape(features, [tf.shape(features)[0], -1]), logits, [*auxiliary, *found]
