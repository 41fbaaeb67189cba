"""The privacy page of a run: what is promised, what was attacked, what was found. It never says "private"."""

from fedrobust.runs.leakage_words import summary
from fedrobust.runs.promised import SECURE, headline
from fedrobust.runs.record.card import CardPrivacyRecord
from fedrobust.runs.record.leakage import LeakageRecord
from fedrobust.runs.record.privacy import PrivacyRecord


def privacy_page(promised: PrivacyRecord | None, found: LeakageRecord | None) -> CardPrivacyRecord:
    """Return the page.

    Args:
        promised: in the record of the run; None: nothing.
        found: by attacks; None: none was made.

    Example:
        >>> privacy_page(None, None).statement[0]
        'Nothing promised, not attacked.'
    """
    return CardPrivacyRecord(
        statement=(*promise_told(promised, found), *summary(found)), promised=promised, attacked=found
    )


def promise_told(promised: PrivacyRecord | None, found: LeakageRecord | None) -> tuple[str, ...]:
    """Return what is promised and whether it was attacked, in sentences."""
    promises = promised.promises if promised else ()
    kept = [headline(one) for one in promises if one.epsilon is not None]
    told = [
        f"{'Promised' if kept else 'Nothing promised'}, {'not attacked' if found is None else 'attacked'}."
    ]
    told += [f"Promised: {one}." for one in kept]
    told += [f"{one.mechanism} has no noise and promises nothing." for one in promises if one.epsilon is None]
    if promised and promised.secure_aggregation:
        told.append(f"{SECURE[:1].upper()}{SECURE[1:]}.")
    return tuple(told)
