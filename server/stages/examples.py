"""Test images under attack, stored for the report."""

import numpy as np

from fedrobust.evaluation.robustness import Examples
from fedrobust.runs.folder import RunFolder


def save_examples(folder: RunFolder, shown: Examples) -> None:
    """Write ``examples.npz``."""
    folder.write_with(
        "examples.npz",
        lambda path: np.savez_compressed(
            path,
            images=shown.images,
            probabilities=shown.probabilities,
            labels=shown.labels,
            epsilons=shown.epsilons,
            epsilon_names=shown.epsilon_names,
        ),
    )
