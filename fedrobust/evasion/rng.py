"""Counter-based random numbers of each image, independent of the batch that it is attacked in.

The numbers are a hash of (the image's key, a counter). An attack's result for an image therefore does not depend on
the other images, on their order, or on how many of them were dropped before.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fedrobust.randomness import Purpose, sequence

Keys = NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def keys_of(seed: int, places: NDArray[np.integer]) -> Keys:
    """Return the keys of the images at `places` of a split, (n,) uint64.

    Example:
        >>> bool((keys_of(0, np.array([3, 5]))[1:] == keys_of(0, np.array([5]))).all())
        True
    """
    start = sequence(seed, Purpose.EVALUATION).generate_state(1, np.uint64)[0]
    return _mixed(_mixed(np.asarray(places).astype(np.uint64) * _STEP + start))


def apart(keys: Keys, what: int) -> Keys:
    """Return keys of independent random numbers for the same images: for a restart, or a part of an ensemble."""
    with np.errstate(over="ignore"):
        return _mixed(keys + np.uint64(what + 1) * _FIRST)


def uniform(keys: Keys, counter: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return numbers in [0, 1), shape (n, *shape) float32.

    Args:
        keys: (n,) one an image.
        counter: distinguishes draws of one image: a step, a query.
        shape: of the numbers of one image.

    Source: Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators (the mixing function).

    Example:
        >>> numbers = uniform(keys_of(0, np.arange(1000)), counter=0, shape=(10,))
        >>> bool(abs(numbers.mean() - 0.5) < 0.01)
        True
    """
    return (_bits(keys, counter, shape) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def normal(keys: Keys, counter: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return numbers of a standard normal distribution, shape (n, *shape) float32."""
    between = ((_bits(keys, counter, shape) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return ndtri(between).astype(np.float32)


def integers(keys: Keys, counter: int, below: int, shape: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """Return whole numbers from 0 to `below` - 1, shape (n, *shape)."""
    return (_bits(keys, counter, shape) % np.uint64(below)).astype(np.int64)


def signs(keys: Keys, counter: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return random signs, -1 or 1, shape (n, *shape) float32: 64 of them from every hash.

    Example:
        >>> numbers = signs(keys_of(0, np.arange(100)), counter=0, shape=(1000,))
        >>> sorted(set(numbers.ravel().tolist())), bool(abs(numbers.mean()) < 0.02)
        ([-1.0, 1.0], True)
    """
    count = int(np.prod(shape, dtype=np.int64))
    words = _bits(keys, counter, (-(-count // 64),)).astype("<u8")
    bits = np.unpackbits(words.view(np.uint8), axis=1, count=count)
    return (bits.astype(np.float32) * 2 - 1).reshape(len(keys), *shape)


def _bits(keys: Keys, counter: int, shape: tuple[int, ...]) -> NDArray[np.uint64]:
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        places = (np.arange(count, dtype=np.uint64) + np.uint64(counter << 32)) * _STEP
        return _mixed(_mixed(keys[:, None] + places)).reshape(len(keys), *shape)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        return z ^ (z >> np.uint64(31))
