"""Which hospital a model serves worst, and whether that can be told from its test images."""

from collections.abc import Sequence

from fedrobust.runs.record import ClinicalRecord, HospitalRecord, HospitalsRecord


def side_by_side(hospitals: Sequence[HospitalRecord]) -> HospitalsRecord:
    """Return the record of hospitals with the worst of them and the gap, where these can be compared."""
    scores = _scores(hospitals)
    alike, values = measured_alike(hospitals), list(scores.values())
    differ = alike and len(values) > 1 and max(values) > min(values)
    return HospitalsRecord(
        hospitals=tuple(hospitals),
        worst=min(scores, key=lambda name: scores[name]) if differ else None,
        gap=max(values) - min(values) if alike and values and len(values) == len(hospitals) else None,
    )


def measured_alike(hospitals: Sequence[HospitalRecord]) -> bool:
    """Return whether balanced accuracies are means over the same classes at every hospital that has several.

    Over others they differ also where each class is recognised equally well everywhere.
    """
    return len({_averaged(one.metrics) for one in hospitals if one.metrics and not one.metrics.one_class}) < 2


def worst_and_best(found: HospitalsRecord) -> tuple[HospitalRecord, HospitalRecord] | None:
    """Return the hospitals of the lowest and the highest balanced accuracy; None where they cannot be compared.

    Records of early versions name a worst one also where classes differ.
    """
    scores = _scores(found.hospitals)
    if found.worst not in scores or found.gap is None or not measured_alike(found.hospitals):
        return None
    by_name = {one.name: one for one in found.hospitals}
    return by_name[found.worst], by_name[max(scores, key=lambda name: scores[name])]


def told_apart(worst: HospitalRecord, best: HospitalRecord) -> bool:
    """Return whether the 95 % intervals of two balanced accuracies do not overlap; true where one is not known."""
    low, high = (one.metrics.limits("balanced_accuracy") if one.metrics else None for one in (worst, best))
    return low is None or high is None or low[1] < high[0]


def _scores(hospitals: Sequence[HospitalRecord]) -> dict[str, float]:
    return {
        one.name: one.metrics.balanced_accuracy
        for one in hospitals
        if one.metrics and one.metrics.balanced_accuracy is not None and not one.metrics.one_class
    }


def _averaged(metrics: ClinicalRecord) -> tuple[int, ...]:
    """Return the classes, or the findings, over which a balanced accuracy is the mean."""
    if metrics.labels is None:
        return metrics.present
    return tuple(
        place
        for place, one in enumerate(metrics.labels)
        if one.sensitivity is not None and one.specificity is not None
    )
