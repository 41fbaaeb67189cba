"""The check that all test images were audited, applied anew to audits that an earlier version made.

That version passed the check on data without an official test set, such as MedNIST and the rebuilt DermaMNIST, whatever
the number of images. The numbers in a record are enough to apply today's check; every other outcome stays as recorded.
"""

from collections.abc import Mapping
from typing import Any

CHECK = "selected test data: not the whole official split"


def applied(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record in which an audit of part of the test images fails `CHECK`, of the model and of its student.

    The verdict "robust" becomes "not proven"; "degenerate" and "not robust" stay, because their checks weigh more.
    Audits whose verdict or deciding checks change have ``anew``: true.

    Example:
        >>> audit = {"n": 156, "word": "robust", "failed": [], "deciding": []}
        >>> applied({"status": "finished", "n": 11791, "audit": audit})["audit"]["word"]
        'not proven'
        >>> applied({"status": "finished", "n": 156, "audit": audit})["audit"]["word"]
        'robust'
    """
    if record["status"] != "finished":
        return dict(record)
    changed = {**record, "audit": _audit(record.get("audit"), record["n"])}
    if "student" in record:
        student = record["student"]
        changed["student"] = {**student, "audit": _audit(student.get("audit"), record["n"])}
    return changed


def _audit(audit: Mapping[str, Any] | None, images: int) -> dict[str, Any] | None:
    if audit is None:
        return None
    if audit["n"] == images or CHECK in audit["failed"]:
        return dict(audit)
    failed = {**audit, "failed": [CHECK, *audit["failed"]]}
    if audit["word"] not in ("robust", "not proven"):
        return failed
    # First, as in an audit of today: of the checks that can decide "not proven" it is made before the others here.
    return {**failed, "word": "not proven", "deciding": [CHECK, *audit["deciding"]], "anew": True}
