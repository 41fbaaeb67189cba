"""The latency of an exported file for one image."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fedrobust.edge.interpreter import Images, unit_images
from fedrobust.edge.runner import Runner


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one inference of one image.

    Args:
        p50: median.
        p95: 95th percentile: what a user has to expect now and then.
        threads: threads of one inference.
        runs: how many inferences were timed.
    """

    p50: float
    p95: float
    threads: int
    runs: int

    def to_json(self) -> dict[str, Any]:
        """Return the figures as a plain dictionary."""
        return asdict(self)


def measure_latency(interpreter: Runner, image: Images, warmups: int = 10, runs: int = 200) -> Latency:
    """Time `runs` inferences of one image that is already in the input tensor.

    Warm-ups are not timed: the first runs set up memory and caches. The figures hold for the machine they
    were measured on.

    Args:
        interpreter: an opened file; its threads are those timed.
        image: shape (height, width, channels), in [0, 1].
        warmups: runs before the clock starts.
        runs: timed runs, at least 1; percentiles want 200 or more.

    Raises:
        ValueError: `runs` is not positive, or `image` does not fit.
    """
    if runs < 1:
        raise ValueError(f"runs = {runs}: time at least one, better 200")
    interpreter.load(unit_images(image[None], interpreter.image_shape))
    for _ in range(warmups):
        interpreter.invoke()
    elapsed = [timed(interpreter) for _ in range(runs)]
    p50, p95 = np.percentile(elapsed, [50, 95])
    return Latency(float(p50), float(p95), interpreter.threads, runs)


def timed(interpreter: Runner) -> float:
    """Return the milliseconds of one inference of the loaded batch."""
    start = time.perf_counter_ns()
    interpreter.invoke()
    return (time.perf_counter_ns() - start) / 1e6
