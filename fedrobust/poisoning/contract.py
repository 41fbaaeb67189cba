"""The contract of poisoning attacks, and their registry.

An attack is a frozen dataclass of settings that has one or more of these methods:

``data(images, labels, context)``
    returns the images and labels that a malicious client trains on.
``update(update, context)``
    returns the update that a malicious client sends instead of its own.
``collude(honest, context)``
    returns the updates of all malicious clients, given those of the honest ones: one update (d,), or one each.
``training(context)``
    returns the settings of ``[training]`` that a malicious client changes.
``claim(examples)``
    returns the number of images that a malicious client reports.
``claimed_loss(loss)``
    returns the training loss that a malicious client reports; ``loss`` is its own, NaN if it did not train.
``criterion(split, context)``
    returns the success criterion of a targeted attack: images, and the class that the attacker wants each of them to
    be classified as. With the attribute ``targeted = False`` the attack counts as untargeted.
``require(problem, image_size)``
    raises ValueError where the attack does not fit the images, their classes, or the network's image size.
``remarks(context)``
    returns warnings that the user sees before the study begins.

Class attributes that decide whether it can be combined with others (``"pixel-backdoor + scaling"``), see
`fedrobust.poisoning.sums`:

``trains = False``
    malicious clients do not train.
``discards_training = True``
    the trained weights do not enter the update.
``replaces = True``
    its ``update`` ignores its argument.
``final = True``
    a later ``update`` has no effect on its result.
``refused = True``
    the server rejects its replies.
``uses_own = True``
    its ``collude`` depends on the malicious clients' own updates (``context.own``).

An attack with the setting ``statistics = "same"`` is applied to BatchNorm statistics as to weights.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.data.dataset import Split
from fedrobust.poisoning.context import AttackContext, CollusionContext, SuccessCriterion
from fedrobust.poisoning.sums import check_sum
from fedrobust.registry import Registry
from fedrobust.spec import SpecError, build, split_sum

POISONING = Registry("poisoning attack", "fedrobust.poisoning")


class Problem(Protocol):
    """The data set's properties that attacks depend on."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images."""
        ...

    @property
    def classes(self) -> int:
        """Number of classes."""
        ...


@dataclass(frozen=True)
class Attack:
    """One attack, or a combination of several: ``"pixel-backdoor + scaling(factor=5)"``.

    Attributes:
        parts: in the order in which they act.

    Raises:
        SpecError: two parts cannot be combined, or one has a former name of a method.

    Example:
        >>> Attack.parse("sign-flip(scale=2)").update(np.array([1.0, -3.0], np.float32), AttackContext()).tolist()
        [-2.0, 6.0]
    """

    parts: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        for part in self.parts:
            _refuse_former_names(part)
        check_sum([(name_of(part), part) for part in self.parts])

    @classmethod
    def parse(cls, text: str) -> "Attack":
        """Return the attack that a study names; ``none`` has no parts.

        Raises:
            SpecError, UnknownNameError: a name or a setting is wrong, the class has no method or a former name of one,
                or two parts cannot be combined.
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

    def claimed_loss(self, loss: float) -> float:
        """Return the training loss that a malicious client claims; its own is NaN if it did not train."""
        for part in self._having("claimed_loss"):
            loss = part.claimed_loss(loss)
        return float(loss)

    def criterion(self, split: Split, context: AttackContext) -> SuccessCriterion | None:
        """Return the success criterion on the images of `split`; None where the attack is untargeted."""
        return next((part.criterion(split, context) for part in self._having("criterion")), None)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse images that this attack does not fit.

        Args:
            problem: shape of the stored images, and number of classes.
            image_size: side in pixels that the network resizes them to; 0: no resizing.

        Raises:
            ValueError: there is no such class, a trigger lies outside of the image, or resizing removes it.
        """
        for part in self._having("require"):
            part.require(problem, image_size)

    def remarks(self, context: AttackContext) -> list[str]:
        """Return warnings that the user sees before the study begins: an attack too weak for so many clients."""
        return [remark for part in self._having("remarks") for remark in part.remarks(context)]

    def _having(self, trait: str) -> Iterable[Any]:
        return (part for part in self.parts if hasattr(part, trait))


TRAITS = ("data", "update", "collude", "training", "claim", "claimed_loss")
FORMER_NAMES = {
    "coalition": "collude",
    "goal": "criterion",
    "aims": "targeted",
    "untaught": "discards_training",
}
"""Names that methods and class attributes of attacks had in earlier versions, and their present names."""


def _refuse_former_names(part: Any) -> None:
    """Refuse an attack with a former name of a method or attribute, which would have no effect."""
    settings = getattr(part, "__dataclass_fields__", {})
    for former, present in FORMER_NAMES.items():
        if hasattr(part, former) and former not in settings:
            raise SpecError(
                f"{name_of(part)}: `{former}` has no effect: it is called `{present}` now; rename it"
            )


def name_of(part: Any) -> str:
    """Return the registered name of an attack, else the name of its class."""
    kind = type(part)
    return next((name for name, member in POISONING.members.items() if member is kind), kind.__name__)


def require_class(part: Any, setting: str, problem: Problem) -> None:
    """Refuse a class number that the data set does not have.

    Args:
        part: an attack.
        setting: name of its setting that holds the number.
        problem: the data set's properties.

    Raises:
        ValueError: the number is not from 0 to classes - 1.
    """
    number = getattr(part, setting)
    if not 0 <= number < problem.classes:
        raise ValueError(f"{setting} = {number}: the data set has classes 0 to {problem.classes - 1}")
