"""The combinations of attacks that are allowed.

The parts of a sum act in the order: all ``data``, the training, all ``update``, then ``collude``. A part without
effect, because a later one discards its result, is refused: the results would name an attack that did not act.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from fedrobust.spec import SpecError

Named = tuple[str, Any]
"""The name of a part, and the part."""


def check_sum(parts: Sequence[Named]) -> None:
    """Refuse a sum in which one part cancels another.

    Args:
        parts: in the order in which they act, with their names.

    Raises:
        SpecError: two parts cannot be combined.
    """
    for first, second in combinations(parts, 2):
        for reason in REASONS:
            if said := reason(first, second):
                raise SpecError(f'"{first[0]} + {second[0]}": {said}; choose one of them')


def _control(first: Named, second: Named) -> str:
    for name, part in (first, second):
        if getattr(part, "is_control", False):
            return f"{name} with share=0 is a control, whose updates are honest, and goes alone"
    return ""


def _twice(first: Named, second: Named) -> str:
    return "it is the same attack twice" if type(first[1]) is type(second[1]) else ""


def _refused(first: Named, second: Named) -> str:
    for (name, part), (other, _) in ((first, second), (second, first)):
        if getattr(part, "refused", False):
            return f"the server refuses what {name} sends, so that {other} has no effect"
    return ""


def _colluding(first: Named, second: Named) -> str:
    if not _both(first, second, "collude"):
        return ""
    return "each replaces the updates of all malicious clients"


def _colluding_and_own(first: Named, second: Named) -> str:
    for (name, colluder), (other, part) in ((first, second), (second, first)):
        if not hasattr(colluder, "collude") or getattr(colluder, "uses_own", False):
            continue
        if _learns(part) or hasattr(part, "update"):
            return f"{name} computes its updates from the honest clients', so that {other} has no effect"
    return ""


def _learnt_for_nothing(first: Named, second: Named) -> str:
    for (name, taught), (other, part) in ((first, second), (second, first)):
        if not _learns(taught):
            continue
        if not getattr(part, "trains", True):
            return f"{other} does not train, so that {name} has no effect"
        if getattr(part, "discards_training", False):
            return f"{other} discards the trained weights, so that {name} has no effect"
    return ""


def _overwritten(first: Named, second: Named) -> str:
    if not _both(first, second, "update"):
        return ""
    if getattr(second[1], "replaces", False):
        return f"{second[0]} ignores the update of {first[0]}"
    if getattr(first[1], "final", False):
        return f"{second[0]} has no effect on the update of {first[0]}"
    return ""


def _recipes(first: Named, second: Named) -> str:
    return "each changes how malicious clients train" if _both(first, second, "training") else ""


def _guides(first: Named, second: Named) -> str:
    return "each makes its own local updates" if _both(first, second, "train") else ""


def _criteria(first: Named, second: Named) -> str:
    both = _both(first, second, "criterion") and all(
        getattr(part, "targeted", True) for _, part in (first, second)
    )
    return "each has a target of its own, and success is measured for one only" if both else ""


def _both(first: Named, second: Named, trait: str) -> bool:
    return hasattr(first[1], trait) and hasattr(second[1], trait)


def _learns(part: Any) -> bool:
    return any(hasattr(part, trait) for trait in ("data", "training", "train"))


REASONS: tuple[Callable[[Named, Named], str], ...] = (
    _control,
    _twice,
    _refused,
    _colluding,
    _colluding_and_own,
    _learnt_for_nothing,
    _overwritten,
    _recipes,
    _guides,
    _criteria,
)
"""Each returns the reason why two parts cannot be combined in this order, "" if they can."""
