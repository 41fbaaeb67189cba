"""A random share of the training images: the others are left out of training."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError, Dataset, digest
from fedrobust.randomness import Purpose, generator


def drawn_rows(images: int, share: float, draw: int) -> NDArray[np.bool_]:
    """Return which training images a draw keeps, (images,): a share of them rounded to whole images.

    The last draw of a group has what the others leave, which may be fewer. Draws come in groups of 1 / share that have
    no image in common: of halves, 0 and 1 are one group, 2 and 3 the next.

    Args:
        images: their number.
        share: in (0, 1].
        draw: the number of the draw.

    Example:
        >>> halves = [drawn_rows(10, 0.5, draw) for draw in (2, 3, 4)]
        >>> [int(rows.sum()) for rows in halves], bool((halves[0] ^ halves[1]).all())
        ([5, 5, 5], True)
    """
    group, place = divmod(draw, draws_in_group(share))
    order, size = generator(group, Purpose.TRAIN_SHARE).permutation(images), max(1, round(share * images))
    rows = np.zeros(images, bool)
    rows[order[place * size : (place + 1) * size]] = True
    return rows


def draws_in_group(share: float) -> int:
    """Return the number of draws of a share that have no image in common.

    Example:
        >>> draws_in_group(0.5), draws_in_group(0.1), draws_in_group(0.7)
        (2, 10, 1)
    """
    return int(1 / share + 1e-9)


def with_share(dataset: Dataset, share: float, draw: int) -> Dataset:
    """Return a data set with a random share of its training images; the validation and the test split stay.

    Args:
        dataset: the images.
        share: in (0, 1]; 1: the data set is returned unchanged.
        draw: the number of the draw: another number draws other images.

    Raises:
        DataError: a class or finding loses all its training images.
    """
    if share == 1:
        return dataset
    rows = drawn_rows(len(dataset.train), share, draw)
    train = dataset.train.of_rows(rows)
    try:
        return replace(
            dataset,
            train=train,
            sites=None if dataset.sites is None else dataset.sites.of_rows(rows),
            digest=digest(train, dataset.validation, dataset.test, *dataset.unseen.values()),
            whole=dataset,
        )
    except DataError as error:
        raise DataError(
            f"data.train-share = {share} with data.train-draw = {draw}: {error}; raise the share"
        ) from error
