"""The arrays of a good data file, of which a test makes one bad."""

import numpy as np


def arrays(images=60, side=8, **changes):
    """Return the arrays of a good data file with two classes; None leaves an array out."""
    rng = np.random.default_rng(0)
    found = {}
    for split, count in (("train", images), ("val", 12), ("test", 12)):
        found[f"{split}_images"] = rng.integers(0, 256, (count, side, side), np.uint8)
        found[f"{split}_labels"] = np.arange(count) % 2
    return {name: array for name, array in {**found, **changes}.items() if array is not None}
