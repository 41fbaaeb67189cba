"""The overview of a network and division: what each defence keeps on every data set, and on average over them."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from cells import DEFENCES, PLAIN
from records import Record

from fedrobust.sweeps.paired import t_test
from fedrobust.sweeps.spread import Spread

DEGENERATE = "†"
"""Marks figures with a model whose verdict is "degenerate": a constant classifier keeps its balanced accuracy."""

Tables = Mapping[str, Sequence[Record]]
"""The records of each table by its title; all of one network and division."""


def overview(tables: Tables) -> str:
    """Return the overview as Markdown; "" of fewer than two tables.

    A cell is the robust balanced accuracy in percent, the mean over seeds, with two seeds or more half its 95 %
    interval (Student's t), and the clean one of all test images after "at". It is bold where the interval of its gain
    over plain training, paired by seed, leaves out 0 and tells how gains vary: those of few images can agree by chance.
    Of a defence that every table has, the last two columns are gain and cost averaged over the tables of each seed,
    with half their intervals. `DEGENERATE` marks what is of degenerate models, and averages with it.
    """
    if len(tables) < 2:
        return ""
    head = ("defence", *tables, "mean gain", "mean cost")
    rows = [
        (name, *(_cell(name, found) for found in tables.values()), *_averages(name, tables))
        for name in DEFENCES
        if any(one["defence"] == name for found in tables.values() for one in found)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def differences(name: str, other: str, found: Sequence[Record], of: str) -> list[float]:
    """Return a defence's balanced accuracy less that of another one, of each seed that both have; none of the same.

    `of` is "robust" or "test".
    """
    return list(_by_seed(name, other, found, of).values()) if name != other else []


def _by_seed(name: str, other: str, found: Sequence[Record], of: str) -> dict[int, float]:
    those = {one["seed"]: one[of]["balanced"] for one in found if one["defence"] == other}
    return {
        one["seed"]: one[of]["balanced"] - those[one["seed"]]
        for one in found
        if one["defence"] == name and one["seed"] in those
    }


def _cell(name: str, found: Sequence[Record]) -> str:
    own = [one for one in found if one["defence"] == name]
    robust = Spread.of([one["robust"]["balanced"] for one in own])
    if robust is None:
        return ""
    gains = differences(name, PLAIN, found, "robust")
    clean = 100 * fmean(one["test"]["balanced"] for one in own)
    text = f"{100 * robust.mean:.1f}"
    text = f"**{text}**" if _is_apart(gains) else text
    return f"{text}{_mark(own)}{_half(robust)} at {clean:.1f}"


def _is_apart(gains: Sequence[float]) -> bool:
    spread = Spread.of(gains)
    if spread is None or spread.low is None or spread.high is None or t_test(gains) is None:
        return False
    return spread.low > 0 or spread.high < 0


def _mark(own: Sequence[Record]) -> str:
    return DEGENERATE if any(one["verdict"] == "degenerate" for one in own) else ""


def _averages(name: str, tables: Tables) -> Iterator[str]:
    mark = _mark([one for found in tables.values() for one in found if one["defence"] == name])
    for of, sign in (("robust", 1), ("test", -1)):
        apart = [_by_seed(name, PLAIN, found, of) for found in tables.values()]
        seeds = set.intersection(*(set(one) for one in apart))
        spread = Spread.of([sign * fmean(one[seed] for one in apart) for seed in sorted(seeds)])
        yield "" if name == PLAIN or spread is None else f"{100 * spread.mean:.1f}{mark}{_half(spread)}"


def _half(spread: Spread) -> str:
    return "" if spread.high is None else f" ({100 * (spread.high - spread.mean):.1f})"
