"""The heterogeneity of a study's simulated clients."""

from collections.abc import Hashable

import numpy as np

from fedrobust.data.heterogeneity import heterogeneity
from fedrobust.memoize import memoize
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.record import HeterogeneityRecord
from fedrobust.study import Study

MOST_IMAGES = 8_000
"""Images whose pixels are compared, over all clients."""


def _key(study: Study, counts: np.ndarray) -> Hashable:
    """Return what the clients' images depend on."""
    data = study.experiment.data.model_dump_json()
    return study.dataset.digest, study.partition.hash, data, study.base, study.seed, counts.tobytes()


@memoize(keep=4, key=_key)  # cells of a sweep have the same clients
def heterogeneity_record(study: Study, counts: np.ndarray) -> HeterogeneityRecord:
    """Return the heterogeneity of the clients' training images, as they are after ``data.site-shifts``.

    Args:
        study: simulated.
        counts: images of each class at each client, (clients, classes).
    """
    most = max(2, MOST_IMAGES // len(counts))
    splits = [study.shard(client).sample(most) for client in range(len(counts))]
    found = heterogeneity(counts, splits, generator(study.seed, Purpose.HETEROGENEITY))
    return HeterogeneityRecord(
        label_distance=_rounded(found.label_distance),
        image_distance=_rounded(found.image_distance),
        images=tuple(counts.sum(axis=1).astype(int).tolist()),
        label_index=float(found.label_distance.mean()),
        image_index=float(found.image_distance.mean()),
        random_label_index=float(found.random_label_distance.mean()),
        random_image_index=float(found.random_image_distance.mean()),
        label_differs=_beyond(found.label_distance, found.random_label_distance),
        image_differs=_beyond(found.image_distance, found.random_image_distance),
        size_gini=found.size_gini,
    )


def _rounded(distances: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(distances, 4).tolist())


def _beyond(distances: np.ndarray, random: np.ndarray) -> tuple[int, ...]:
    """Return the clients whose distance is above that in 95 % of the random divisions.

    Args:
        distances: (clients,).
        random: (divisions, clients).
    """
    beyond = distances > np.quantile(random, 0.95, axis=0) + 1e-9
    return tuple(np.flatnonzero(beyond).tolist())
