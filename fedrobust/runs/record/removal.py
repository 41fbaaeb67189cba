"""A removal of backdoors, as ``result.json`` holds it."""

from collections.abc import Mapping

from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.metrics import ModelEvaluationRecord


@record
class RemovalRecord:
    """A removal of backdoors from the trained model."""

    method: str = entry("as in the study")
    images: int = entry("of the server, on which it worked", default=0)
    found: Mapping[str, float] = entry("what it found and did, by name", default_factory=dict)
    before: ModelEvaluationRecord = entry(
        "the selected model before it, on the clean test images", default_factory=ModelEvaluationRecord
    )
    after: ModelEvaluationRecord = entry("the same after it", default_factory=ModelEvaluationRecord)
    seconds: float | None = entry("that it took", default=None)
