"""Transfer attack: adversaries of a surrogate model, tried on the model under attack."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, Text
from fedrobust.errors import FedrobustError
from fedrobust.evasion.contract import ATTACKS, Attack, attack_named
from fedrobust.evasion.models.protocol import Labels, Logits, TargetModel
from fedrobust.evasion.models.wrappers import Tied
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Norm, Threat, ThreatError
from fedrobust.models.architectures import architecture_named
from fedrobust.randomness import Purpose, generator

STEP = 8 / 255
"""Step of the Jacobian-based augmentation along the surrogate's gradient."""

SURE = 20.0
"""Logit of a queried label; the other classes have 0."""


@ATTACKS.register("transfer")
@dataclass(frozen=True, kw_only=True)
class Transfer(Attack):
    """Attack a surrogate model, and query the model with the result (Papernot et al., 2016, arXiv:1602.02697).

    A black-box attack. The surrogate is given, or is trained on the model's outputs for the images under attack, for
    mixtures of images with different predictions, and, from the second round on, for steps along the surrogate's
    gradient (their Jacobian-based augmentation).

    Attributes:
        surrogate: "query" to train one from queries, the path of a Keras file, or a `TargetModel`.
        attack: the attack on the surrogate, run without early stopping: adversaries of small margin transfer badly. Of
            gradient attacks the last image is queried, of others that of largest margin.
        rounds: trainings of the surrogate, among which queries are divided.
        queries: most queries of the model.
        student: the surrogate's architecture.
        answers: "labels" or "logits": what the model returns.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2")
    white_box: ClassVar[bool] = False
    prepares_per_epsilon: ClassVar[bool] = False

    surrogate: Any = field(default="query", repr=False)
    attack: Text = "mi-fgsm(steps=20)"
    rounds: Count = 1
    queries: Count = 4000
    student: Text = "strided-cnn"
    answers: Literal["labels", "logits"] = "labels"
    asked: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        inner = attack_named(self.attack)
        if inner.minimum_norm:
            raise ValueError(
                f"attack = {self.attack!r}: a minimum-norm attack leaves no margin to transfer; choose one within "
                "epsilon, such as pgd"
            )
        if type(inner).prepared is not Attack.prepared:
            raise ValueError(
                f"attack = {self.attack!r}: it learns from all images together before it attacks one; choose an attack "
                "of one image, such as pgd"
            )

    def require(self, problem: Any) -> None:
        """Refuse a missing surrogate file, or an architecture that does not take the problem's images.

        Args:
            problem: with the `image_shape` of stored images.

        Raises:
            ValueError: the file is missing, the architecture is unknown, or the images are too small for it.
        """
        if not isinstance(self.surrogate, str):
            return
        if self.surrogate != "query":
            if not Path(self.surrogate).is_file():
                raise ValueError(f"surrogate = {self.surrogate!r}: there is no such file")
            return
        try:
            smallest = architecture_named(self.student).smallest
        except FedrobustError as error:
            raise ValueError(f"student = {self.student!r}: {error}") from error
        if min(problem.image_shape[:2]) < smallest:
            raise ValueError(
                f"student = {self.student!r}: it takes images of at least {smallest} pixels a side"
            )

    @property
    def target_class(self) -> int | None:
        """That of the attack on the surrogate: the model has to answer it."""
        return attack_named(self.attack).target_class

    @property
    def passes(self) -> int:
        """One query; passes of the surrogate do not count."""
        return 1

    @property
    def spent(self) -> tuple[int, int]:
        """Queries that the surrogate was trained on; no gradients of the model."""
        return self.asked, 0

    def prepared(
        self, target: TargetModel, images: Images, labels: Labels, threat: Threat, epsilon: float, seed: int
    ) -> "Transfer":
        """Return the attack with its surrogate.

        Raises:
            ThreatError: the attack on the surrogate does not support the norm.
        """
        norms = attack_named(self.attack).norms
        if threat.norm not in norms:
            raise ThreatError(f"norm = {threat.norm!r}: attack = {self.attack!r} supports {', '.join(norms)}")
        if not isinstance(self.surrogate, str):
            return self
        if self.surrogate == "query":
            surrogate, asked = self.queried(target, images, seed)
        else:
            surrogate, asked = opened(Path(self.surrogate), target), 0
        bound = replace(self, surrogate=surrogate)
        object.__setattr__(bound, "asked", asked)
        return bound

    def run(self, state: SearchState) -> None:
        """Attack the surrogate, and query the model once."""
        surrogate = self.surrogate
        if state.threat.tied and surrogate.shape[2] != state.clean.shape[3]:
            surrogate = Tied(surrogate)
        crafting = SearchState(
            surrogate,
            state.threat,
            state.clean,
            state.labels,
            state.keys,
            state.target_class,
            early_stop=False,
            last=attack_named(self.attack).ascends,
        )
        crafting.at(state.epsilon)
        attack_named(self.attack).run(crafting)
        state.query(crafting.images)
        state.keep()

    def queried(self, target: TargetModel, images: Images, seed: int) -> tuple[TargetModel, int]:
        """Return a surrogate trained on the model's outputs, and the number of queries."""
        # Starts TensorFlow.
        from fedrobust.evasion.models.bound import BoundModel
        from fedrobust.evasion.models.compiled import CompiledModel
        from fedrobust.models.classifier import build_classifier
        from fedrobust.training.distillation import distil

        classifier = build_classifier(self.student, target.shape, target.classes, image_size=0, seed=seed)
        compiled = CompiledModel.of(classifier)
        known = grey_levels(images[: max(1, self.queries // 2)])
        said = self.queried_logits(target, known)
        more = mixtures(known, said.argmax(axis=1), self.share(1) - len(known), seed)
        for turn in range(self.rounds):
            if len(more):
                known, said = (
                    np.concatenate([known, more]),
                    np.concatenate([said, self.queried_logits(target, more)]),
                )
            taught = distil(classifier, known, said, 1.0, seed=seed)
            surrogate = BoundModel.of(compiled, taught.weights)
            if turn == self.rounds - 1:
                break
            rows = generator(seed, Purpose.EVALUATION, turn).permutation(len(known))
            rows = rows[: self.share(turn + 2) - len(known)]
            shown = known[rows].astype(np.float32) / np.float32(255)
            slope = surrogate.gradient(shown, said[rows].argmax(axis=1).astype(np.int32), "margin").gradients
            more = grey_levels(np.clip(shown + np.float32(STEP) * np.sign(slope), 0.0, 1.0))
        return surrogate, len(known)

    def share(self, rounds: int) -> int:
        """Return the number of queries of the first `rounds` rounds."""
        return self.queries * rounds // self.rounds

    def queried_logits(self, target: TargetModel, stored: np.ndarray) -> Logits:
        """Return the model's logits of 8-bit images (n, height, width, channels); of its labels if it returns these."""
        logits = target.logits(stored.astype(np.float32) / np.float32(255))
        if self.answers == "logits":
            return logits
        return np.eye(target.classes, dtype=np.float32)[logits.argmax(axis=1)] * np.float32(SURE)


def mixtures(images: np.ndarray, decisions: NDArray[np.integer], count: int, seed: int) -> np.ndarray:
    """Return weighted means of two images of different predictions, uint8 (count, height, width, channels).

    The decision boundary, which a surrogate has to learn, lies between the two. Where all predictions are equal, any
    two images are mixed.

    Args:
        images: uint8 (n, height, width, channels).
        decisions: (n,) classes.
        count: number of mixtures; none if negative.
        seed: of the pairs and weights.

    Source: Zhang et al. (2017), mixup, arXiv:1710.09412, equation 1, with uniform weights.

    Example:
        >>> black_and_white = np.stack([np.zeros((2, 2, 1), np.uint8), np.full((2, 2, 1), 255, np.uint8)])
        >>> grey = mixtures(black_and_white, np.array([0, 1]), 100, seed=0)
        >>> grey.shape, bool(40 < grey[:, 0, 0, 0].std() < 100)
        ((100, 2, 2, 1), True)
    """
    draw = generator(seed, Purpose.EVALUATION)
    count = max(count, 0)
    first = draw.integers(len(images), size=count)
    # The second image is drawn among those of another prediction, by its place in the order of predictions.
    order = np.argsort(decisions, kind="stable")
    ordered = decisions[order]
    start = np.searchsorted(ordered, decisions[first], "left")
    same = np.searchsorted(ordered, decisions[first], "right") - start
    others = np.where(same < len(images), len(images) - same, len(images))
    place = (draw.random(count) * others).astype(np.int64)
    second = order[np.where((place >= start) & (same < len(images)), place + same, place)]
    weight = draw.random(count)[:, None, None, None]
    return np.rint(weight * images[first] + (1 - weight) * images[second]).astype(np.uint8)


def grey_levels(images: Images) -> np.ndarray:
    """Return images in [0, 1] rounded to 8 bits, uint8."""
    return np.rint(images * 255).astype(np.uint8)


def opened(path: Path, target: TargetModel) -> TargetModel:
    """Return the model in a Keras file as a surrogate of `target`.

    Raises:
        ThreatError: it takes other images, or has another number of classes.
    """
    # Starts TensorFlow.
    from fedrobust.evasion.models.bound import through_roundings
    from fedrobust.evasion.models.model_file import open_model

    surrogate = open_model(path, target.shape, target.classes).target
    if surrogate.classes != target.classes:
        raise ThreatError(
            f"surrogate = {str(path)!r}: it has {surrogate.classes} classes, the model has {target.classes}"
        )
    return through_roundings(surrogate)
