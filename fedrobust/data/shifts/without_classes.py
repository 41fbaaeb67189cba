"""Missing classes: a site that never sees some."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from fedrobust.bounds import ClassNumber
from fedrobust.data.dataset import DataError, Split
from fedrobust.data.shifts.contract import SITE_SHIFTS


@SITE_SHIFTS.register("without-classes")
@dataclass(frozen=True, kw_only=True)
class WithoutClasses:
    """Take all training images of some classes away from a site (label skew: McMahan et al., 2016, arXiv:1602.05629).

    Attributes:
        classes: numbers of the classes that the site lacks.

    Example:
        >>> split = Split(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 2, 1], np.int32))
        >>> WithoutClasses(classes=(1,))(split, 3, np.random.default_rng(0)).labels.tolist()
        [0, 2]
    """

    classes: Annotated[
        tuple[ClassNumber, ...], Field(min_length=1, description="a list of one value or more")
    ]

    def __call__(self, split: Split, classes: int, generator: np.random.Generator) -> Split:
        """Return the images of the other classes.

        Raises:
            DataError: there is no such class, or no image is left.
        """
        unknown = [label for label in self.classes if label >= classes]
        if unknown:
            raise DataError(f"without-classes(classes={list(self.classes)}): classes are 0 to {classes - 1}")
        stays = ~np.isin(split.labels, self.classes)
        if not stays.any():
            raise DataError(
                f"without-classes(classes={list(self.classes)}): none of {len(split)} images has another label"
            )
        return split.of_rows(stays)
