"""What the export of a model found, as ``export.json`` holds it."""

from collections.abc import Mapping
from typing import Any

from fedrobust.runs.codec import entry, record
from fedrobust.runs.record.card import AuditedDataRecord, AuditedModelRecord
from fedrobust.runs.record.metrics import Interval
from fedrobust.runs.record.parts import ExportRecord


@record
class FileRobustnessRecord:
    """An exported file under attack."""

    file: str = entry("its name", default="")
    norm: str = entry("how distances are measured", default="linf", choices=("linf", "l2"))
    epsilon: float | str | None = entry("as it was asked for", default=None)
    n: int = entry("images that were attacked", default=0)
    clean: int = entry("how many the file classifies correctly without an attack", default=0)
    worst: int = entry("under every attack", default=0)
    accuracy: float | None = entry("the share under every attack", default=None)
    interval: Interval | None = entry("its 95 % interval (Wilson)", default=None)
    right: Mapping[str, int] = entry("attack -> how many are right under it", default_factory=dict)
    model_right: Mapping[str, int] = entry(
        "likewise of the model that it came from, which attacks see as it is", default_factory=dict
    )
    masked: bool = entry(
        "whether the file is more robust than its model by over 2 points under one attack: rounding hides its gradient",
        default=False,
    )


@record
class ExportResultRecord:
    """The files of an exported model."""

    schema: int = entry("version of this shape", default=1)
    model: AuditedModelRecord = entry("that was exported", default_factory=AuditedModelRecord)
    data: AuditedDataRecord = entry("the test images", default_factory=AuditedDataRecord)
    accuracy: float | None = entry("of the model itself on them", default=None)
    float_bytes: int | None = entry("size of the model's weights as float32", default=None)
    calibration: int | None = entry("training images that gave the ranges of int8 activations", default=None)
    files: tuple[ExportRecord, ...] = entry("in the order of writing", default=())
    robustness: FileRobustnessRecord | None = entry(
        "of the file to take; null where no file was attacked", default=None
    )
    notes: tuple[str, ...] = entry("on the model", default=())
    environment: Mapping[str, Any] = entry("versions, processor and threads", default_factory=dict)
