"""The one-run audit of differential privacy, as a registered attack."""

from dataclasses import dataclass

from fedrobust.leakage.contract import LEAKAGE, AuditAttack


@LEAKAGE.register("one-run-audit")
@dataclass(frozen=True, kw_only=True)
class OneRunAudit(AuditAttack):
    """Bound epsilon from below by canary clients or images (Steinke et al., 2023, arXiv:2305.08846, Algorithm 1).

    Canaries pass through the study's own mechanism, in as many rounds as it has: clients through the aggregation
    (`fedrobust.exposure.dp_audit`), images through DP-SGD at one hospital (`fedrobust.exposure.image_canaries`).
    The noise is measured beside: a claim too large for the bound to reach is refuted where its noise is missing.

    Attributes:
        canaries: each in the federation with probability one half; log(canaries / 3) is about the largest bound.
    """
