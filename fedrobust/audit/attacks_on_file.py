"""Attacks on an exported file: what stands under the worst of them, beside the model that it came from."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.result import Result
from fedrobust.evasion import StraightThrough, Transfer
from fedrobust.evasion.models.bound import through_roundings

MOST_QUERIES = 300
"""Of an attack by queries: the file is run on one thread."""

PGD = "straight-through PGD"
"""Name of the attack that both the file and its model are under along the same gradient."""

MASKED = 0.02
"""Share of the images by which a file may be more robust than its model under PGD."""


@dataclass(frozen=True)
class FileUnderAttack:
    """The accuracy of an exported file under attack.

    Attributes:
        name: of the file.
        right: number of images that it classifies correctly under each attack.
        worst: the same under every attack.
        float_right: of the model that it came from, under those attacks that need no transfer.
        n: number of images.
    """

    name: str
    right: dict[str, int]
    worst: int
    float_right: dict[str, int]
    n: int

    @property
    def masked(self) -> bool:
        """Whether the file is more robust than its model under PGD: rounding hides its gradient."""
        return (self.right[PGD] - self.float_right[PGD]) / self.n > MASKED

    def details(self) -> dict[str, Any]:
        """Return the figures by attack as plain data."""
        return {"right": self.right, "float": self.float_right, "n": self.n}


def attacks_on_file(suite: AttackSuite) -> FileUnderAttack:
    """Attack the exported file of an audited model in four ways.

    Adversaries of the float model (transfer); PGD that follows the float model's gradient at what the file answers: its
    straight-through twin (BPDA); Square by the file's logits; and RayS (in l2 HopSkipJump) by its answers alone, which
    rounding does not blunt. Roundings of the float model itself, such as those of JPEG before it, are followed, too.

    Source: Bernhard et al. (2019), arXiv:1909.12741 (transfer between float and quantised); Athalye et al. (2018),
    arXiv:1802.00420 (BPDA); Chen and Gu (2020), arXiv:2006.12792 (RayS).

    Args:
        suite: of a differentiable model with an exported file.
    """
    audited, cache = suite.cache.audited, suite.cache
    if audited.edge is None:
        raise ValueError("no exported file was given")
    name, edge = audited.edge
    queries = min(MOST_QUERIES, cache.plan.queries)
    square = f"square(queries={queries})"
    decisions, decision = "RayS", f"rays(queries={queries})"
    if cache.plan.threat.norm != "linf":
        decisions, decision = "HopSkipJump", f"hop-skip-jump(queries={queries})"
    guide = through_roundings(audited.target)
    pgd = suite.pgd
    if guide is not audited.target:
        pgd = cache.run(suite.plain, target=cache.averaged(guide), of="through roundings")
    runs: dict[str, Result] = {
        "float transfer": cache.run(Transfer(surrogate=guide), target=edge, of=f"file {name}"),
        PGD: cache.run(suite.plain, target=StraightThrough(edge, guide), of=f"file {name}, straight through"),
        "Square": cache.run(square, target=edge, of=f"file {name}"),
        decisions: cache.run(decision, target=edge, of=f"file {name}"),
    }
    stands = {attack: ~result.success[0] for attack, result in runs.items()}
    return FileUnderAttack(
        name=name,
        right={attack: int(each.sum()) for attack, each in stands.items()},
        worst=int(np.all(list(stands.values()), axis=0).sum()),
        float_right={
            PGD: int((~pgd.success[0]).sum()),
            "Square": int((~cache.run(square).success[0]).sum()),
        },
        n=len(audited),
    )
