"""How many images the simulated clients have, with the shifts of their sites."""

import numpy as np

from fedrobust.study import Study


def class_counts(study: Study) -> np.ndarray:
    """Return the number of training images of each class at each client, (clients, classes) float64."""
    labels, problem = study.dataset.train.labels, study.problem
    counts = [problem.counts(labels[shard]) for shard in study.partition.shards]
    for client in _recounted(study):
        counts[client] = problem.counts(study.shard(client).labels)
    return np.array(counts, np.float64)


def sizes(study: Study) -> np.ndarray:
    """Return the number of training images of each client, int64 (clients,)."""
    found = np.array(study.partition.sizes, np.int64)
    for client in _recounted(study):
        found[client] = len(study.shard(client))
    return found


def _recounted(study: Study) -> list[int]:
    """Return the clients whose shifts may change how many images of a class they have."""
    return [client for client in study.site_shifts.lines if study.site_shifts.changes_counts(client)]
