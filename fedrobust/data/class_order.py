"""Order of the classes of one data set among those of another, by their names."""

from collections.abc import Sequence


def order_of(names: Sequence[str], own: Sequence[str]) -> tuple[int, ...] | None:
    """Return the place in `own` of each of the `names`; None unless both have the same names, each once.

    Case and spaces around a name do not count.

    Example:
        >>> order_of(("ill", "well"), ("Well", "Ill"))
        (1, 0)
    """
    ours = [name.strip().casefold() for name in own]
    theirs = [name.strip().casefold() for name in names]
    if sorted(ours) != sorted(theirs) or len(set(ours)) < len(ours):
        return None
    return tuple(map(ours.index, theirs))
