"""The random numbers of a study, derived from its seed and their purpose.

There is no global generator: who draws what does not depend on who drew before, so a study gives the same numbers
with any number of workers and after a resume.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """The purpose of a generator. The values are part of seeds: never change one."""

    PHANTOM = 1
    PARTITION = 2
    WEIGHTS = 3
    SAMPLING = 4
    TRAINING = 5
    EVALUATION = 6
    DISTILLATION = 7
    EXPORT = 8
    POISONING = 9
    AGGREGATION = 10
    RESAMPLING = 11
    CALIBRATION = 12
    POSTPROCESSING = 13
    SITE_SHIFT = 14
    DROPOUT = 15
    WORK = 16
    HETEROGENEITY = 17
    RECIPE_CLIENTS = 18
    SMOOTHING = 19
    DEFENCE = 20
    REMOVAL = 21
    TRAIN_SHARE = 22
    LEAKAGE = 23
    MODEL_NOISE = 24
    CLIENT_GROUPS = 30


def sequence(seed: int, purpose: Purpose, round: int = 0, partition: int = 0) -> np.random.SeedSequence:
    """Return the seed sequence of (seed, round, partition, purpose)."""
    return np.random.SeedSequence([seed, round, partition, int(purpose)])


def generator(seed: int, purpose: Purpose, round: int = 0, partition: int = 0) -> np.random.Generator:
    """Return a NumPy generator of its own for one purpose.

    Args:
        seed: the study's seed, not negative.
        purpose: what the numbers are for.
        round: federated round, 0 outside of rounds.
        partition: client's partition, 0 where there is none.

    Example:
        >>> a = generator(0, Purpose.SAMPLING, round=1).random()
        >>> a == generator(0, Purpose.SAMPLING, round=1).random()
        True
        >>> a == generator(0, Purpose.SAMPLING, round=2).random()
        False
    """
    return np.random.default_rng(sequence(seed, purpose, round, partition))


def graph_seed(seed: int, purpose: Purpose, round: int = 0, partition: int = 0) -> np.ndarray:
    """Return two int32 numbers that seed TensorFlow's stateless generators, shape (2,)."""
    return sequence(seed, purpose, round, partition).generate_state(2, np.uint32).view(np.int32)


def noise_seed(seed: int, share: float, draw: int) -> int:
    """Return the seed of a study's noise of differential privacy: its own, or another one for each draw of its images.

    Studies of other halves of the same training images (shadow federations) have the same seed otherwise: with the same
    noise, too, it would cancel in a comparison of their models.

    Args:
        seed: the study's.
        share: of the training images that are used.
        draw: number of the draw of that share.

    Example:
        >>> noise_seed(7, 1.0, 0), len({noise_seed(7, 0.5, draw) for draw in range(4)} | {7})
        (7, 5)
    """
    return seed if share == 1 else int(np.random.SeedSequence([seed, draw + 1]).generate_state(1)[0])
