"""Which of very many rounds a page shows, so that its size and the time to open it do not grow with their number."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from fedrobust.report import wording

T = TypeVar("T")

MOST_POINTS = 1000
"""Largest number of rounds in a plot."""

MOST_ROWS = 200
"""Largest number of rounds in a table, and of reasons in a list."""

MOST_COLUMNS = 100
"""Largest number of rounds in a table with a column each."""


def extremes(
    rounds: Sequence[T], values: Sequence[Callable[[T], float | None]], most: int = MOST_POINTS
) -> list[T]:
    """Return the rounds for a plot: all, or the first, the last, and the extremes of each value in equal stretches.

    Outliers and the envelope of every line stay, unlike with evenly spaced points.

    Args:
        rounds: in order.
        values: functions of a round, one for each line of the plot; None: not measured.
        most: of the result.

    Example:
        >>> heights = [0, 0, 9, 0, 0, 0, 0, -5, 0, 0, 0, 0]
        >>> extremes(range(12), [heights.__getitem__], most=6)
        [0, 2, 6, 7, 11]
    """
    if len(rounds) <= most:
        return list(rounds)
    stretches = max(1, (most - 2) // max(1, 2 * len(values)))
    places = {0, len(rounds) - 1}
    for part in range(stretches):
        stretch = range(part * len(rounds) // stretches, (part + 1) * len(rounds) // stretches)
        for value in values:
            known = [(found, place) for place in stretch if (found := value(rounds[place])) is not None]
            if known:
                places |= {min(known)[1], max(known, key=lambda one: one[0])[1]}
    return [rounds[place] for place in sorted(places)]


def spread(
    rounds: Sequence[T], most: int = MOST_ROWS, always: Callable[[T], bool] = lambda _: False
) -> list[T]:
    """Return the rounds for a table: all, or `most` in equal distances with the first and the last; and some always.

    Example:
        >>> spread(range(100), most=5, always=lambda one: one == 42)
        [0, 24, 42, 49, 74, 99]
    """
    if len(rounds) <= most:
        return list(rounds)
    places = {place * (len(rounds) - 1) // (most - 1) for place in range(most)}
    return [one for place, one in enumerate(rounds) if place in places or always(one)]


def note(shown: Sequence[T], rounds: Sequence[T], what: str, which: str) -> str:
    """Return that a plot or table has some of the rounds only; "" if it has all.

    Example:
        >>> note([1, 5], [1, 2, 3, 4, 5], "The table", "in equal distances")
        'The table shows 2 of 5 rounds, in equal distances; metrics.jsonl in the run folder has all.'
    """
    if len(shown) == len(rounds):
        return ""
    return (
        f"{what} shows {len(shown):,} of {wording.count(len(rounds), 'round')}, {which}; metrics.jsonl in the run "
        "folder has all."
    )


def numbers(rounds: Sequence[int], most: int = 20) -> str:
    """Return the numbers of rounds as text; of very many their count, the first and the last.

    Example:
        >>> numbers([1, 2, 4]), numbers(range(3, 5000))
        ('1, 2 and 4', '4,997 rounds from 3 to 4,999')
    """
    if len(rounds) <= most:
        return wording.enumerate_words([str(one) for one in rounds])
    return f"{wording.count(len(rounds), 'round')} from {rounds[0]:,} to {rounds[-1]:,}"
