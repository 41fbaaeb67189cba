"""Which attacks can be added to each other, and why others cannot.

The parts of a sum act one after another: all ``data``, the training, all ``update``, then the ``coalition``. A part
whose work a later one throws away would be named in the study's results without having done anything: it is refused.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

from fedrobust.spec import SpecError

Named = tuple[str, Any]
"""What a part is called, and the part."""


def check_sum(parts: Sequence[Named]) -> None:
    """Refuse a sum in which one part would undo another.

    Args:
        parts: in the order in which they act, with their names.

    Raises:
        SpecError: it names two parts, and why they cannot act together.
    """
    for first, second in combinations(parts, 2):
        for reason in REASONS:
            if said := reason(first, second):
                raise SpecError(f'"{first[0]} + {second[0]}": {said}; choose one of them')


def _twice(first: Named, second: Named) -> str:
    return "it is the same attack twice" if type(first[1]) is type(second[1]) else ""


def _refused(first: Named, second: Named) -> str:
    for (name, part), (other, _) in ((first, second), (second, first)):
        if getattr(part, "refused", False):
            return f"servers refuse what {name} sends, so that nothing of {other} arrives"
    return ""


def _coalitions(first: Named, second: Named) -> str:
    if not _both(first, second, "coalition"):
        return ""
    return "each says what all malicious clients send, and only one of them can be sent"


def _coalition_and_own(first: Named, second: Named) -> str:
    for (name, coalition), (other, part) in ((first, second), (second, first)):
        if not hasattr(coalition, "coalition") or getattr(coalition, "uses_own", False):
            continue
        if _learns(part) or hasattr(part, "update"):
            return f"{name} sends what it computes from the honest clients' updates, so that nothing of {other} is sent"
    return ""


def _learnt_for_nothing(first: Named, second: Named) -> str:
    for (name, taught), (other, part) in ((first, second), (second, first)):
        if not _learns(taught):
            continue
        if not getattr(part, "trains", True):
            return f"{other} does not train, so that {name} changes nothing"
        if getattr(part, "untaught", False):
            return f"{other} sends nothing of what was learnt, so that {name} changes nothing"
    return ""


def _overwritten(first: Named, second: Named) -> str:
    if not _both(first, second, "update"):
        return ""
    if getattr(second[1], "replaces", False):
        return f"{second[0]} sends the same whatever {first[0]} did before"
    if getattr(first[1], "final", False):
        return f"{second[0]} cannot change what {first[0]} sends"
    return ""


def _recipes(first: Named, second: Named) -> str:
    return "each changes how malicious clients train" if _both(first, second, "training") else ""


def _goals(first: Named, second: Named) -> str:
    both = _both(first, second, "goal") and all(getattr(part, "aims", True) for _, part in (first, second))
    return "each wants other answers of the model, and success is measured of one" if both else ""


def _both(first: Named, second: Named, trait: str) -> bool:
    return hasattr(first[1], trait) and hasattr(second[1], trait)


def _learns(part: Any) -> bool:
    return hasattr(part, "data") or hasattr(part, "training")


REASONS: tuple[Callable[[Named, Named], str], ...] = (
    _twice,
    _refused,
    _coalitions,
    _coalition_and_own,
    _learnt_for_nothing,
    _overwritten,
    _recipes,
    _goals,
)
"""Each returns why the first part cannot stand before the second, "" if it can."""
