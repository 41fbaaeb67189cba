"""The record of a run: what ``result.json`` and ``card.json`` hold, as frozen dataclasses.

`RunRecord.read` reads a parsed ``result.json``, also of older versions, and `RunRecord.to_json` writes it.
"""

from fedrobust.runs.codec import RecordError, to_json
from fedrobust.runs.json_schema import json_schema
from fedrobust.runs.record.attack_table import AttackedRecord, AttackTableRecord
from fedrobust.runs.record.card import CardRecord, ClinicalRecord, FigureRecord, FindingRecord
from fedrobust.runs.record.clients import (
    ClientComparisonRecord,
    ClientModelRecord,
    ClientsComparisonRecord,
)
from fedrobust.runs.record.detector import CountedRecord, DetectorRecord
from fedrobust.runs.record.durability import DurabilityRecord
from fedrobust.runs.record.heterogeneity import HeterogeneityRecord
from fedrobust.runs.record.hospitals import HospitalRecord, HospitalsRecord
from fedrobust.runs.record.metrics import (
    AttackSuccessRecord,
    EvaluationRecord,
    Interval,
    IntervalsRecord,
    MetricsRecord,
    ModelEvaluationRecord,
)
from fedrobust.runs.record.parts import (
    ConversionRecord,
    DatasetRecord,
    DistillationRecord,
    ExportRecord,
    ForecastRecord,
    LatencyRecord,
    ModelRecord,
    StudentRecord,
    ToleranceRecord,
)
from fedrobust.runs.record.privacy import PrivacyRecord, PromisedClientRecord, PromiseRecord
from fedrobust.runs.record.removal import RemovalRecord
from fedrobust.runs.record.rounds import (
    ClientsRecord,
    DefenceRecord,
    FailureRecord,
    ModelRoundRecord,
    RoundRecord,
    WorstClientRecord,
    probes_of,
)
from fedrobust.runs.record.run import READABLE, SCHEMA, RunRecord
from fedrobust.runs.record.shared import SharedRoundsRecord
from fedrobust.runs.record.sites import SiteRecord

__all__ = [
    "READABLE",
    "SCHEMA",
    "AttackSuccessRecord",
    "AttackTableRecord",
    "AttackedRecord",
    "CardRecord",
    "ClientComparisonRecord",
    "ClientModelRecord",
    "ClientsComparisonRecord",
    "ClientsRecord",
    "ClinicalRecord",
    "ConversionRecord",
    "CountedRecord",
    "DatasetRecord",
    "DefenceRecord",
    "DetectorRecord",
    "DistillationRecord",
    "DurabilityRecord",
    "EvaluationRecord",
    "ExportRecord",
    "FailureRecord",
    "FigureRecord",
    "FindingRecord",
    "ForecastRecord",
    "HeterogeneityRecord",
    "HospitalRecord",
    "HospitalsRecord",
    "Interval",
    "IntervalsRecord",
    "LatencyRecord",
    "MetricsRecord",
    "ModelEvaluationRecord",
    "ModelRecord",
    "ModelRoundRecord",
    "PrivacyRecord",
    "PromiseRecord",
    "PromisedClientRecord",
    "RecordError",
    "RemovalRecord",
    "RoundRecord",
    "RunRecord",
    "SharedRoundsRecord",
    "SiteRecord",
    "StudentRecord",
    "ToleranceRecord",
    "WorstClientRecord",
    "json_schema",
    "probes_of",
    "to_json",
]
