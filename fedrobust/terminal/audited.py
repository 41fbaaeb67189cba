"""Terminal output of a sweep's audited combinations."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from fedrobust.sweeps.audited_section import HEADS, AuditedSection, audited_sections
from fedrobust.sweeps.row import Row

NOTE = (
    "Balanced accuracy in percent: clean on all test images, robust under the worst attack on each audited image. "
    "{constant}{control}* no other combination is as good in both and better in one.{degenerate}"
)


def audited_output(rows: Sequence[Row]) -> Iterator[Table | str]:
    """Yield a table of audited combinations and its note, for each place of a sweep; nothing without audits."""
    for section in audited_sections(rows):
        yield _table(section)
        control = section.table.control
        beside = f"Gain and cost are beside {control}, the control, with the same seed. " if control else ""
        chance = section.table.chance
        constant = "" if chance is None else f"A constant classifier has {100 * chance:.1f}. "
        degenerate = f" {section.table.degenerate}" if section.table.degenerate else ""
        yield NOTE.format(
            constant=constant,
            control=beside + (f"{own} " if (own := section.table.own_controls) else ""),
            degenerate=degenerate,
        )


def _table(section: AuditedSection) -> Table:
    where = section.table.where
    table = Table(box=SIMPLE_HEAD, title=escape(where) if where else None, title_justify="left")
    for head in ("", *HEADS):
        table.add_column(head, overflow="fold")
    for one, line in zip(section.table.combinations, section.lines, strict=True):
        table.add_row("*" if one.front else "", *map(escape, line))
    return table
