"""Terminal output of rules' ranks and of the paired tests between them."""

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fedrobust.sweeps.paired import Paired, text_of_p
from fedrobust.sweeps.ranks import Ranks


def rank_tables(ranks: Ranks) -> Iterator[Table]:
    """Yield the table of mean ranks, and that of the pairs that were tested: those of three seeds or more."""
    table = Table(box=SIMPLE_HEAD, title=escape(ranks.metric.replace("_", " ")), title_justify="left")
    for head in ("rule", "mean rank", "not told apart from"):
        table.add_column(head, overflow="fold")
    for place, (rule, rank) in enumerate(zip(ranks.rules, ranks.ranks, strict=True)):
        table.add_row(escape(rule), f"{rank:.2f}", escape(companions(ranks, place)))
    yield table
    pairs = Table(box=SIMPLE_HEAD)
    for head in ("rule", "beside", "seeds", "difference", "95 % interval", "p", "p (Holm)"):
        pairs.add_column(head, overflow="fold")
    for one in (each for each in ranks.pairs if each.p is not None):
        pairs.add_row(escape(one.rule), escape(one.other), *pair_cells(one))
    if pairs.row_count:
        yield pairs


def companions(ranks: Ranks, place: int) -> str:
    """Return the rules whose ranks are not told apart from that at `place`, as text."""
    near = {
        other for first, last in ranks.alike for other in range(first, last + 1) if first <= place <= last
    }
    others = [ranks.rules[other] for other in sorted(near - {place})]
    return "all others" if len(others) == len(ranks.rules) - 1 else ", ".join(others) or "none"


def pair_cells(one: Paired) -> tuple[str, ...]:
    """Return the figures of a pair as texts.

    Example:
        >>> pair_cells(Paired("a", "b", 3, 0.1, 0.05, 0.15, 0.01, 0.03))
        ('3', '+0.1', '+0.05 to +0.15', '0.01', '0.03')
        >>> pair_cells(Paired("a", "b", 1, -0.1, None, None, None))
        ('1', '-0.1', '–', '–', '–')
    """
    interval = "–" if one.low is None or one.high is None else f"{one.low:+.3g} to {one.high:+.3g}"
    chances = ("–" if each is None else text_of_p(each) for each in (one.p, one.adjusted))
    return str(one.seeds), f"{one.difference:+.3g}", interval, *chances
