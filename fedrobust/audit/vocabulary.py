"""An audit's evidence in the terms of standards: NIST AI 100-2e2025, MITRE ATLAS, Article 15 of the AI Act.

The terms are there to find the evidence by. They state neither conformity nor completeness.

Sources: Vassilev et al. (2025), Adversarial machine learning: a taxonomy and terminology of attacks and mitigations,
NIST AI 100-2e2025, doi:10.6028/NIST.AI.100-2e2025 (index of attacks on predictive AI); MITRE ATLAS 5.6.0 (techniques);
Regulation (EU) 2024/1689, Article 15; ISO/IEC TR 24029-1:2021 (statistical, formal and empirical methods).
"""

from collections.abc import Sequence

from fedrobust.audit.result import Result
from fedrobust.runs.record.card import EvidenceRecord

EVADE = "AML.T0015 Evade AI Model"

WITHOUT_ATTACK = EvidenceRecord(
    about="scores without an attack, with 95 % intervals and the figures of a constant classifier",
    keys=("clean", "predictions.clean", "classes"),
    method="statistical",
    ai_act=("15(1)", "15(3)"),
)

WITH_GRADIENTS = EvidenceRecord(
    about="attacks with the model's gradients",
    keys=("attacked", "predictions.attacked", "standing", "classes", "robust", "broken-by", "attacks"),
    method="empirical",
    nist=("NISTAML.022 Evasion",),
    atlas=("AML.T0043.000 White-Box Optimization", EVADE),
    ai_act=("15(5)",),
)

BY_QUERIES = EvidenceRecord(
    about="attacks by queries alone",
    keys=("attacked", "predictions.attacked", "standing", "classes", "broken-by", "attacks"),
    method="empirical",
    nist=("NISTAML.025 Black-box Evasion",),
    atlas=("AML.T0043.001 Black-Box Optimization", EVADE),
    ai_act=("15(5)",),
)

BY_TRANSFER = EvidenceRecord(
    about="attacks on a surrogate model, transferred",
    keys=BY_QUERIES.keys,
    method="empirical",
    nist=("NISTAML.025 Black-box Evasion",),
    atlas=("AML.T0005 Create Proxy AI Model", "AML.T0043.002 Black-Box Transfer", EVADE),
    ai_act=("15(5)",),
)

CHECKS = EvidenceRecord(
    about="checks of the attacks' strength, and of BatchNorm statistics, 8-bit images and the int8 file",
    keys=("checks",),
    method="empirical",
    ai_act=("15(4)", "15(5)"),
)


def evidence(results: Sequence[Result]) -> tuple[EvidenceRecord, ...]:
    """Return the kinds of evidence in a card, by the attacks that were made.

    No figure of a card is formal: an attack that fails proves nothing about other images and other attacks.

    Args:
        results: of all attacks.
    """
    transferred = [one for one in results if one.name.startswith("transfer")]
    others = [one for one in results if one not in transferred]
    kinds = (
        (WITH_GRADIENTS, any(one.gradients > 0 for one in others)),
        (BY_QUERIES, any(one.gradients == 0 for one in others)),
        (BY_TRANSFER, bool(transferred)),
    )
    return (WITHOUT_ATTACK, *(kind for kind, there in kinds if there), CHECKS)
