"""The site, such as a hospital, of every image of a split."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Sites:
    """The site, such as a hospital, of every image of a split.

    Attributes:
        names: of the sites: sorted, or in the order of their files.
        rows: place of each image's site among the names, int64 (n,).
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, names: NDArray[Any]) -> "Sites":
        """Return the sites of images from the name of each one's site, (n,)."""
        known, rows = np.unique(names.astype(str), return_inverse=True)
        return cls(tuple(map(str, known)), rows.astype(np.int64))

    @property
    def of_images(self) -> NDArray[np.str_]:
        """The name of each image's site, (n,)."""
        return np.array(self.names, str)[self.rows]

    @property
    def counts(self) -> dict[str, int]:
        """The number of images of each site.

        Example:
            >>> Sites.of(np.array(["b", "a", "b"])).counts
            {'a': 1, 'b': 2}
        """
        return dict(zip(self.names, np.bincount(self.rows, minlength=len(self.names)).tolist(), strict=True))

    def of_rows(self, chosen: NDArray[np.bool_]) -> "Sites":
        """Return the sites of some images, without names that none of them has; the order of names stays.

        Args:
            chosen: whether each image is one of them, (n,).

        Example:
            >>> some = Sites(("c", "a", "b"), np.array([0, 1, 2, 0])).of_rows(np.array([True, False, True, True]))
            >>> some.names, some.rows.tolist()
            (('c', 'b'), [0, 1, 0])
        """
        there, rows = np.unique(self.rows[chosen], return_inverse=True)
        return Sites(tuple(self.names[place] for place in there), rows.astype(np.int64))

    @property
    def listed(self) -> str:
        """The names as text, of many the first five.

        Example:
            >>> Sites.of(np.array(["b", "a", "b"])).listed
            'a, b'
        """
        more = f" and {len(self.names) - 5} more" if len(self.names) > 5 else ""
        return f"{', '.join(self.names[:5])}{more}"
