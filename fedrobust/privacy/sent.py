"""The weights that an honest client sends, after the postprocessors of its update."""

from collections.abc import Sequence

import numpy as np

from fedrobust.models.layout import Weights
from fedrobust.privacy.contract import Postprocessor, at_client, promise_of
from fedrobust.randomness import Purpose, generator


def postprocessed(
    postprocessors: Sequence[Postprocessor],
    sent: Weights,
    current: Weights,
    seed: int,
    round: int,
    client: int,
    secret: bool = False,
) -> Weights:
    """Return the weights `sent` after the postprocessors of their difference to the global weights `current`.

    With a promise of privacy, BatchNorm statistics are those that the client was sent: no noise protects its own.

    Args:
        postprocessors: of the study.
        sent: weights of the client.
        current: the global weights.
        seed: of the noise.
        round: from 1.
        client: its number.
        secret: whether the noise comes from the system's randomness: in a deployment every site knows the seed.
    """
    if not postprocessors:
        return sent
    draw = np.random.default_rng() if secret else generator(seed, Purpose.POSTPROCESSING, round, client + 1)
    update = at_client(postprocessors, sent.trainable - current.trainable, draw)
    promised = promise_of(postprocessors) is not None
    return Weights(current.trainable + update, current.statistics if promised else sent.statistics)
