"""What a detector of attacked images costs, and what attacks leave of it, as ``card.json`` holds it."""

from collections.abc import Mapping

from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.metrics import Interval


@record
class CountedRecord:
    """A share of images."""

    value: float = entry("successes / n")
    successes: int = entry("of the images")
    n: int = entry("images")
    interval: Interval = entry("95 %, Wilson")


@record
class FittedDetectorRecord:
    """A detector and its threshold, fitted to validation images."""

    settings: str = entry("the detector with its settings")
    rate: float = entry("share of clean images on which the model may abstain")
    threshold: float = entry("the model abstains above this score")
    fitted_on: int = entry("validation images that the detector is fitted to")
    threshold_on: int = entry("other validation images, of which at most `rate` are above the threshold")


def _of(share: CountedRecord | None) -> str:
    """Return a share in words."""
    if share is None:
        return "no images"
    low, high = share.interval
    return f"{share.successes} of {share.n} ({100 * share.value:.1f} %, 95 % {100 * low:.1f} to {100 * high:.1f})"


@record
class DetectorRecord:
    """A model that abstains. Abstaining is an error on a clean image, and none on an attacked one."""

    detector: FittedDetectorRecord = entry("the detector")
    attacks: Mapping[str, str] = entry(
        "``unaware`` (of the model alone) and ``aware`` (of model and detector together) -> the attacks",
        default_factory=dict,
    )
    n: int = entry("images")
    clean: Mapping[str, CountedRecord | None] = entry(
        "without an attack: ``without-detector`` (right), ``coverage`` (answered), ``false-alarms``, ``right`` "
        "(answered, and rightly), ``right-of-answered`` -> share",
        default_factory=dict,
    )
    attacked: Mapping[str, CountedRecord | None] = entry(
        "under attack: ``robust-without-detector``, ``fooled-and-detected`` (abstained on, of what fools the model "
        "alone), ``robust-unaware``, ``robust`` (right without an attack, never answered wrongly under one) -> share",
        default_factory=dict,
    )

    def sentences(self) -> tuple[str, ...]:
        """Return what was found: the costs on clean images, then what attacks leave."""
        clean, attacked = self.clean.get, self.attacked.get
        return (
            f"detector {self.detector.settings}: the model abstains on {_of(clean('false-alarms'))} clean images, and "
            f"answers {_of(clean('right'))} rightly; {_of(clean('without-detector'))} without the detector",
            f"under attack {_of(attacked('robust'))} stand, abstentions counted as standing, where the attacker knows "
            f"the detector; {_of(attacked('robust-unaware'))} where it does not; "
            f"{_of(attacked('robust-without-detector'))} without the detector, under PGD",
        )
