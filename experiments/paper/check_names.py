"""The present names of the audit's checks, for records with earlier names, and short names for tables."""

from collections.abc import Mapping
from typing import Any

CONTROL = "control: no better than the undefended model"

PRESENT = {
    "BatchNorm gap": "BatchNorm: stale statistics",
    "attack validated": "failing attack: planted masking is not seen",
    "collapse, attacked": "collapsed classifier: under attack",
    "collapse, clean": "collapsed classifier: clean images",
    "control": CONTROL,
    "converged": "failing attack: more steps break more",
    "gradient health": "vanishing gradient: zero or not finite",
    "iterative at least single step": "gradient masking: single step beats iterations",
    "keeps its lead": "robust accuracy: lead over the constant classifier lost",
    "large epsilon": "failing attack: images survive an unbounded epsilon",
    "loss swap": "gradient masking: another loss breaks more",
    "restarts": "failing attack: more restarts break more",
    "split and n": "selected test data: not the whole official split",
}
"""Earlier name -> present name, of every check that a record names."""

SHORT = {
    "BatchNorm: stale statistics": "stale BatchNorm statistics",
    "collapsed classifier: clean images": "collapsed classifier",
    "collapsed classifier: under attack": "collapse under attack",
    CONTROL: "no better than control",
    "failing attack: planted masking is not seen": "failing attack",
    "robust accuracy: lead over the constant classifier lost": "lead lost",
    "selected test data: not the whole official split": "selected test data",
}
"""Present name -> what a table says; other checks are named in full."""


def short(check: str) -> str:
    """Return what a table says of a check.

    Example:
        >>> short("BatchNorm: stale statistics"), short("label leaking: attacked beats clean")
        ('stale BatchNorm statistics', 'label leaking: attacked beats clean')
    """
    return SHORT.get(check, check)


def modern(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record's audit with present names of checks, and the control's outcome in place of its sentence.

    Example:
        >>> old = {"deciding": ["collapse, clean"], "failed": ["control"], "control": "The same model ..."}
        >>> modern(old)["failed"], modern(old)["control"]
        (['control: no better than the undefended model'], 'failed')
    """
    failed = [PRESENT.get(check, check) for check in audit["failed"]]
    outcome = audit["control"]
    if outcome not in ("passed", "failed", "not applicable"):
        missing = outcome.startswith(("No undefended control", "No undefended twin"))
        outcome = "not applicable" if missing else "failed" if CONTROL in failed else "passed"
    deciding = [PRESENT.get(check, check) for check in audit["deciding"]]
    return {**audit, "deciding": deciding, "failed": failed, "control": outcome}
