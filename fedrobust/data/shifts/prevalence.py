"""Prevalence: a site's own shares of the classes."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from fedrobust.bounds import Share
from fedrobust.data.dataset import DataError, Split
from fedrobust.data.shifts.contract import SITE_SHIFTS


@SITE_SHIFTS.register("prevalence")
@dataclass(frozen=True, kw_only=True)
class Prevalence:
    """Leave training images out until the classes have given shares, as in screening, where disease is rare.

    As many images stay as the shares allow; which ones is drawn once for the study. Prevalence shift: Godau et al.
    (2023, arXiv:2303.12540).

    Attributes:
        shares: of the classes in the order of their numbers; they sum to 1.

    Example:
        >>> split = Split(np.zeros((40, 2, 2, 1), np.uint8), np.repeat([0, 1], 20).astype(np.int32))
        >>> Prevalence(shares=(0.2, 0.8))(split, 2, np.random.default_rng(0)).counts(2).tolist()
        [5, 20]
    """

    shares: Annotated[tuple[Share, ...], Field(min_length=1, description="a list of one value or more")]

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images that stay, in their order.

        Raises:
            DataError: the shares do not fit the classes, or no image is left.
        """
        told, shares = f"prevalence(shares={list(self.shares)})", np.array(self.shares)
        if len(shares) != classes or abs(shares.sum() - 1) > 1e-6:
            raise DataError(f"{told}: {classes} shares that sum to 1 are needed, one for each class")
        counts = split.counts(classes)
        # The scarcest class limits how many stay: n shares <= counts for all.
        most = min(counts[label] / shares[label] for label in np.flatnonzero(shares))
        wanted = np.floor(most * shares + 1e-9).astype(int)
        if not wanted.any():
            raise DataError(
                f"{told}: the site has {counts.tolist()} images of the classes, and none would be left"
            )
        chosen = [
            generator.permutation(np.flatnonzero(split.labels == label))[:count]
            for label, count in enumerate(wanted)
        ]
        stays = np.zeros(len(split), bool)
        stays[np.concatenate(chosen)] = True
        return split.of_rows(stays)
