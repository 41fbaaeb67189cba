"""The global model at each hospital, as ``result.json`` holds it."""

from collections.abc import Mapping

from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.card import ClinicalRecord
from fedrobust.runs.record.metrics import Curve


@record
class HospitalRecord:
    """The selected global model on the test images of one hospital."""

    name: str = entry("the site, or what differs there")
    clients: tuple[int, ...] = entry("its clients; empty where no client stands for it", default=())
    shift: str = entry("its line of ``data.site-shifts``; empty where its images are as stored", default="")
    metrics: ClinicalRecord | None = entry("METRICS and clinical figures", default=None)
    robust: Mapping[str, Curve] = entry(
        "attack -> epsilon -> METRICS, at the largest epsilon of the study", default_factory=dict
    )
    net_benefit: Mapping[str, tuple[float, float]] = entry(
        "threshold of P(disease) -> net benefit of the model, and of treating all (none: 0); empty where the labels "
        "that mean disease are not known, or only they or only the others are there",
        default_factory=dict,
    )


@record
class HospitalsRecord:
    """The hospitals side by side."""

    hospitals: tuple[HospitalRecord, ...] = entry("in the order of their clients", default=())
    worst: str | None = entry(
        "hospital of the lowest balanced accuracy; null where all have the same, or their test images do not have the "
        "same classes or findings (those with one class only left aside)",
        default=None,
    )
    gap: float | None = entry(
        "largest less smallest balanced accuracy; null where the hospitals' test images do not have the same classes "
        "or findings, or one class only",
        default=None,
    )
