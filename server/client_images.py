"""How many images the simulated clients have, with the shifts of their sites."""

import numpy as np

from fedrobust.study import Study


def class_counts(study: Study) -> np.ndarray:
    """Return the number of training images of each class at each client, (clients, classes) float64."""
    dataset, shards = study.dataset, study.partition.shards
    if study.site_shifts.lines:
        counts = [study.shard(client).counts(dataset.classes) for client in range(len(shards))]
    else:
        counts = [np.bincount(dataset.train.labels[shard], minlength=dataset.classes) for shard in shards]
    return np.array(counts, np.float64)


def sizes(study: Study) -> np.ndarray:
    """Return the number of training images of each client, int64 (clients,)."""
    found = np.array(study.partition.sizes, np.int64)
    for client in study.site_shifts.lines:
        found[client] = len(study.shard(client))
    return found
