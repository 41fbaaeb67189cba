"""Attacks on privacy: what models and updates tell of the images that they were trained on."""

from fedrobust.leakage.confidence import confidence
from fedrobust.leakage.contract import (
    LEAKAGE,
    Evidence,
    LeakageAttack,
    MembershipAttack,
    leakage_attack_named,
)

__all__ = [
    "LEAKAGE",
    "Evidence",
    "LeakageAttack",
    "MembershipAttack",
    "confidence",
    "leakage_attack_named",
]
