"""McNemar's exact test of two attacks, or two models, on the same images."""

from fedrobust.lazy import stats

SURE = 0.05
"""Error probability of a paired test."""


def mcnemar(more: int, less: int) -> float:
    """Return the one-sided probability of so many more discordant pairs one way, if both ways are equally likely.

    McNemar's exact test (1947).

    Example:
        >>> mcnemar(5, 0)
        0.03125
    """
    return (
        1.0
        if more + less == 0
        else float(stats.binomtest(more, more + less, 0.5, alternative="greater").pvalue)
    )
