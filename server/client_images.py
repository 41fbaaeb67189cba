"""How many images the simulated clients have, with the shifts of their sites."""

import numpy as np

from fedrobust.deployment.keys import site_names
from fedrobust.study import Study


def known_here(study: Study, most: int) -> bool:
    """Return whether the numbers of images per class of each client are known.

    They are not for more than `most` clients, for multi-label images, and in a deployment, whose sites do not tell.
    """
    clients = study.experiment.federation.clients
    return site_names() is None and not study.problem.multilabel and clients <= most


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
