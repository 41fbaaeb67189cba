"""Splits of imported images: stratified by class and site, with each patient and each duplicate in one split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError
from fedrobust.data.importing.entry import SPLITS

MOST_CHAINED = 0.1
"""Largest share of all images that duplicates may chain into one group."""

Names = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Assigned:
    """The split of every image.

    Attributes:
        splits: "train", "val" or "test", (n,).
        drawn: number of images whose split was drawn.
        moved: positions of images that were moved out of the split that the source gives.
    """

    splits: Names
    drawn: int
    moved: NDArray[np.int64]


def assigned(
    given: Names,
    labels: NDArray[np.int64],
    sites: Names,
    patients: Names,
    pairs: NDArray[np.int64],
    shares: tuple[float, float, float],
    seed: int,
) -> Assigned:
    """Return the split of every image.

    Images of one patient, and duplicates, are a group, which stays in one split: that of those of its images which have
    one. Groups without a split are drawn, stratified by class and site. Where the source gives all splits but
    validation or test, that one is drawn from the training images. A group in two of the given splits is moved into
    one: train, else val.

    Args:
        given: split of every image, or empty, (n,).
        labels: of the images, (n,).
        sites: of the images, empty if unknown, (n,).
        patients: of the images, empty if unknown, (n,).
        pairs: positions of duplicates, (m, 2).
        shares: of train, val and test.
        seed: draws.

    Raises:
        DataError: a patient is in two of the given splits, there are no training images, images are too few for
            three splits, or duplicates chain too many images into one group.
    """
    _check_patients(given, patients)
    groups = grouped(len(given), patients, pairs)
    _check_chains(groups, patients, pairs)
    splits = given.astype("<U5")  # room for "train"
    # A group that holds duplicates, or images with and without a split, is moved into one split.
    together = {*groups[np.unique(pairs)].tolist()} if len(pairs) else set()
    together |= {*groups[given != ""].tolist()} & {*groups[given == ""].tolist()}
    for group in sorted(together):
        rows = np.flatnonzero(groups == group)
        splits[rows] = next((split for split in SPLITS if split in given[rows]), "")
    moved = np.flatnonzero((given != "") & (splits != given))
    pool, into = _pool(splits)
    if len(pool):
        splits[pool] = _drawn(groups[pool], labels[pool], sites[pool], shares, into, seed)
    for split in SPLITS:
        if split not in splits:
            raise DataError(
                f"no image is left for {split}: {len(given)} images, {len(np.unique(groups))} groups of patients and "
                "duplicates; allowed: at least one group for each of train, val and test"
            )
    return Assigned(splits, len(pool), moved)


def grouped(count: int, patients: Names, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the group of every image, named by its first image: the connected components of patients and pairs.

    Example:
        >>> grouped(4, np.array(["a", "", "a", ""]), np.array([[2, 3]])).tolist()
        [0, 1, 0, 0]
    """
    parent = list(range(count))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    first: dict[str, int] = {}
    for place, patient in enumerate(patients.tolist()):
        if patient:
            parent[root(place)] = root(first.setdefault(patient, place))
    for one, other in pairs.tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    roots = np.array([root(place) for place in range(count)], np.int64)
    _, firsts, inverse = np.unique(roots, return_index=True, return_inverse=True)
    return firsts[inverse].astype(np.int64)


def _pool(splits: Names) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the images whose split is drawn, and the splits that they are drawn into."""
    without = np.flatnonzero(splits == "")
    if len(without):
        return without, SPLITS
    lacking = tuple(split for split in SPLITS if split not in splits)
    if "train" in lacking:
        raise DataError(f"no training images: every image is given as {' or '.join(np.unique(splits))}")
    return (np.flatnonzero(splits == "train"), ("train", *lacking)) if lacking else (without, ())


def _drawn(
    groups: NDArray[np.int64],
    labels: NDArray[np.int64],
    sites: Names,
    shares: tuple[float, float, float],
    into: Sequence[str],
    seed: int,
) -> Names:
    """Draw the split of each group of images.

    In random order, stratum by stratum, each group goes to the split that lacks most images of its class.
    """
    rng = np.random.default_rng(seed)
    wanted = np.array([share for split, share in zip(SPLITS, shares, strict=True) if split in into])
    wanted /= wanted.sum()
    _, firsts, members = np.unique(groups, return_index=True, return_inverse=True)
    sizes = np.bincount(members)
    strata: dict[tuple[Any, ...], list[int]] = {}
    for group in rng.permutation(len(firsts)).tolist():
        strata.setdefault((int(labels[firsts[group]]), str(sites[firsts[group]])), []).append(group)
    lacking: dict[int, NDArray[np.float64]] = {}
    chosen = np.zeros(len(firsts), np.int64)
    for (label, _), found in sorted(strata.items()):
        missing = lacking.setdefault(label, np.zeros(len(into)))
        missing += wanted * sizes[found].sum()
        for group in found:
            chosen[group] = int(np.argmax(missing))
            missing[chosen[group]] -= sizes[group]
    return np.array(into)[chosen[members]]


def _check_patients(given: Names, patients: Names) -> None:
    seen: dict[str, str] = {}
    for patient, split in zip(patients.tolist(), given.tolist(), strict=True):
        if patient and split and seen.setdefault(patient, split) != split:
            raise DataError(
                f"patient {patient} is in {seen[patient]} and in {split}; allowed: each patient in one split, or the "
                "test figures flatter the model. Leave the splits out to have them drawn by patient; if hospitals "
                "number their patients alike, put the hospital's name before the number"
            )


def _check_chains(groups: NDArray[np.int64], patients: Names, pairs: NDArray[np.int64]) -> None:
    if not len(pairs):
        return
    chained = grouped(len(groups), np.full(len(groups), ""), pairs)
    largest = int(np.bincount(chained).max())
    if largest > max(10, MOST_CHAINED * len(groups)):
        raise DataError(
            f"{largest} of {len(groups)} images are chained as duplicates of one another: too many for one split. If "
            'they only look alike, choose duplicates = "exact" (or "keep"); if they are the same, remove the copies'
        )
