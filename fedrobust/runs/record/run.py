"""A whole run: the content of ``result.json``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fedrobust.runs.codec import RecordError, entry, read, record, to_json
from fedrobust.runs.record.card import CardRecord
from fedrobust.runs.record.clients import ClientsComparisonRecord
from fedrobust.runs.record.durability import DurabilityRecord
from fedrobust.runs.record.heterogeneity import HeterogeneityRecord
from fedrobust.runs.record.hospitals import HospitalsRecord
from fedrobust.runs.record.metrics import MetricsRecord, ModelEvaluationRecord
from fedrobust.runs.record.parts import (
    DatasetRecord,
    ExportRecord,
    ForecastRecord,
    ModelRecord,
    StudentRecord,
    ToleranceRecord,
)
from fedrobust.runs.record.privacy import PrivacyRecord
from fedrobust.runs.record.removal import RemovalRecord
from fedrobust.runs.record.rounds import RoundRecord
from fedrobust.runs.record.shared import SharedRoundsRecord
from fedrobust.runs.record.sites import SiteRecord

SCHEMA = 2
"""Of the ``result.json`` that this version writes."""

READABLE = (1, 2)
"""Schemas of ``result.json`` that this version reads: 2 holds cards of schema 3, 1 those of schema 1 and 2."""


@record
class RunRecord:
    """What a run found, from the data to the exported files."""

    schema: int = entry("version of this shape", default=SCHEMA)
    status: str = entry(
        "how it ended", default="unknown", choices=("running", "finished", "stopped", "failed")
    )
    error: str | None = entry("why it is not finished", default=None)
    name: str = entry("of the study", default="")
    experiment: Mapping[str, Any] = entry("the study, every setting by section", default_factory=dict)
    rounds: tuple[RoundRecord, ...] = entry("every finished round, in order", default=())
    resumed_after: tuple[int, ...] = entry("rounds after which the run was resumed", default=())
    shared: SharedRoundsRecord | None = entry(
        "first rounds that another cell of the sweep computed; left out where there are none",
        default=None,
        left_out=True,
    )
    tolerance: ToleranceRecord | None = entry(
        "malicious clients that the rule was given to tolerate", default=None
    )
    remarks: tuple[str, ...] = entry("warnings before the first round", default=())
    environment: Mapping[str, Any] = entry(
        "versions, processor, threads and date of the last process that ran it, and the command of the first",
        default_factory=dict,
    )
    file_digests: Mapping[str, str] | None = entry(
        "first digits of the SHA-256 of what else the study reads: ``weights``, the file of initial weights; "
        "``public``, the images for distillation; ``annotations``, names of classes, disease and sites in an own file "
        "of images; left out where there is nothing",
        default=None,
        left_out=True,
    )
    dataset: DatasetRecord | None = entry("the images; null until they are loaded", default=None)
    model: ModelRecord | None = entry("the global model; null until it is built", default=None)
    heterogeneity: HeterogeneityRecord | None = entry(
        "how far the simulated clients' images are from draws of one distribution; left out in a deployment, and of "
        "very many clients",
        default=None,
        left_out=True,
    )
    privacy: PrivacyRecord | None = entry(
        "what is promised about privacy; left out without differential privacy and secure aggregation",
        default=None,
        left_out=True,
    )
    forecast: ForecastRecord | None = entry("forecast of time and memory of the rounds", default=None)
    model_evaluation: ModelEvaluationRecord | None = entry(
        "the selected global model on the test images; null until it is measured", default=None
    )
    durability: DurabilityRecord | None = entry(
        "how long a targeted attack lasted after its end; left out where it had none, or was not measured after it",
        default=None,
        left_out=True,
    )
    removal: RemovalRecord | None = entry(
        "the removal of backdoors from the selected model, with figures before and after it; left out where none was "
        "asked for",
        default=None,
        left_out=True,
    )
    central: MetricsRecord | None = entry(
        "a model of the same training on all images in one place, on the test images; left out where it was not asked "
        "for",
        default=None,
        left_out=True,
    )
    unseen: Mapping[str, MetricsRecord] | None = entry(
        "the selected global model on all images of each site that was held out; left out where none was",
        default=None,
        left_out=True,
    )
    hospitals: HospitalsRecord | None = entry(
        "the selected global model on the test images of each hospital; left out where all have the same",
        default=None,
        left_out=True,
    )
    sites: tuple[SiteRecord, ...] | None = entry(
        "admitted sites of a deployment; left out in a simulation", default=None, left_out=True
    )
    clients: ClientsComparisonRecord | None = entry(
        "models compared per client; left out where there are neither personal nor local models",
        default=None,
        left_out=True,
    )
    audit: CardRecord | None = entry("its audit, the content of ``card.json``", default=None)
    student: StudentRecord | None = entry("the distilled student", default=None)
    export: tuple[ExportRecord, ...] = entry("the exported files", default=())
    seconds: float | None = entry("of the whole run", default=None)

    @classmethod
    def read(cls, value: Any) -> "RunRecord":
        """Read the content of a ``result.json``, also one that an older version wrote.

        Args:
            value: parsed JSON.

        Raises:
            RecordError: it is of a schema that this version does not know, or a key holds a value of another kind.

        Example:
            >>> run = RunRecord.read({"schema": 1, "status": "stopped", "rounds": [{"round": 1}]})
            >>> run.rounds[0].round, run.rounds[0].clean, run.student
            (1, None, None)
        """
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if schema not in READABLE or isinstance(schema, bool):
            known = " and ".join(map(str, READABLE))
            raise RecordError(f"schema = {schema!r}, this version of fedrobust reads {known}")
        return read(cls, {**value, "schema": SCHEMA})

    def section(self, name: str) -> Mapping[str, Any]:
        """Return one section of the study, empty where it was not recorded."""
        held = self.experiment.get(name)
        return held if isinstance(held, Mapping) else {}

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``result.json``."""
        plain: dict[str, Any] = to_json(replace(self, rounds=()))
        return {**plain, "rounds": [one.plain for one in self.rounds]}
