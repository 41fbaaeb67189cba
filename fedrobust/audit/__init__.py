"""The robustness audit of one model: attacks, checks for gradient masking, verdict, card."""

from fedrobust.audit.attack_cache import AttackCache
from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.card import CHECKS, Card, audit
from fedrobust.audit.finding import Finding, Outcome, Weight
from fedrobust.audit.model_under_audit import ModelUnderAudit
from fedrobust.audit.plan import Plan
from fedrobust.audit.schema import CARD_SCHEMA
from fedrobust.audit.verdict import Verdict

__all__ = [
    "CARD_SCHEMA",
    "CHECKS",
    "AttackCache",
    "AttackSuite",
    "Card",
    "Finding",
    "ModelUnderAudit",
    "Outcome",
    "Plan",
    "Verdict",
    "Weight",
    "audit",
]
