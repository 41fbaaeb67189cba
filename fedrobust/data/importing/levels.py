"""What the levels of a folder may be, where they were taken for something else."""

from collections.abc import Mapping

from fedrobust.data.class_names import quoted
from fedrobust.data.importing.entry import SPLIT_NAMES

MOST_NAMED = 5
"""Folders that a remark names."""


def levels_told(
    below: Mapping[str, frozenset[str]], *, sites: bool = False, splits: bool = False
) -> list[str]:
    """Return remarks on folders below the classes that look like classes of hospitals, or like splits.

    Classes and hospitals look alike in a folder, so that nothing is refused. Folders look like classes where at least
    two names are below the first level, half of them or more below several folders of it, and most of these hold such
    a name.

    Args:
        below: names of the folders below each class.
        sites: whether hospitals stand above the classes.
        splits: whether train, val or test stand above the classes.

    Example:
        >>> both = frozenset(["benign", "malignant"])
        >>> print(*levels_told({"bern": both, "chur": both}))
        'bern', 'chur' are taken as the classes, and folders of the same names are below them ('benign', 'malignant'): \
if the first level are hospitals, import it again with --sites
        >>> levels_told({"benign": frozenset(["patient1"]), "malignant": frozenset(["patient2"])})
        []
    """
    names = sorted(set().union(*below.values()))
    often = [name for name in names if sum(name in inner for inner in below.values()) > 1]
    holding = [inner for inner in below.values() if inner.intersection(often)]
    if 2 * len(holding) <= len(below):
        return []
    if all(name.lower() in SPLIT_NAMES for name in often):
        return [
            f"folders called {quoted(often, MOST_NAMED)} below the classes are not read as splits: put them "
            "above the classes, as in train/CLASS, or import a table with a column split"
        ]
    if sites or len(names) < 2 or 2 * len(often) < len(names):
        return []
    advice = (
        "the classes are the level below, put the hospitals above the splits, as in HOSPITAL/train/CLASS, and import "
        "it again with --sites"
        if splits
        else "the first level are hospitals, import it again with --sites"
    )
    return [
        f"{quoted(list(below), MOST_NAMED)} are taken as the classes, and folders of the same names are below them "
        f"({quoted(often, MOST_NAMED)}): if {advice}"
    ]
