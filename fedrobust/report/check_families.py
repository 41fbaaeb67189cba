"""The checks of an audit by the question that they answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fedrobust.runs.record import FindingRecord

FAMILIES = {
    "Does the model do its task, without and under attack?": (
        "collapsed classifier",
        "robust accuracy",
        "control",
    ),
    "Are the images a fair test?": ("selected test data", "too few images"),
    "Are the model's answers those that will be used?": (
        "stochastic defence",
        "BatchNorm",
        "not realisable",
        "gradient masking: int8 file beats its float model",
    ),
    "Do gradients show the attacks the way?": (
        "vanishing gradient",
        "obfuscated gradients",
        "gradient masking",
    ),
    "Were the attacks strong enough?": ("failing attack", "black-box attacks", "unseen attack"),
    "Did the training learn the attack instead of the task?": ("label leaking", "catastrophic overfitting"),
}
"""Question -> how the names of its checks begin; the longest beginning decides."""

OTHERS = "Further checks"

URGENCY = ("failed", "not made", "passed", "not applicable")
"""The outcomes, most urgent first."""


@dataclass(frozen=True)
class CheckFamily:
    """The checks that answer one question, the most urgent first."""

    question: str
    checks: Sequence[FindingRecord]

    @property
    def outcome(self) -> str:
        """The most urgent outcome of its checks."""
        return self.checks[0].outcome

    @property
    def counted(self) -> str:
        """The number of checks of each outcome, as text."""
        counts = {outcome: sum(one.outcome == outcome for one in self.checks) for outcome in URGENCY}
        return ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if n)


def urgency(check: FindingRecord) -> int:
    """Return the place of a check's outcome: failed ones come first, as do outcomes of other versions."""
    return URGENCY.index(check.outcome) if check.outcome in URGENCY else 0


def family_of(check: str) -> str:
    """Return the question that a check answers, by its name.

    Example:
        >>> family_of("gradient masking: single step beats iterations")
        'Do gradients show the attacks the way?'
    """
    found = [
        (len(start), name) for name, starts in FAMILIES.items() for start in starts if check.startswith(start)
    ]
    return max(found, default=(0, OTHERS))[1]


def check_families(checks: Iterable[FindingRecord]) -> list[CheckFamily]:
    """Return the checks by family: families and checks with the most urgent outcomes first."""
    groups: dict[str, list[FindingRecord]] = {name: [] for name in (*FAMILIES, OTHERS)}
    for one in checks:
        groups[family_of(one.check)].append(one)
    families = [CheckFamily(name, sorted(group, key=urgency)) for name, group in groups.items() if group]
    return sorted(families, key=lambda family: urgency(family.checks[0]))
