"""An audit of one model, as ``card.json`` holds it."""

from collections.abc import Mapping
from typing import Any

from fedrobust.runs.codec import RecordError, entry, read, record, to_json
from fedrobust.runs.record.detector import DetectorRecord
from fedrobust.runs.record.leakage import LeakageRecord
from fedrobust.runs.record.metrics import Curve, Interval, MetricsRecord
from fedrobust.runs.record.old_card import modern
from fedrobust.runs.record.predictions import PredictionsRecord
from fedrobust.runs.record.privacy import PrivacyRecord

SCHEMA = 3
"""Of the cards that this version writes."""

READABLE = (1, 2, 3)
"""Schemas of cards that this version reads: 2 tells what a failed check is called and what to do next; in 3, figures
have the shape that they have in ``result.json``."""


@record
class FigureRecord:
    """A figure that METRICS have not."""

    value: float | None = entry("null where it does not exist", default=None)
    interval: Interval | None = entry("its 95 % interval", default=None)
    constant: float | None = entry("what always giving one answer would have", default=None)
    method: str = entry("how the interval is computed", default="")
    counts: tuple[int, int] | None = entry("k and n where it is a share k / n", default=None)
    too_few: str | None = entry(
        "what there is too little of for the interval to be trusted", default=None, left_out=True
    )


@record
class ClinicalRecord(MetricsRecord):
    """METRICS and clinical figures."""

    too_few: Mapping[str, str] = entry("score -> why its interval is not reliable", default_factory=dict)
    figures: Mapping[str, FigureRecord] = entry(
        "``mcc``, ``calibration error``, ``sensitivity at 90% specificity``, ``disease missed`` -> figure",
        default_factory=dict,
    )

    def constant(self, name: str) -> float | None:
        """Return what always answering the most frequent class scores: accuracy, balanced_accuracy or auc.

        None where that is not measured: of images of one class, balanced accuracy and AUC are not.
        """
        if name == "accuracy":
            return self.majority_rate
        if self.one_class:
            return None
        if name == "auc":
            return None if self.auc is None else 0.5
        return self.chance


@record
class AuditedModelRecord:
    """The model under audit."""

    name: str = entry("of the model", default="")
    digest: str = entry("SHA-256 of its weights or its file", default="")
    output: str = entry("what its outputs are", default="logits")


@record
class AuditedDataRecord:
    """The images under attack."""

    name: str = entry("of the data set", default="")
    digest: str = entry("SHA-256 of images and labels", default="")
    split: str = entry("of the data set", default="test")
    labels: tuple[str, ...] = entry("names of the classes", default=())
    disease: tuple[int, ...] = entry("the classes that mean disease", default=())
    official: int | None = entry("images of the published split, where it is one", default=None)
    n: int = entry("images that were attacked", default=0)


@record
class ThreatRecord:
    """What may be done to an image."""

    norm: str = entry("how distances are measured", choices=("linf", "l2", "l0"))
    epsilon: float | str | None = entry("as it was asked for", default=None)
    epsilon_value: float | None = entry("as a number", default=None)
    space: str = entry("pixels that are perturbed", default="native", choices=("native", "prepared"))
    bits: int = entry("8 for 8-bit images, else 0", default=0)
    tied: bool = entry("whether all colour channels are perturbed alike", default=False)


@record
class AuditSettingsRecord:
    """The effort of an audit."""

    effort: str = entry(
        "attacks, steps, restarts and queries", default="", choices=("quick", "standard", "full")
    )
    seed: int = entry("of everything random", default=0)
    steps: int = entry("of iterative attacks", default=0)
    queries: int = entry("of black-box attacks, an image", default=0)


@record
class VerdictRecord:
    """The outcome."""

    word: str = entry("in one word", choices=("robust", "not robust", "not proven", "degenerate"))
    sentence: str = entry("what it means, with its numbers", default="")
    deciding: tuple[str, ...] = entry("the checks that decided it", default=())


@record
class CostRecord:
    """Queries and gradients behind the verdict."""

    queries: int = entry("forward passes of single images", default=0)
    gradients: int = entry("gradients of single images", default=0)
    seconds: float = entry("of all attacks", default=0.0)


@record
class FindingRecord:
    """One check of an audit."""

    check: str = entry("its name")
    outcome: str = entry("how it ended", choices=("passed", "failed", "not applicable", "not made"))
    weight: str = entry(
        "what follows if it failed", default="", choices=("degenerate", "not robust", "not proven", "report")
    )
    figure: str = entry("what was measured", default="")
    rule: str = entry("what would have passed", default="")
    sentence: str = entry("what it means", default="")
    source: str = entry("where the check is from", default="")
    details: Mapping[str, Any] = entry("the numbers behind the figure", default_factory=dict)
    called: str | None = entry("the field's term for the failure", default=None, left_out=True)
    next: str | None = entry("what to do next, of a failed check", default=None, left_out=True)


