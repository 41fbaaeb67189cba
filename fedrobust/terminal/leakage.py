"""Attacks on the privacy of a run as tables on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedrobust.runs.leakage_words import summary, target_of
from fedrobust.runs.record.leakage import LeakageRecord, MembershipRecord, RateRecord
from fedrobust.terminal.screen import PLAIN


def record_of(found: Mapping[str, Any]) -> LeakageRecord:
    """Return the record of what `fedrobust.attack_privacy` returned."""
    return LeakageRecord.read(found)


def tables(found: LeakageRecord) -> list[Table]:
    """Return a table for each kind of attack that has several figures."""
    shown = [membership_table(found)] if found.membership else []
    return [*shown, inversion_table(found)] if found.inversion else shown


def membership_table(found: LeakageRecord) -> Table:
    """Return a row for each membership attack and target, beside guessing."""
    shown = Table(title=escape(f"{found.run}: which images trained the model?"), **PLAIN)
    for name in ("attack", "on", "AUC", "95 %", "TPR at 1 %", "TPR at 0.1 %", "control AUC"):
        shown.add_column(name, justify="left" if name in ("attack", "on") else "right", no_wrap=name != "on")
    for one in found.membership:
        shown.add_row(*_cells(one))
    shown.add_row("guessing", "", "0.500", "", "1.0%", "0.1%", "")
    return shown


def _cells(one: MembershipRecord) -> tuple[str, ...]:
    return (
        escape(one.attack),
        f"{target_of(one)}, others: {one.others}",
        f"{one.auc:.3f}",
        f"{one.interval[0]:.3f}-{one.interval[1]:.3f}",
        *(rate(each) for each in one.rates),
        "-" if one.control_auc is None else f"{one.control_auc:.3f}",
    )


def inversion_table(found: LeakageRecord) -> Table:
    """Return a row for each captured update."""
    shown = Table(title=escape(f"{found.run}: images from single updates"), **PLAIN)
    for name in (
        "attack",
        "client",
        "images",
        "steps",
        "BatchNorm",
        "labels",
        "PSNR",
        "nearest other",
        "cosine",
    ):
        shown.add_column(name, justify="left" if name == "attack" else "right")
    for one in found.inversion:
        shown.add_row(
            escape(one.attack),
            str(one.client),
            str(one.images),
            str(one.steps),
            one.batchnorm,
            f"{one.labels_found}/{one.images}",
            " ".join(f"{value:.1f}" for value in one.psnr),
            " ".join(f"{value:.1f}" for value in one.neighbour_psnr),
            f"{one.matched:.3f}",
        )
    return shown


def rate(one: RateRecord) -> str:
    """Return a true positive rate with its interval.

    Example:
        >>> settings = dict(false_positive_rate=0.01, found=1, members=4, false=0, others=78)
        >>> rate(RateRecord(**settings)), rate(RateRecord(**settings, value=0.25, interval=(0.2, 0.31)))
        ('too few', '25.0% (20.0-31.0)')
    """
    if one.value is None or one.interval is None:
        return "too few"
    return f"{one.value:.1%} ({100 * one.interval[0]:.1f}-{100 * one.interval[1]:.1f})"


def lines(found: LeakageRecord) -> Sequence[str]:
    """Return what was found, in sentences."""
    few = {
        f"{1 / each.false_positive_rate:.0f}"
        for one in found.membership
        for each in one.rates
        if each.value is None
    }
    told = [escape(one) for one in summary(found)]
    if few:
        told.append(
            f"too few: a rate needs at least {' or '.join(sorted(few, key=int))} images that are no members"
        )
    return told
