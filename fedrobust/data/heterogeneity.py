"""How far clients' training images are from independent draws of one distribution: labels, images, sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import Split

SIDE = 7
"""Side of the grid of areas over which pixels are averaged."""

DIVISIONS = 40
"""Random divisions of the same images with which the clients are compared."""


@dataclass(frozen=True, eq=False)
class Heterogeneity:
    """The distance of each client from all, beside that of a random division among clients of the same sizes.

    Attributes:
        label_distance: total variation distance between the class distribution of each client and that of all images,
            (clients,), 0 to 1.
        image_distance: distance between the mean appearance of each client's images and that of all, in standard
            deviations, (clients,); see `image_distance`.
        random_label_distance: the same of random divisions, (divisions, clients).
        random_image_distance: the same of random divisions, (divisions, clients).
        size_gini: Gini coefficient of the clients' numbers of images: 0 where all have the same, near 1 where one has
            all of them.
    """

    label_distance: NDArray[np.float64]
    image_distance: NDArray[np.float64]
    random_label_distance: NDArray[np.float64]
    random_image_distance: NDArray[np.float64]
    size_gini: float


def heterogeneity(
    counts: NDArray[np.float64], splits: Sequence[Split], generator: np.random.Generator
) -> Heterogeneity:
    """Return the heterogeneity of clients.

    Args:
        counts: images of each class at each client, (clients, classes).
        splits: images of each client, or a sample of them.
        generator: draws the random divisions.

    Example:
        >>> dark, bright = (np.full((4, 14, 14, 1), grey, np.uint8) for grey in (90, 110))
        >>> splits = [Split(images, np.zeros(4, np.int32)) for images in (dark, bright)]
        >>> found = heterogeneity(np.array([[4.0, 0.0], [4.0, 0.0]]), splits, np.random.default_rng(0))
        >>> found.label_distance.tolist(), found.image_distance.round(2).tolist(), found.size_gini
        ([0.0, 0.0], [1.0, 1.0], 0.0)
    """
    labels = np.concatenate([split.labels for split in splits])
    sizes = np.array([len(split) for split in splits])
    deviations = within_class(np.concatenate([appearance(split.images) for split in splits]), labels)
    return Heterogeneity(
        label_distance=label_distance(counts),
        image_distance=image_distance(deviations, sizes),
        random_label_distance=_random_label_distance(counts.astype(np.int64), generator),
        random_image_distance=_random_image_distance(deviations, labels, sizes, generator),
        size_gini=gini(counts.sum(axis=1)),
    )


def label_distance(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the total variation distance of each client's class distribution from that of all images, (clients,).

    Args:
        counts: images of each class at each client, (clients, classes).

    Example:
        >>> label_distance(np.array([[10.0, 0.0], [0.0, 10.0]])).tolist()
        [0.5, 0.5]
    """
    whole = counts.sum(axis=0) / counts.sum()
    distance: NDArray[np.float64] = np.abs(counts / counts.sum(axis=1, keepdims=True) - whole).sum(axis=1) / 2
    return distance


def appearance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return brightness and detail of each of at most 7 x 7 areas and each channel, (n, 2 * areas * channels).

    Brightness is the mean pixel, detail the mean absolute difference between neighbouring pixels; both of 0 to 1.

    Example:
        >>> appearance(np.full((1, 28, 28, 1), 51, np.uint8))[0, [0, 48, 49, 97]].round(6).tolist()
        [0.2, 0.2, 0.0, 0.0]
    """
    pixels = images.astype(np.float32) / np.float32(255.0)
    detail = np.zeros_like(pixels)
    detail[:, :, 1:] += np.abs(np.diff(pixels, axis=2)) / 2
    detail[:, 1:] += np.abs(np.diff(pixels, axis=1)) / 2
    return np.concatenate([pooled(pixels), pooled(detail)], axis=1)


def pooled(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of each of at most 7 x 7 areas and each channel, (n, areas * channels)."""
    n, height, width = images.shape[:3]
    rows = np.arange(min(SIDE, height)) * height // min(SIDE, height)
    columns = np.arange(min(SIDE, width)) * width // min(SIDE, width)
    sums = np.add.reduceat(np.add.reduceat(images, rows, axis=1, dtype=np.float64), columns, axis=2)
    areas = np.diff([*rows, height])[:, None] * np.diff([*columns, width])
    return (sums / areas[:, :, None]).reshape(n, -1)


def within_class(features: NDArray[np.float64], labels: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return features less the mean of their class, in standard deviations of what is left, (n, features).

    Differences between classes are left out, because `label_distance` measures them, and so are constant features.
    """
    known, places = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(known), features.shape[1]))
    np.add.at(sums, places, features)
    left = features - (sums / np.bincount(places)[:, None])[places]
    deviation = left.std(axis=0)
    varies = deviation > 1e-6
    return left[:, varies] / deviation[varies] if varies.any() else np.zeros((len(labels), 1))


def image_distance(deviations: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the root mean square over features of each client's mean deviation, (clients,).

    The index NI of He, Shen and Cui (2019, arXiv:1906.02899) between one client's images and all, on brightness and
    detail of areas instead of a network's features.

    Args:
        deviations: of `within_class`, clients one after the other, (n, features).
        sizes: images of each client, (clients,), each above 0.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    means = np.add.reduceat(deviations, starts, axis=0) / sizes[:, None]
    distance: NDArray[np.float64] = np.sqrt((means**2).mean(axis=1))
    return distance


def gini(sizes: NDArray[np.float64]) -> float:
    """Return the Gini coefficient of `sizes`.

    Example:
        >>> gini(np.array([5.0, 5.0])), gini(np.array([0.0, 0.0, 0.0, 8.0]))
        (0.0, 0.75)
    """
    ascending, n = np.sort(sizes), len(sizes)
    return float(2 * (np.arange(1, n + 1) * ascending).sum() / (n * ascending.sum()) - (n + 1) / n)


def _random_label_distance(counts: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the label distances of random divisions into the same sizes, (divisions, clients)."""
    clients, classes = counts.shape
    labels = np.repeat(np.arange(classes), counts.sum(axis=0))
    owner = np.repeat(np.arange(clients), counts.sum(axis=1))
    found = []
    for _ in range(DIVISIONS):
        pairs = owner * classes + generator.permutation(labels)
        divided = np.bincount(pairs, minlength=clients * classes).reshape(clients, classes)
        found.append(label_distance(divided.astype(np.float64)))
    return np.array(found)


def _random_image_distance(
    deviations: NDArray[np.float64],
    labels: NDArray[np.int32],
    sizes: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the image distances of divisions that exchange images of a class at random, (divisions, clients)."""
    by_class = np.argsort(labels, kind="stable")
    found = []
    for _ in range(DIVISIONS):
        # Sorted by class, then at random: each image's place is taken by one of its class.
        order = np.lexsort((generator.random(len(labels)), labels))
        exchanged = np.empty_like(deviations)
        exchanged[by_class] = deviations[order]
        found.append(image_distance(exchanged, sizes))
    return np.array(found)