@record
class AuditedClassRecord:
    """One class under audit."""

    label: int = entry("its number")
    name: str = entry("its name", default="")
    disease: bool = entry("whether it means disease", default=False)
    n: int = entry("images of it", default=0)
    right: int = entry("of these, classified correctly without an attack", default=0)
    standing: int = entry("of these, classified correctly under every attack", default=0)


@record
class AuditedAttackRecord:
    """One attack of an audit."""

    name: str = entry("with its settings")
    epsilons: tuple[float, ...] = entry("that it searched", default=())
    n: int = entry("images that it attacked", default=0)
    broken: tuple[int, ...] = entry("of these, broken at every epsilon", default=())
    queries: float = entry("an image", default=0.0)
    gradients: float = entry("an image", default=0.0)
    seconds: float = entry("that it took", default=0.0)


@record
class EvidenceRecord:
    """One kind of evidence in a card, in the terms of standards; no statement of conformity."""

    about: str = entry("what was measured", default="")
    keys: tuple[str, ...] = entry("the keys of the card that hold its figures", default=())
    method: str = entry(
        "the kind of method, as in ISO/IEC TR 24029-1",
        default="",
        choices=("empirical", "statistical", "formal"),
    )
    nist: tuple[str, ...] = entry("classes of attacks in NIST AI 100-2e2025", default=())
    atlas: tuple[str, ...] = entry("techniques of MITRE ATLAS 5.6.0", default=())
    ai_act: tuple[str, ...] = entry("paragraphs of Article 15 of Regulation (EU) 2024/1689", default=())


@record
class CardPrivacyRecord:
    """The privacy page of a card. What was not attacked is unknown, not private."""

    statement: tuple[str, ...] = entry("what was found, in sentences", default=())
    promised: PrivacyRecord | None = entry("null: nothing", default=None)
    attacked: LeakageRecord | None = entry("every attack, with its power; null: none", default=None)


@record
class CardRecord:
    """The audit of a model."""

    schema: int = entry("version of this shape", default=SCHEMA)
    model: AuditedModelRecord = entry("the model under audit", default_factory=AuditedModelRecord)
    data: AuditedDataRecord = entry("the images", default_factory=AuditedDataRecord)
    threat: ThreatRecord = entry("the threat model")
    settings: AuditSettingsRecord = entry("the effort of the audit", default_factory=AuditSettingsRecord)
    verdict: VerdictRecord = entry("the outcome")
    cost: CostRecord | None = entry("queries and gradients behind the verdict", default=None)
    notes: tuple[str, ...] = entry("what a reader should know of model and attacks", default=())
    checks: tuple[FindingRecord, ...] = entry("every check", default=())
    clean: ClinicalRecord | None = entry("METRICS on the clean images, and clinical figures", default=None)
    attacked: ClinicalRecord | None = entry("the same on the worst case of every image", default=None)
    predictions: Mapping[str, PredictionsRecord] = entry(
        "``clean`` and ``attacked`` -> confusion matrix, ROC curves, calibration; as in `clean` and `attacked`",
        default_factory=dict,
    )
    standing: MetricsRecord | None = entry(
        "images that are classified correctly under every attack: the robust ones", default=None
    )
    classes: tuple[AuditedClassRecord, ...] = entry("every class that has images", default=())
    robust: Mapping[str, Curve] = entry("attack -> epsilon -> METRICS: FGSM and PGD", default_factory=dict)
    broken_by: Mapping[str, int] = entry("attack -> images that it broke first", default_factory=dict)
    attacks: tuple[AuditedAttackRecord, ...] = entry("every attack", default=())
    evidence: tuple[EvidenceRecord, ...] = entry(
        "every kind of evidence, in the terms of standards", default=()
    )
    environment: Mapping[str, Any] = entry("versions, processor, threads", default_factory=dict)
    detector: DetectorRecord | None = entry(
        "what abstaining costs and holds; the verdict is of the model without its detector; left out without one",
        default=None,
        left_out=True,
    )
    privacy: CardPrivacyRecord | None = entry(
        "the privacy page: what is promised, what was attacked, what was found; left out of models without a run",
        default=None,
        left_out=True,
    )

    modern = staticmethod(modern)

    @classmethod
    def read(cls, value: Any) -> "CardRecord":
        """Read the content of a ``card.json``, also one that an older version wrote.

        Raises:
            RecordError: it is of a schema that this version does not know, or a key holds a value of another kind.
        """
        schema = value.get("schema") if isinstance(value, Mapping) else None
        if schema not in READABLE or isinstance(schema, bool):
            known = ", ".join(map(str, READABLE))
            raise RecordError(f"schema = {schema!r}: not a card of schema {known}")
        return read(cls, value)

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``card.json``."""
        plain: dict[str, Any] = to_json(self)
        return plain

    def count(self, outcome: str) -> int:
        """Return how many checks ended in an outcome."""
        return sum(one.outcome == outcome for one in self.checks)
