"""Numbers as text."""

import math
from collections.abc import Sequence
from typing import Any

from fedrobust.report.epsilon import Epsilon
from fedrobust.report.evaluation import Attacked
from fedrobust.runs.record import Interval, MetricsRecord

THIN = "\u202f"  # the narrow no-break space that the SI asks for between a number and its unit
NONE = "–"
PAPER_EPSILON = 0.005  # the largest perturbation of the paper's tables, quoted beside the largest of the run


def percent(value: float | None) -> str:
    r"""Return a share in percent, as text.

    Example:
        >>> percent(0.8429)
        '84.3\u202f%'
    """
    return NONE if value is None else f"{100 * value:.1f}{THIN}%"


def score(metric: str, value: float | None) -> str:
    """Return a score as text: an AUC in [0, 1], others in percent."""
    if value is None:
        return NONE
    return f"{value:.3f}" if metric == "auc" else percent(value)


def interval(metric: str, bounds: Interval | None) -> str:
    """Return an interval without unit, as text after a score.

    Example:
        >>> interval("accuracy", (0.812, 0.870)), interval("auc", (0.93, 0.97)), interval("auc", None)
        ('81.2–87.0', '0.930–0.970', '')
    """
    if bounds is None:
        return ""
    if metric == "auc":
        return f"{bounds[0]:.3f}–{bounds[1]:.3f}"
    return f"{100 * bounds[0]:.1f}–{100 * bounds[1]:.1f}"


def epsilon(size: Epsilon) -> str:
    """Return an epsilon in both notations; in grey levels only where it is the change of a pixel.

    Example:
        >>> epsilon(Epsilon.read("0.005")), epsilon(Epsilon.read("8/255")), epsilon(Epsilon.read("0.5", "l2"))
        ('0.005 = 1.3/255', '8/255 = 0.0314', '0.5')
    """
    if size.norm != "linf" and "/" not in size.name:
        return size.name
    return f"{size.name} = {size.value:.3g}" if "/" in size.name else f"{size.name} = {grey(size)}/255"


def grey(size: Epsilon) -> str:
    """Return an epsilon in grey levels."""
    return f"{size.grey:.2f}" if size.grey < 0.995 else f"{size.grey:.1f}".removesuffix(".0")


def attack_name(name: str) -> str:
    """Return an attack's name, with acronyms in capitals."""
    return name.upper() if name.isalpha() and len(name) <= 4 else name


def count(number: int, noun: str) -> str:
    """Return a count with its noun in singular or plural.

    Example:
        >>> count(1, "round"), count(1200, "hospital")
        ('1 round', '1,200 hospitals')
    """
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size_in_bytes(number: float | None) -> str:
    """Return a file size in decimal units."""
    if number is None:
        return NONE
    if number < 1000:
        return f"{number:.0f}{THIN}bytes"
    if number < 999_500:  # beyond, three digits would round to 1000 kB
        return f"{number / 1e3:.3g}{THIN}kB"
    return f"{number / 1e6:.3g}{THIN}MB" if number < 999.5e6 else f"{number / 1e6:,.0f}{THIN}MB"


def duration(seconds: float | None) -> str:
    r"""Return a duration as text.

    Example:
        >>> duration(4.21), duration(125), duration(7300)
        ('4.2\u202fs', '2\u202fmin 5\u202fs', '2\u202fh 1\u202fmin')
    """
    if seconds is None:
        return NONE
    if seconds < 59.95:
        return f"{seconds:.1f}{THIN}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{THIN}min {whole % 60}{THIN}s"
    return f"{whole // 3600}{THIN}h {whole % 3600 // 60}{THIN}min"


def headline(attacked: Attacked) -> tuple[str, Epsilon, MetricsRecord] | None:
    """Return the worst attacked score: the lowest accuracy of all attacks, at the smallest epsilon that has it."""
    scores = [
        (attack, size, metrics) for attack, table in attacked.items() for size, metrics in table.items()
    ]
    return min(scores, key=lambda one: (one[2].accuracy, one[1]), default=None)


def headlines(attacked: Attacked) -> list[tuple[str, Epsilon, MetricsRecord]]:
    """Return the attacked scores to show by round: every attack at epsilon 0.005 and at its largest epsilon."""
    chosen = []
    for attack, table in attacked.items():
        sizes = [size for size in table if math.isclose(size.value, PAPER_EPSILON)][:1]
        sizes += [size for size in (max(table),) if size not in sizes]
        chosen += [(attack, size, table[size]) for size in sizes]
    return chosen


def enumerate_words(words: Sequence[str]) -> str:
    """Join words to an enumeration, "" without any.

    Example:
        >>> enumerate_words(["a", "b", "c"]), enumerate_words(["a"]), enumerate_words([])
        ('a, b and c', 'a', '')
    """
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def dealt(counts: Sequence[Sequence[int]], labels: Sequence[str], noun: str = "image") -> str:
    """Return the numbers of images per client, and of clients without a class, as text.

    Args:
        counts: images by client and class.
        labels: the names of the classes.
        noun: what is counted.

    Example:
        >>> dealt([[3, 1], [0, 5], [0, 2]], ["ill", "well"])
        '3 hospitals hold 2 to 5 images each (median 4). 2 of them have no “ill”.'
    """
    sizes = sorted(sum(row) for row in counts)
    middle = (sizes[(len(sizes) - 1) // 2] + sizes[len(sizes) // 2]) / 2
    if len(sizes) == 1:
        text = f"1 hospital holds {count(sizes[0], noun)}."
    elif sizes[0] == sizes[-1]:
        text = f"{count(len(sizes), 'hospital')} hold {count(sizes[0], noun)} each."
    else:
        extent = f"{sizes[0]:,} to {sizes[-1]:,} {noun}s each (median {middle:g})"
        text = f"{count(len(sizes), 'hospital')} hold {extent}."
    lacking = [(sum(not row[index] for row in counts), label) for index, label in enumerate(labels)]
    parts = [
        f"{number:,} of them {'has' if number == 1 else 'have'} no “{label}”"
        for number, label in lacking
        if number and len(sizes) > 1
    ]
    return f"{text} {enumerate_words(parts)}." if parts and len(parts) <= 3 else text


def of_first(shown: int, clients: int) -> str:
    """Return the note that only the first clients are shown; "" if all are.

    Example:
        >>> of_first(1000, 100_000), of_first(5, 5)
        ('Of 100,000 hospitals, the first 1,000 are shown. ', '')
    """
    return f"Of {clients:,} hospitals, the first {shown:,} are shown. " if shown < clients else ""


def plain(value: Any) -> str:
    """Return a setting as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value))
    return NONE if value is None else str(value)
