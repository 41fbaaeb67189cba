"""The contract of poisoning attacks, and their registry.

An attack is a frozen dataclass of settings. Its traits are the methods that it has:

``data(images, labels, context)``
    returns other images and labels for a malicious client to train on.
``update(update, context)``
    returns the update that a malicious client sends instead of its own.
``collude(honest, context)``
    returns the updates of all malicious clients, given those of the honest ones: one update, or one each.
``training(context)``
    returns settings of ``[training]`` that a malicious client changes.
``claim(examples)``
    returns the number of images that a malicious client claims.
``goal(split, context)``
    returns the images by which success is measured, and the predictions that the attacker wants; ``aims = False`` where
    the attack has no target after all.
``require(problem, image_size)``
    raises ValueError where the attack does not fit the images, their classes, or the side that the network sees.
``remarks(context)``
    returns warnings for the user before the study begins.

Class attributes that decide whether it can be combined with others (``"pixel-backdoor + scaling"``), see
`fedrobust.poisoning.sums`:

``trains = False``
    its clients do not train at all.
``untaught = True``
    the result of their training does not enter their update.
``replaces = True``
    its ``update`` ignores the update that it is given.
``final = True``
    a later ``update`` has no effect on it.
``refused = True``
    the server refuses its replies.
``uses_own = True``
    its ``collude`` depends on the members' own updates (``context.own``).

An attack with the setting ``statistics = "same"`` is applied to BatchNorm statistics as to weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, CollusionContext, Goal
from fedrobust.poisoning.sums import check_sum
from fedrobust.registry import Registry
from fedrobust.spec import SpecError, build, split_sum

POISONING = Registry("poisoning attack", "fedrobust.poisoning")


class Problem(Protocol):
    """The properties of a data set that attacks need."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        ...

    @property
    def classes(self) -> int:
        """How many classes there are."""
        ...


@dataclass(frozen=True)
class Attack:
    """One attack, or several together: ``"pixel-backdoor + scaling(factor=5)"``.

    Attributes:
        parts: in the order in which they act.
    """

    parts: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        check_sum([(name_of(part), part) for part in self.parts])

    @classmethod
    def parse(cls, text: str) -> "Attack":
        """Return the attack that a study names; ``none`` has no parts.

        Raises:
            SpecError, UnknownNameError: a name or a setting is wrong, the thing named is no attack, or one part would
                undo another.
        """
        names = [] if text.strip() == "none" else split_sum(text)
        parts = tuple(build(POISONING, name) for name in names)
        for name, part in zip(names, parts, strict=True):
            if not any(hasattr(part, trait) for trait in TRAITS):
                raise SpecError(f"{name}: a poisoning attack has one of the methods {', '.join(TRAITS)}")
        return cls(parts)

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def trains(self) -> bool:
        """Whether malicious clients train at all."""
        return all(getattr(part, "trains", True) for part in self.parts)

    @property
    def colludes(self) -> bool:
        """Whether malicious clients use the honest ones' updates."""
        return any(hasattr(part, "collude") for part in self.parts)

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the training data of a malicious client: uint8 images (n, height, width, channels) and labels (n,)."""
        for part in self._having("data"):
            images, labels = part.data(images, labels, context)
        return np.ascontiguousarray(images, np.uint8), np.asarray(labels, np.int32)

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the update that a malicious client sends instead of its own `update` (d,) float32."""
        for part in self._having("update"):
            update = part.update(update, context)
        return np.asarray(update, np.float32)

    def statistics(self, own: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the BatchNorm statistics that a malicious client sends; `own` (s,) float32 are those it measured.

        Parts with ``statistics = "same"`` are applied to them as to weights. Negative variances become 0, because the
        server refuses them.
        """
        acting = [part for part in self._having("update") if getattr(part, "statistics", None) == "same"]
        if not acting or context.statistics is None or not own.size:
            return own
        change, context = own - context.statistics, replace(context, current=context.statistics)
        for part in acting:
            change = np.asarray(part.update(change, context), np.float32)
        sent = context.statistics + change
        sent[context.variances] = np.maximum(sent[context.variances], 0)
        return sent

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return the updates of colluding clients, who know the `honest` ones: (d,) or (malicious, d)."""
        (part,) = self._having("collude")
        # Overflow of float32 becomes its largest number: see `server.aggregation_step`.
        with np.errstate(over="ignore", invalid="ignore"):
            sent: np.ndarray = part.collude(honest, context)
        return sent

    def training(self, context: AttackContext) -> Mapping[str, Any]:
        """Return the settings of ``[training]`` that a malicious client changes."""
        changed: dict[str, Any] = {}
        for part in self._having("training"):
            changed.update(part.training(context))
        return changed

    def claim(self, examples: int) -> int:
        """Return the number of images that a malicious client claims."""
        for part in self._having("claim"):
            examples = part.claim(examples)
        return int(examples)

    def goal(self, split: Split, context: AttackContext) -> Goal | None:
        """Return the success criterion on the images of `split`, None where the attack is untargeted."""
        return next((part.goal(split, context) for part in self._having("goal")), None)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse images that this attack does not fit.

        Args:
            problem: the images of the study, as they are stored, and their classes.
            image_size: side that the network resizes them to; 0 if it takes them as they are.

        Raises:
            ValueError: a class or a trigger lies outside of them, or resizing removes the trigger.
        """
        for part in self._having("require"):
            part.require(problem, image_size)

    def remarks(self, context: AttackContext) -> list[str]:
        """Return warnings for the user before the study begins: a weak attack among so many clients, say."""
        return [remark for part in self._having("remarks") for remark in part.remarks(context)]

    def _having(self, trait: str) -> Iterable[Any]:
        return (part for part in self.parts if hasattr(part, trait))


TRAITS = ("data", "update", "collude", "training", "claim")


def name_of(part: Any) -> str:
    """Return the registered name of an attack, else the name of its class."""
    kind = type(part)
    return next((name for name, member in POISONING.members.items() if member is kind), kind.__name__)


def require_class(part: Any, setting: str, problem: Problem) -> None:
    """Refuse a class that the data set has not got.

    Args:
        part: an attack.
        setting: its setting that holds the number of a class.
        problem: the study's images and classes.

    Raises:
        ValueError: the number is not that of a class.
    """
    number = getattr(part, setting)
    if not 0 <= number < problem.classes:
        raise ValueError(f"{setting} = {number}: the data set has classes 0 to {problem.classes - 1}")
