"""The contract of poisoning attacks, and their registry.

An attack is a frozen dataclass of settings. Its traits are the methods that it has:

``data(images, labels, scene)``
    returns other images and labels for a malicious client to train on.
``update(update, scene)``
    returns another update for a malicious client to send.
``coalition(honest, scene)``
    returns what all malicious clients send, knowing the honest ones' updates: one update, or one each.
``training(scene)``
    returns settings of ``[training]`` that a malicious client changes.
``claim(examples)``
    returns the number of images that a malicious client says it has.
``goal(split, scene)``
    returns the images by which success is measured, and the answers that the attacker wants; ``aims = False`` where
    it has none after all.
``require(problem, image_size)``
    raises ValueError where the attack does not fit the images, their classes, or the side that the network sees.
``remarks(scene)``
    returns sentences that a user should read before the study begins.

And what decides whether it can be added to others (``"pixel-backdoor + scaling"``), see `fedrobust.poisoning.sums`:

``trains = False``
    its clients do not train at all.
``untaught = True``
    what they learnt does not reach their update.
``replaces = True``
    its ``update`` does not depend on the update that it is given.
``final = True``
    no later ``update`` changes what it sends.
``refused = True``
    servers refuse what it sends.
``uses_own = True``
    its ``coalition`` depends on what its members would have sent (``scene.own``).

An attack with the setting ``statistics = "same"`` does to BatchNorm's statistics what it does to weights.
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
    """What an attack asks of a data set."""

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
        """Whether malicious clients look at the honest ones' updates."""
        return any(hasattr(part, "coalition") for part in self.parts)

    def data(
        self, images: np.ndarray, labels: np.ndarray, scene: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what a malicious client trains on: uint8 images (n, height, width, channels) and labels (n,)."""
        for part in self._having("data"):
            images, labels = part.data(images, labels, scene)
        return np.ascontiguousarray(images, np.uint8), np.asarray(labels, np.int32)

    def update(self, update: np.ndarray, scene: AttackContext) -> np.ndarray:
        """Return what a malicious client sends instead of `update` (d,) float32."""
        for part in self._having("update"):
            update = part.update(update, scene)
        return np.asarray(update, np.float32)

    def statistics(self, own: np.ndarray, scene: AttackContext) -> np.ndarray:
        """Return what a malicious client sends as BatchNorm statistics, `own` (s,) float32 being what it measured.

        Parts with ``statistics = "same"`` do to them what they do to weights. A variance that would be negative becomes
        0: servers refuse others.
        """
        acting = [part for part in self._having("update") if getattr(part, "statistics", None) == "same"]
        if not acting or scene.statistics is None or not own.size:
            return own
        change, scene = own - scene.statistics, replace(scene, current=scene.statistics)
        for part in acting:
            change = np.asarray(part.update(change, scene), np.float32)
        sent = scene.statistics + change
        sent[scene.variances] = np.maximum(sent[scene.variances], 0)
        return sent

    def coalition(self, honest: Updates, scene: CollusionContext) -> np.ndarray:
        """Return what malicious clients send that see the `honest` updates: (d,) or (malicious, d)."""
        (part,) = self._having("coalition")
        # What overshoots float32 is sent as its largest number: see `server.aggregation_step`.
        with np.errstate(over="ignore", invalid="ignore"):
            sent: np.ndarray = part.coalition(honest, scene)
        return sent

    def training(self, scene: AttackContext) -> Mapping[str, Any]:
        """Return the settings of ``[training]`` that a malicious client changes."""
        changed: dict[str, Any] = {}
        for part in self._having("training"):
            changed.update(part.training(scene))
        return changed

    def claim(self, examples: int) -> int:
        """Return how many images a malicious client says it has."""
        for part in self._having("claim"):
            examples = part.claim(examples)
        return int(examples)

    def goal(self, split: Split, scene: AttackContext) -> Goal | None:
        """Return how to see success on the images of `split`, None where the attacker wants nothing in particular."""
        return next((part.goal(split, scene) for part in self._having("goal")), None)

    def require(self, problem: Problem, image_size: int) -> None:
        """Refuse images that this attack does not fit.

        Args:
            problem: the images of the study, as they are stored, and their classes.
            image_size: side that the network resizes them to; 0 if it takes them as they are.

        Raises:
            ValueError: a class or a trigger lies outside of them, or nothing of a trigger is left after resizing.
        """
        for part in self._having("require"):
            part.require(problem, image_size)

    def remarks(self, scene: AttackContext) -> list[str]:
        """Return what a user should know of this attack among these numbers of clients before the study begins."""
        return [remark for part in self._having("remarks") for remark in part.remarks(scene)]

    def _having(self, trait: str) -> Iterable[Any]:
        return (part for part in self.parts if hasattr(part, trait))


TRAITS = ("data", "update", "coalition", "training", "claim")


def name_of(part: Any) -> str:
    """Return what an attack is registered as, else what its class is called."""
    kind = type(part)
    return next((name for name, member in POISONING.members.items() if member is kind), kind.__name__)


def require_class(part: Any, setting: str, problem: Problem) -> None:
    """Refuse a class that the data set has not got.

    Args:
        part: an attack.
        setting: its setting that holds the number of a class.
        problem: the study's images and classes.

    Raises:
        ValueError: that number is none of a class.
    """
    number = getattr(part, setting)
    if not 0 <= number < problem.classes:
        raise ValueError(f"{setting} = {number}: the data set has classes 0 to {problem.classes - 1}")
