"""The evaluation of the global model at each hospital: its own test images, or all as its scanner shows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedrobust.audit.figures import clinical_record
from fedrobust.data.dataset import Dataset, Split
from fedrobust.evaluation.metrics import NotFiniteError, log_softmax
from fedrobust.evaluation.net_benefit import decision_curve
from fedrobust.models.layout import Weights
from fedrobust.runs.hospital_gap import side_by_side
from fedrobust.runs.record import ClinicalRecord, MetricsRecord
from fedrobust.runs.record.hospitals import HospitalRecord, HospitalsRecord
from fedrobust.study import Study
from server.errors import UnmeasurableError
from server.stages.evaluation import Evaluator

AS_STORED = "images as stored"


@dataclass(frozen=True)
class Hospital:
    """A hospital, and the test images by which it is judged.

    Attributes:
        name: the site, or what differs there.
        clients: its clients.
        shift: its line of ``data.site-shifts``; empty where its images are as stored.
        rows: mask of its test images, (n,).
        view: returns images as its scanner shows them.
    """

    name: str
    clients: tuple[int, ...]
    shift: str
    rows: np.ndarray
    view: Callable[[Split], Split]


def hospitals_of(study: Study) -> tuple[Hospital, ...]:
    """Return the hospitals that differ in their test images; none where all of them are tested on the same images.

    A data set that records the sites of its test images has one for each of them. Otherwise there is one for each
    scanner that ``data.site-shifts`` describes, and one for the clients without.
    """
    dataset = study.dataset
    return _sites(study, dataset) if dataset.test_sites is not None else _scanners(study, dataset)


def _sites(study: Study, dataset: Dataset) -> tuple[Hospital, ...]:
    assert dataset.test_sites is not None
    by_site = study.experiment.data.partition.partition("(")[0].strip() == "site"
    client_of = (
        {name: place for place, name in enumerate(dataset.sites.names)} if by_site and dataset.sites else {}
    )
    found = []
    for name in dataset.test_sites.names:
        client = client_of.get(name)
        rows = dataset.test_sites.of_images == name
        if not rows.any():  # a hospital may have training images alone
            continue
        shift = "" if client is None else study.site_shifts.scanner(client)
        found.append(Hospital(name, () if client is None else (client,), shift, rows, _view(study, client)))
    return tuple(sorted(found, key=lambda one: one.clients or (len(client_of),)))


def _scanners(study: Study, dataset: Dataset) -> tuple[Hospital, ...]:
    clients: dict[str, list[int]] = {}
    for client in range(study.experiment.federation.clients if study.site_shifts.lines else 0):
        clients.setdefault(study.site_shifts.scanner(client), []).append(client)
    if not any(clients):
        return ()
    everything = np.ones(len(dataset.test), bool)
    return tuple(
        Hospital(
            line or AS_STORED, tuple(numbers), line, everything, _view(study, numbers[0] if line else None)
        )
        for line, numbers in clients.items()
    )


def _view(study: Study, client: int | None) -> Callable[[Split], Split]:
    if client is None:
        return lambda split: split
    return lambda split: study.site_shifts.tested(client, split, study.problem.classes, study.seed)


def hospitals_record(study: Study, evaluator: Evaluator, weights: Weights) -> HospitalsRecord | None:
    """Return the metrics of the model with `weights` at each of `hospitals_of` the study; None if there are none.

    They are clean, and under each attack of the study at its largest epsilon.

    Raises:
        UnmeasurableError: the model's logits are not finite at one of them.
    """
    found = tuple(_measured(evaluator, weights, each) for each in hospitals_of(study))
    return side_by_side(found) if found else None


def _measured(evaluator: Evaluator, weights: Weights, hospital: Hospital) -> HospitalRecord:
    dataset = evaluator.dataset
    own = hospital.view(dataset.test.of_rows(hospital.rows))
    if hospital.shift:
        logits = evaluator.clean_logits(weights, own.images)
    else:
        logits = evaluator.answers(weights).test[hospital.rows]
    try:
        metrics = (
            ClinicalRecord(**vars(MetricsRecord.of(evaluator.measure(own.labels, logits))))
            if dataset.multilabel
            else clinical_record(own.labels, logits, dataset.disease)
        )
        robust = evaluator.robust_at_largest(weights, own, logits)
    except NotFiniteError as error:
        raise UnmeasurableError(
            f"the selected model cannot be measured at hospital {hospital.name!r}: {error}"
        ) from error
    return HospitalRecord(
        name=hospital.name,
        clients=hospital.clients,
        shift=hospital.shift,
        metrics=metrics,
        robust=robust,
        net_benefit=_net_benefit(own.labels, logits, dataset.disease),
    )


def _net_benefit(
    labels: np.ndarray, logits: np.ndarray, disease: Sequence[int]
) -> dict[str, tuple[float, float]]:
    diseased = np.isin(labels, list(disease))
    if not disease or diseased.all() or not diseased.any() or not np.isfinite(logits).all():
        return {}
    probability = np.exp(log_softmax(logits.astype(np.float64)))[:, list(disease)].sum(axis=1)
    return decision_curve(probability, diseased)
