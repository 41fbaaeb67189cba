"""The part of a card's page about a detector: what abstaining costs, and what attacks leave."""

from typing import Any

from fedrobust.report.tables import Cell, Table
from fedrobust.report.wording import NONE, interval, percent
from fedrobust.runs.record import CardRecord, CountedRecord

CLEAN = {
    "without-detector": "Right, without the detector",
    "coverage": "Answered",
    "false-alarms": "Abstained on",
    "right": "Answered, and rightly",
    "right-of-answered": "Right, of those answered",
}
ATTACKED = {
    "robust-without-detector": "Robust under PGD, without the detector",
    "fooled-and-detected": "Abstained on, of those that fool the model alone",
    "robust-unaware": "Robust, the attacker does not know the detector",
    "robust": "Robust, the attacker knows the detector",
}


def detector_part(card: CardRecord) -> dict[str, Any]:
    """Return the part's content; empty without a detector."""
    found = card.detector
    if found is None:
        return {}
    fit = found.detector
    about = (
        f"{fit.settings}: the model abstains where its score is above {fit.threshold:.4g}, which at most "
        f"{percent(fit.rate)} of {fit.threshold_on} clean validation images are. Abstaining on a clean image is an "
        "error, for nobody gets an answer; on an attacked one it is none, for nobody gets a wrong one. The attacker "
        "who knows the detector follows the gradient of both together."
    )
    rows = [
        (Cell(words, kind), (_share(shares.get(key)),))
        for kind, named, shares in (("clean", CLEAN, found.clean), ("attacked", ATTACKED, found.attacked))
        for key, words in named.items()
    ]
    return {"about": about, "table": Table("Images", (Cell("Share", f"of {found.n} images"),), rows)}


def _share(share: CountedRecord | None) -> Cell:
    if share is None:
        return Cell(NONE)
    counts = f"{share.successes}/{share.n}"
    return Cell(percent(share.value), f"{counts} · {interval('accuracy', share.interval)}")
