"""The audited combinations of a sweep as a pandas table."""

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from fedrobust.sweeps.audited import audited_tables, verdicts_of
from fedrobust.sweeps.paired import Paired
from fedrobust.sweeps.row import Row
from fedrobust.sweeps.spread import share_limits

if TYPE_CHECKING:
    import pandas


def audited_frame(rows: Sequence[Row]) -> "pandas.DataFrame":
    """Return the tables as one, a row a combination; unknown values are missing.

    ``robust low`` and ``robust high`` are the 95 % interval over images with one seed, else that of the mean over
    seeds, or the smallest and the largest seed where it exceeds 0 to 1. Intervals of gain and cost end at -1 and 1.
    """
    import pandas

    found = []
    for table in audited_tables(rows):
        for one in table.combinations:
            low, high = one.limits or share_limits(one.robust) or (None, None)
            found.append(
                {
                    **({"where": table.where} if table.where else {}),
                    "combination": one.name,
                    "seeds": len(one.robust),
                    "images": one.images,
                    "clean": fmean(one.clean),
                    "robust": fmean(one.robust),
                    "robust low": low,
                    "robust high": high,
                    "worst class": fmean(one.worst_class) if one.worst_class else None,
                    "control": one.control or None,
                    **_difference("gain", one.gain),
                    "gain p": one.gain.adjusted if one.gain else None,
                    **_difference("cost", one.cost),
                    "verdicts": verdicts_of(one),
                    "training-seconds": one.seconds,
                    "front": one.front,
                }
            )
    return pandas.DataFrame(found)


def _difference(name: str, pair: Paired | None) -> dict[str, float | None]:
    known = pair is not None and pair.seeds > 0
    return {
        name: pair.difference if pair and known else None,
        f"{name} low": pair.low if pair else None,
        f"{name} high": pair.high if pair else None,
    }
