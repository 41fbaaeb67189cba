"""Check that epsilons are at most the largest distance of two images."""

import math
from collections.abc import Iterable, Sequence

from fedrobust.epsilon import epsilon_value
from fedrobust.errors import ConfigError


def check_reach(
    epsilons: Iterable[float | str], norm: str, shape: Sequence[int], setting: str = "epsilon"
) -> None:
    """Check that images of a shape can differ by epsilons.

    Args:
        epsilons: as a user writes them.
        norm: "linf", "l2" or "l0".
        shape: (height, width, channels).
        setting: what gave them, for the message.

    Raises:
        ConfigError: one is not above 0, or beyond the largest distance of two images in [0, 1].

    Example:
        >>> check_reach([29], "l2", (28, 28, 1))
        Traceback (most recent call last):
        fedrobust.errors.ConfigError: epsilon = 29: choose a number above 0, up to 28, the largest distance of two \
images of 28 x 28 x 1 in l2
    """
    height, width, channels = shape
    furthest = {"linf": 1.0, "l2": math.sqrt(height * width * channels), "l0": float(height * width)}[norm]
    for epsilon in epsilons:
        value = epsilon_value(epsilon)
        if not 0 < value <= furthest:
            raise ConfigError(
                f"{setting} = {epsilon}: choose a number above 0, up to {furthest:.4g}, the largest distance of two "
                f"images of {height} x {width} x {channels} in {norm}"
            )
        if norm == "l0" and value != int(value):
            raise ConfigError(f"{setting} = {epsilon}: l0 counts pixels; choose a whole number")
