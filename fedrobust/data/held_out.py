"""Sites held out of training: evaluated as hospitals that the federation has never seen."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedrobust.data.dataset import DataError, Dataset, Split, digest
from fedrobust.data.sites import Sites

SPLITS = {"train": "train_site", "validation": "val_site", "test": "test_site"}
"""Splits, and the array of a file that has the site of each image."""


def without_sites(dataset: Dataset, held_out: Sequence[str]) -> Dataset:
    """Return a data set without the images of some sites, which become `Dataset.unseen`.

    Nothing is trained, selected or tested on them: they leave the training, the validation and the test split.

    Args:
        dataset: records the site of every image.
        held_out: names of the sites; none: the data set is returned unchanged.

    Raises:
        DataError: sites are not recorded, there is no such site, nothing is left of a split, or a class loses all its
            training images.
    """
    if not held_out:
        return dataset
    setting = f"data.held-out-sites = {list(held_out)}"
    sites = _sites_of(dataset, setting)
    known = sorted({name for each in sites.values() for name in each.names})
    for name in held_out:
        if name not in known:
            raise DataError(f"{setting}: no site {name!r}; allowed: {', '.join(known)}")
    stays = {split: ~np.isin(each.of_images, held_out) for split, each in sites.items()}
    for split, rows in stays.items():
        if not rows.any():
            raise DataError(f"{setting}: no {split} images are left; hold fewer sites out")
    kept = {split: dataset.splits[split].of_rows(rows) for split, rows in stays.items()}
    unseen = {}
    for name in held_out:
        there = {split: each.of_images == name for split, each in sites.items()}
        unseen[name] = Split.joined(
            [dataset.splits[split].of_rows(rows) for split, rows in there.items() if rows.any()]
        )
    try:
        return replace(
            dataset,
            name=f"{dataset.name}, without {', '.join(held_out)}",
            train=kept["train"],
            validation=kept["validation"],
            test=kept["test"],
            sites=sites["train"].of_rows(stays["train"]),
            validation_sites=sites["validation"].of_rows(stays["validation"]),
            test_sites=sites["test"].of_rows(stays["test"]),
            digest=digest(*kept.values(), *unseen.values()),
            unseen=unseen,
        )
    except DataError as error:
        raise DataError(f"{setting}: {error}; hold other sites out") from error


def _sites_of(dataset: Dataset, setting: str) -> dict[str, Sites]:
    """Return the sites of every split's images."""
    found = {"train": dataset.sites, "validation": dataset.validation_sites, "test": dataset.test_sites}
    for split, each in found.items():
        if each is None:
            raise DataError(
                f"{setting}: {dataset.name} does not record the sites of its {split} images; save {SPLITS[split]}, "
                "(n,), in the .npz, as `fedrobust data import` does, or name a file for each hospital in data.clients"
            )
    return {split: each for split, each in found.items() if each is not None}
