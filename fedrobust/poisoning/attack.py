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
    returns the images by which success is measured, and the answers that the attacker wants.

An attack whose clients do not train at all has ``trains = False``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.data.dataset import Split
from fedrobust.registry import Registry
from fedrobust.spec import SpecError, build, split_sum

POISONING = Registry("poisoning attack")

Perturb = Callable[..., np.ndarray]
"""``perturb(images, labels, epsilon, steps, step_size, random_start, ascend)``: uint8 images moved by the gradient of
the global model's loss, as uint8."""


def _no_model(*_: Any, **__: Any) -> np.ndarray:
    raise SpecError("this attack needs the global model's gradients: it runs in a study only")


@dataclass(frozen=True, eq=False)
class Scene:
    """What a malicious client knows.

    Attributes:
        partition: which client it is.
        rank: its place among the malicious clients, from 0.
        malicious: how many of them there are.
        clients: how many clients take part in a round.
        classes: of the data set.
        round: from 1.
        seed: the study's, for what all malicious clients have to agree on.
        fixed: draws the same in every round.
        generator: draws for this round.
        current: the global weights (d,) float32.
        perturb: moves images by the gradient of the global model.
    """

    partition: int = 0
    rank: int = 0
    malicious: int = 1
    clients: int = 1
    classes: int = 2
    round: int = 1
    seed: int = 0
    fixed: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    generator: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    current: np.ndarray | None = None
    perturb: Perturb = _no_model


@dataclass(frozen=True, eq=False)
class Conspiracy:
    """What the malicious clients of a round know together: everything.

    Attributes:
        own: what they would have sent had they been honest, (malicious, d).
        clients: how many updates the server has.
        tolerated: how many malicious clients its defence reckons with.
        generator: draws for this round.
        outcome: returns the server's aggregate (d,) if they all sent the given update (d,).
    """

    own: Updates
    clients: int
    tolerated: int
    generator: np.random.Generator
    outcome: Callable[[np.ndarray], np.ndarray]

    @property
    def malicious(self) -> int:
        """How many of the updates are theirs."""
        return len(self.own)


@dataclass(frozen=True, eq=False)
class Goal:
    """How to see whether an attack succeeded.

    Attributes:
        images: uint8 (n, height, width, channels), as the attacker would present them.
        plain: the same images without what the attacker adds, to see what the model answers anyway.
        wanted: (n,) the answer that the attacker wants for each.
    """

    images: np.ndarray
    plain: np.ndarray
    wanted: np.ndarray


@dataclass(frozen=True)
class Attack:
    """One attack, or several together: ``"pixel-backdoor + scaling(factor=5)"``.

    Attributes:
        parts: in the order in which they act.
    """

    parts: tuple[Any, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Attack":
        """Return the attack that a study names; ``none`` has no parts.

        Raises:
            SpecError, UnknownNameError: a name or a setting is wrong, or the thing named is no attack.
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
    def conspires(self) -> bool:
        """Whether malicious clients look at the honest ones' updates."""
        return any(hasattr(part, "coalition") for part in self.parts)

    def data(self, images: np.ndarray, labels: np.ndarray, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
        """Return what a malicious client trains on: uint8 images (n, height, width, channels) and labels (n,)."""
        for part in self._having("data"):
            images, labels = part.data(images, labels, scene)
        return np.ascontiguousarray(images, np.uint8), np.asarray(labels, np.int32)

    def update(self, update: np.ndarray, scene: Scene) -> np.ndarray:
        """Return what a malicious client sends instead of `update` (d,) float32."""
        for part in self._having("update"):
            update = part.update(update, scene)
        return np.asarray(update, np.float32)

    def coalition(self, honest: Updates, scene: Conspiracy) -> np.ndarray:
        """Return what malicious clients send that see the `honest` updates: (d,) or (malicious, d)."""
        (part,) = list(self._having("coalition"))[-1:]
        sent: np.ndarray = part.coalition(honest, scene)
        return sent

    def training(self, scene: Scene) -> Mapping[str, Any]:
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

    def goal(self, split: Split, scene: Scene) -> Goal | None:
        """Return how to see success on the images of `split`, None where the attacker wants nothing in particular."""
        return next((part.goal(split, scene) for part in self._having("goal")), None)

    def _having(self, trait: str) -> Iterable[Any]:
        return (part for part in self.parts if hasattr(part, trait))


TRAITS = ("data", "update", "coalition", "training", "claim")
