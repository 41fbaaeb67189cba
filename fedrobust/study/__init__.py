"""The composition root: every part of a study, built from its settings.

`fedrobust.study.local_training`, which runs a client's round, is imported by name: it starts TensorFlow.
"""

from fedrobust.study.parts import (
    base_of,
    classifier_of,
    dataset_of,
    evasion_of,
    initial_model,
    local_update_of,
    partition_of,
    recipe_of,
    shard_of,
    weights_seed,
)

__all__ = [
    "base_of",
    "classifier_of",
    "dataset_of",
    "evasion_of",
    "initial_model",
    "local_update_of",
    "partition_of",
    "recipe_of",
    "shard_of",
    "weights_seed",
]
