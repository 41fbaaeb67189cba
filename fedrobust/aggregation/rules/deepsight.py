"""DeepSight: drop clusters of clients whose output layer says that they trained on few classes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.answers import ModelAnswers
from fedrobust.aggregation.clustering import clusters
from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, InfeasibleError, known
from fedrobust.aggregation.distances import inner_products
from fedrobust.aggregation.kernels import clip_factors
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Count, FromTwo, PositiveShare
from fedrobust.models.layout import Entry, Layout
from fedrobust.vectors import lengths

SMALLEST_PROBABILITY = 1e-8
"""Added to the global model's probabilities, by which those of clients are divided."""


@RULES.register("deepsight")
@dataclass(frozen=True, kw_only=True)
class DeepSight:
    """Drop clusters with many clients of few classes, then clip (Rieger et al., NDSS 2022, arXiv:2201.00763).

    A client's output layer gives its normalised update energies (NEUP): one number a class, large for classes that it
    trained on. The number of classes above a share of the largest (threshold exceedings) says how many those are; a
    client with at most half of the median is suspicious. Clients are clustered by HDBSCAN three times: by the cosine of
    the output layer's biases, by NEUP, and by the ratios of their model's and the global model's probabilities on noise
    (DDif, once for each seed). The mean of the three gives distances, which are clustered again. Clusters in which a
    third of the clients is suspicious are dropped, the others clipped to the median norm of all clients and averaged.
    If none is left, the model stays as it is.

    The norm of the result is at most the median norm, which f < n / 2 malicious clients cannot raise above all honest
    ones. With two classes there are one or two exceedings, and a client of one class is as suspicious as an attacker.

    The paper has no official code. Copies differ where a client is in no cluster: here it is one of its own, dropped if
    it is suspicious. Copies divide by 0 where a client's output layer does not change, or the global model's
    probability is 0; here such a client has equal energies, and the ratio is that to 1e-8.

    Attributes:
        seeds: number of times that noise is drawn.
        images: images of noise a time, each a pass through every client's model. The paper takes 20,000; on BreastMNIST
            (edge-cnn, rounds 1 and 2) the ratios of 300 differ from those by 3 to 10 % of the spread between clients,
            those of 1,000 by 1 to 5 %.
        suspicious: share of suspicious clients from which a cluster is dropped.
        smallest: clients of the smallest cluster. Fewer attackers may end up in a cluster of honest clients.

    Raises:
        InfeasibleError: layers, statistics or models are not known, or the output layer has no biases.
    """

    SELECTS: ClassVar[bool] = True
    OWN_STATISTICS: ClassVar[bool] = True
    READS: ClassVar[str] = "head"
    TO_SCALE: ClassVar[bool] = True

    seeds: Count = 3
    images: Count = 300
    suspicious: PositiveShare = 1 / 3
    smallest: FromTwo = 3

    def fits_layout(self, layout: Layout) -> None:
        """Refuse a model without an output layer of a kernel and biases.

        Raises:
            InfeasibleError: the last trained layer is no such layer.
        """
        output_arrays(layout)

    def passes(self, clients: int) -> int:
        """Return the images that pass through models in a round of so many clients.

        Example:
            >>> DeepSight().passes(50)
            45900
        """
        return self.seeds * self.images * (clients + 1)

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the clipped mean of the `updates` in accepted clusters."""
        kernel, bias = output_layer(updates, known(context.layout, self, "the model's arrays (layout)"))
        energies = normalised_energies(kernel, bias)
        flagged = suspicious(energies)
        accepted = kept_clusters(self._clusters(updates, context, energies, bias), flagged, self.suspicious)
        typical = float(np.median(updates.norms))
        if not accepted.any():
            return Aggregation(np.zeros(updates.size, np.float32), np.zeros(len(updates)))
        factors = clip_factors(updates.norms, typical) * accepted
        return Aggregation(updates.combined(factors / accepted.sum()), factors / max(factors.sum(), 1e-300))

    def _clusters(
        self, updates: Updates, context: AggregationContext, energies: np.ndarray, bias: np.ndarray
    ) -> np.ndarray:
        """Return the cluster of each client, (n,); -1 for clients in none."""
        if len(updates) < max(3, self.smallest):
            return np.full(len(updates), -1)
        model = known(context.model, self, "answers of models (model)")
        statistics = known(context.statistics, self, "the clients' BatchNorm statistics (statistics)")
        own = known(context.current_statistics, self, "the global BatchNorm statistics (current_statistics)")
        together = [self._together(cosine_distances(bias)), self._together(euclidean_distances(energies))]
        ratios = [
            self._together(
                euclidean_distances(probability_ratios(updates, statistics, own, model, self.images, seed))
            )
            for seed in range(self.seeds)
        ]
        apart = 1 - (sum(together) + np.mean(ratios, axis=0)) / 3
        return clusters(np.round(apart, 12), self.smallest, min(self.smallest, len(updates)), single=True)

    def _together(self, distances: np.ndarray) -> np.ndarray:
        """Return which clients are in the same cluster by `distances` (n, n), (n, n) of 0 and 1."""
        labels = clusters(distances, self.smallest, min(self.smallest, len(distances)), single=False)
        same = (labels[:, None] == labels[None]) & (labels[:, None] >= 0)
        return np.where(np.eye(len(labels), dtype=np.bool_), 1.0, same)


def output_layer(updates: Updates, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the changes of the output layer's kernel (n, inputs, classes) and bias (n, classes), float64."""
    kernel, bias = (
        np.asarray(updates.values(columns), np.float64).reshape(len(updates), *entry.shape)
        for entry, columns in output_arrays(layout)
    )
    return kernel, bias


