"""A model under attacks, without a verdict, as ``attack.json`` holds it."""

from collections.abc import Mapping
from typing import Any

from fedrobust.runs.codec import entry, record, to_json
from fedrobust.runs.record.card import AuditedDataRecord, AuditedModelRecord, ClinicalRecord, ThreatRecord

SCHEMA = 2
"""Of the tables that this version writes; of 2, figures have the shape that they have in ``result.json``."""


@record
class AttackedRecord:
    """The metrics under one attack at one epsilon."""

    attack: str = entry("with its settings")
    epsilon: float | str = entry("as it was asked for")
    epsilon_value: float = entry("as a number")
    broken: int = entry("images that are right as they are and wrong under attack")
    metrics: ClinicalRecord = entry("METRICS on the attacked images, and clinical figures")
    queries: float = entry("an image")
    gradients: float = entry("an image")
    seconds: float = entry("that it took")


@record
class AttackTableRecord:
    """A model's metrics, clean and under every attack at every epsilon."""

    schema: int = entry("version of this shape", default=SCHEMA)
    model: AuditedModelRecord = entry("the model")
    data: AuditedDataRecord = entry("the images")
    threat: ThreatRecord = entry("the threat model")
    seed: int = entry("of everything random")
    notes: tuple[str, ...] = entry("what a reader should know of the model", default=())
    clean: ClinicalRecord = entry("METRICS on the clean images, and clinical figures")
    attacked: tuple[AttackedRecord, ...] = entry("a row for each attack and epsilon", default=())
    environment: Mapping[str, Any] = entry("versions, processor, threads", default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``attack.json``."""
        plain: dict[str, Any] = to_json(self)
        return plain
