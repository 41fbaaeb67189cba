"""A study's poisoning attack: one registered attack, or a combination of several."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedrobust.aggregation.updates import Updates
from fedrobust.data.dataset import Split
from fedrobust.models.layout import Layout, Weights
from fedrobust.poisoning.context import AttackContext, CollusionContext, SuccessCriterion
from fedrobust.poisoning.contract import POISONING, Problem, name_of
from fedrobust.poisoning.memory import AttackMemory
from fedrobust.poisoning.sums import check_sum
from fedrobust.poisoning.update.finite import divided
from fedrobust.spec import SpecError, build, split_sum


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

    @property
    def probes(self) -> bool:
        """Whether malicious clients try what the defence makes of their updates before they send them."""
        return any(getattr(part, "probes", False) for part in self.parts)

    @property
    def adapts(self) -> bool:
        """Whether malicious clients learn the trigger, which their memory then holds."""
        return any(getattr(part, "adapts", False) for part in self.parts)

    @property
    def is_control(self) -> bool:
        """Whether it poisons nothing on purpose, as the control of another attack."""
        return any(getattr(part, "is_control", False) for part in self.parts)

    @property
    def poisons_statistics(self) -> bool:
        """Whether malicious clients send other BatchNorm statistics than they measured."""
        return bool(self._on_statistics)

    @property
    def _on_statistics(self) -> list[Any]:
        return [part for part in self._having("update") if getattr(part, "statistics", None) == "same"]

    @property
    def guides(self) -> bool:
        """Whether the attack makes its own local updates."""
        return any(hasattr(part, "train") for part in self.parts)

    @property
    def steers(self) -> bool:
        """Whether its local updates take masks."""
        return any(getattr(part, "steers", False) for part in self.parts)

    def train(self, start: Weights, context: AttackContext) -> Weights:
        """Return the weights after the local updates of an attack that ``guides``, from `start`."""
        (part,) = self._having("train")
        target = next((int(each.target) for each in self._having("criterion") if hasattr(each, "target")), 0)
        trained: Weights = part.train(start, replace(context, target=target))
        return trained

    @property
    def keeps(self) -> frozenset[str]:
        """What malicious clients keep of a round: ``weights``, ``update``, or both."""
        return frozenset(name for part in self.parts for name in getattr(part, "keeps", ()))

    @property
    def remembers(self) -> bool:
        """Whether malicious clients have a memory."""
        return bool(self.keeps) or any(hasattr(part, "prepare") for part in self.parts)

    def prepared(self, context: AttackContext) -> AttackContext:
        """Return `context` with what the attack keeps from this round on."""
        own = dict(context.memory.own)
        for part in self._having("prepare"):
            own.update(part.prepare(context))
        return replace(context, memory=replace(context.memory, own=own))

    def kept(self, context: AttackContext, weights: np.ndarray, update: np.ndarray) -> AttackMemory:
        """Return the memory for the next round.

        Args:
            context: of this round, prepared if the client attacks in it.
            weights: the global weights (d,).
            update: the update (d,) that the client sends.
        """
        return AttackMemory(
            context.round,
            weights if "weights" in self.keeps else None,
            update if "update" in self.keeps else None,
            context.memory.own,
        )

    def data(
        self, images: np.ndarray, labels: np.ndarray, context: AttackContext
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the training data of a malicious client: uint8 images (n, height, width, channels) and labels (n,)."""
        for part in self._having("data"):
            images, labels = part.data(images, labels, context)
        return np.ascontiguousarray(images, np.uint8), np.asarray(labels, np.int32)

    def update(self, update: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the update that a malicious client sends instead of its own `update` (d,) float32.

        What a part that does not train makes of the global weights is divided by ``context.divisor``; the client's own
        update is already.
        """
        for part in self._having("update"):
            update = np.asarray(part.update(update, context), np.float32)
            if not getattr(part, "trains", True):
                update = divided(update, context.divisor)
        return np.asarray(update, np.float32)

    def statistics(self, own: np.ndarray, context: AttackContext) -> np.ndarray:
        """Return the BatchNorm statistics that a malicious client sends; `own` (s,) float32 are those it measured.

        Parts with ``statistics = "same"`` are applied to them as to weights, and to second moments in place of
        variances if the server averages those. Negative variances become 0, because the server refuses them.

        Example:
            >>> places = {"means": np.array([0]), "variances": np.array([1])}
            >>> context = AttackContext(statistics=np.array([1, 4], np.float32), **places)
            >>> Attack.parse("sign-flip(scale=1, statistics='same')").statistics(np.array([2, 3], np.float32), context)
            array([0., 3.], dtype=float32)
        """
        if not self.poisons_statistics or context.statistics is None or not own.size:
            return own
        before = _moments(context.statistics, context)
        change = _moments(own, context) - before
        context = replace(context, current=before, memory=AttackMemory())
        for part in self._on_statistics:
            change = np.asarray(part.update(change, context), np.float32)
        sent = before + change
        if context.means.size:
            sent[context.variances] -= sent[context.means] ** 2
        sent[context.variances] = np.maximum(sent[context.variances], 0)
        return np.asarray(sent, np.float32)

    def collude(self, honest: Updates, context: CollusionContext) -> np.ndarray:
        """Return the updates of colluding clients, who know the `honest` ones: (d,) or (malicious, d)."""
        (part,) = self._having("collude")
        poisoned = any(hasattr(one, trait) for one in self.parts for trait in POISONS)
        context = replace(context, poisoned=poisoned)
        # Overflow of float32 becomes its largest number: see `server.aggregation_step`.
        with np.errstate(over="ignore", invalid="ignore"):
            sent: np.ndarray = part.collude(honest, context)
        return sent

    def agreed(self, honest: Updates, context: CollusionContext) -> Mapping[str, np.ndarray]:
        """Return what colluding clients keep from this round on, by name; for the arguments see `collude`."""
        return {
            name: array
            for part in self._having("agree")
            for name, array in part.agree(honest, context).items()
        }

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
        for part in self.parts:
            trait = getattr(part, "accompanies", "")
            if trait and not any(_poisons(other, trait) for other in self.parts):
                raise ValueError(f'it needs {COMPANIONS[trait]}, as in "pixel-backdoor + {name_of(part)}"')
        for part in self._having("require"):
            part.require(problem, image_size)

    def fits_layout(self, layout: Layout) -> None:
        """Refuse a model that this attack does not fit.

        Args:
            layout: of the weights that are trained.

        Raises:
            SpecError: the attack needs weights that it has not.
        """
        for part in self._having("fits_layout"):
            part.fits_layout(layout)

    def remarks(self, context: AttackContext) -> list[str]:
        """Return warnings that the user sees before the study begins: an attack too weak for so many clients."""
        return [remark for part in self._having("remarks") for remark in part.remarks(context)]

    def _having(self, trait: str) -> Iterable[Any]:
        return (part for part in self.parts if hasattr(part, trait))


TRAITS = ("data", "update", "collude", "training", "train", "claim", "claimed_loss")
POISONS = ("data", "training", "train", "update")
"""Methods that make what a malicious client sends by itself."""
FORMER_NAMES = {
    "coalition": "collude",
    "goal": "criterion",
    "aims": "targeted",
    "untaught": "discards_training",
}
"""Names that methods and class attributes of attacks had in earlier versions, and their present names."""


COMPANIONS = {"data": "an attack that poisons images", "criterion": "a backdoor or another targeted attack"}
"""What an attack goes with, by the method that it needs."""


def _moments(statistics: np.ndarray, context: AttackContext) -> np.ndarray:
    """Return `statistics` (s,) with second moments in place of variances if the server averages those."""
    if not context.means.size:
        return statistics
    # In float64, as the variance is a small difference of moments where the mean is large.
    moments = statistics.astype(np.float64)
    moments[context.variances] += moments[context.means] ** 2
    return moments


def _poisons(part: Any, trait: str) -> bool:
    return hasattr(part, trait) and (trait != "criterion" or getattr(part, "targeted", True))


def _refuse_former_names(part: Any) -> None:
    """Refuse an attack with a former name of a method or attribute, which would have no effect."""
    settings = getattr(part, "__dataclass_fields__", {})
    for former, present in FORMER_NAMES.items():
        if hasattr(part, former) and former not in settings:
            raise SpecError(
                f"{name_of(part)}: `{former}` has no effect: it is called `{present}` now; rename it"
            )