def output_arrays(layout: Layout) -> tuple[tuple[Entry, slice], tuple[Entry, slice]]:
    """Return the output layer's kernel and bias, with their columns.

    Raises:
        InfeasibleError: the last trained layer has no kernel of two axes, or no bias.
    """
    owner = layout.spans[-1][0].path.rpartition("/")[0]
    found = {
        len(entry.shape): (entry, columns)
        for entry, columns in layout.spans
        if entry.path.rpartition("/")[0] == owner
    }
    if set(found) != {1, 2} or found[2][0].shape[1:] != found[1][0].shape:
        raise InfeasibleError(
            f"DeepSight compares the kernel and the biases of the output layer, and the last layer that is trained, "
            f"{owner or 'the only one'}, is none with a kernel of two axes and biases"
        )
    return found[2], found[1]


def normalised_energies(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return the normalised update energy of each class (NEUP; equations 1 and 2), (n, classes).

    Example:
        >>> normalised_energies(np.array([[[1.0, 0], [-1, 1]]]), np.array([[1.0, 0]])).round(3).tolist()
        [[0.9, 0.1]]
    """
    energy = np.abs(bias) + np.abs(kernel).sum(1)
    largest = energy.max(1, keepdims=True)
    scaled = np.divide(energy, largest, out=np.ones_like(energy), where=largest > 0) ** 2
    return scaled / scaled.sum(1, keepdims=True)


def suspicious(energies: np.ndarray) -> np.ndarray:
    """Return which clients have at most half of the median number of large energies (equations 3 to 5), (n,) bool.

    Large is at least the share max(0.01, 1 / classes) of the client's largest.
    """
    share = max(0.01, 1 / energies.shape[1])
    exceedings = (energies >= share * energies.max(1, keepdims=True)).sum(1)
    return np.asarray(exceedings <= np.median(exceedings) / 2)


def probability_ratios(
    updates: Updates, statistics: np.ndarray, own: np.ndarray, model: ModelAnswers, images: int, seed: int
) -> np.ndarray:
    """Return the mean ratios of clients' and the global model's probabilities on noise (DDif), (n, classes)."""
    usual = model.on_noise(np.zeros(updates.size, np.float32), own, images, seed) + SMALLEST_PROBABILITY
    return np.stack(
        [
            (model.on_noise(updates.row(client), statistics[client], images, seed) / usual).mean(0)
            for client in range(len(updates))
        ]
    )


def cosine_distances(rows: np.ndarray) -> np.ndarray:
    """Return 1 - cosine between `rows` (n, k), (n, n); 1 to rows of zeros."""
    own = lengths(rows)
    scale = own[:, None] * own[None]
    cosines = np.divide(inner_products(rows), scale, out=np.zeros_like(scale), where=scale > 0)
    return np.asarray(1 - np.clip(cosines, -1, 1))


def euclidean_distances(rows: np.ndarray) -> np.ndarray:
    """Return the distances between `rows` (n, k), (n, n)."""
    return np.asarray(np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(-1)))


def kept_clusters(labels: np.ndarray, flagged: np.ndarray, most: float) -> np.ndarray:
    """Return the members of clusters in which less than the share `most` is `flagged`, (n,) bool.

    Args:
        labels: (n,) cluster of each client; those with -1 are clusters of one.
        flagged: (n,) whether a client is suspicious.
        most: share from which a cluster is dropped.

    Example:
        >>> labels, flagged = np.array([0, 0, 0, 1, 1, -1, -1]), np.array([0, 0, 1, 0, 0, 0, 1], bool)
        >>> kept_clusters(labels, flagged, 1 / 3).astype(int).tolist()
        [0, 0, 0, 1, 1, 1, 0]
    """
    kept = (labels < 0) & ~flagged
    for label in np.unique(labels[labels >= 0]):
        members = labels == label
        if flagged[members].mean() < most - 1e-12:
            kept |= members
    return kept
