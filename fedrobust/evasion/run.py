"""Run an evasion attack on a set of images."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.label_sets import unpacked
from fedrobust.epsilon import epsilon_value
from fedrobust.evasion.arguments import check_arguments
from fedrobust.evasion.contract import Attack, attack_named
from fedrobust.evasion.models.protocol import Labels, Logits, TargetModel, deciding_calls, passes_per_call
from fedrobust.evasion.models.wrappers import Tied
from fedrobust.evasion.multilabel import MultilabelSearch, fault
from fedrobust.evasion.rng import keys_of
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.searches import searches
from fedrobust.evasion.threat import Images, Threat, ThreatError

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""``map`` or an executor's ``map``: chunks of images are independent of each other."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """The result of an attack on a set of images, at growing epsilon.

    Attributes:
        attack: the attack as text, with the settings that it was given.
        threat: the threat model.
        epsilons: (E,) ascending.
        labels: (n,) int32.
        success: (E, n) whether an image within epsilon is misclassified (as the target class if there is one); of a
            multi-label model whether every attacked finding is answered wrong.
        logits: (E, n, classes) of the best image within epsilon: the adversary, or, where there is none, the queried
            image of largest margin.
        distance: (E, n) of that image from the clean one.
        images: (E, n, height, width, channels) float32 of that image; None without `keep_images`.
        queries: (n,) number of forward passes, those of gradients among them, all epsilons together; of a stochastic
            model with those that confirm adversaries, which limits such as `queries` of an attack do not count.
        gradients: (n,) number of gradients.
        shared: queries and gradients of work that all images share: a surrogate, a universal perturbation.
        seconds: duration of the attack.
        findings: of a multi-label model, the label set of the attacked findings; 0: labels are classes.
    """

    attack: str
    threat: Threat
    epsilons: tuple[float, ...]
    labels: Labels
    success: NDArray[np.bool_]
    logits: Logits
    distance: NDArray[np.float64]
    images: Images | None
    queries: NDArray[np.int64]
    gradients: NDArray[np.int64]
    shared: tuple[int, int]
    seconds: float
    findings: int = 0

    @property
    def accuracy(self) -> NDArray[np.float64]:
        """Share of the images that are classified correctly at each epsilon, (E,); of attacked findings answered so."""
        if not self.findings:
            return (self.logits.argmax(axis=2) == self.labels).mean(axis=1)
        classes = self.logits.shape[2]
        watched = unpacked(np.array([self.findings]), classes)[0]
        right = (self.logits > 0) == unpacked(self.labels, classes)
        return right[:, :, watched].mean(axis=(1, 2))


@dataclass(frozen=True)
class Progress:
    """Progress of an attack: forward passes and gradients of one image each, done and left.

    At most so many are left; of a stochastic model, whose adversaries may be searched for again, about as many.
    """

    done: int
    left: int


@dataclass(eq=False)
class _Tally:
    """Sums the progress of chunks that run in parallel."""

    report: Callable[[Progress], None]
    left: dict[int, int]
    done: dict[int, int] = field(default_factory=dict)

    def note(self, chunk: int, done: int, left: int) -> None:
        self.done[chunk], self.left[chunk] = done, left
        self.report(Progress(sum(self.done.values()), sum(self.left.values())))


def attack(
    target: TargetModel,
    images: Images,
    labels: Labels,
    spec: str | Attack,
    threat: Threat,
    epsilons: Sequence[float | str],
    seed: int = 0,
    *,
    nested: bool = True,
    keep_images: bool = True,
    places: NDArray[np.integer] | None = None,
    map: Map = map,
    chunk: int = 256,
    report: Callable[[Progress], None] = lambda progress: None,
    findings: int = 0,
) -> Attacked:
    """Attack a set of images at every epsilon.

    An image that is broken at one epsilon is not attacked again at a larger one, where its adversary is still within
    the threat model; neither is an image that is misclassified without an attack.

    Args:
        target: the model.
        images: (n, height, width, channels) float32 in [0, 1], in the target's space.
        labels: (n,) the true classes; of a multi-label model the label sets.
        spec: the attack, or its name with settings.
        threat: the threat model.
        epsilons: bounds of the perturbation's norm, each above 0, numbers or fractions such as "8/255".
        seed: of the attack's random choices, which are independent for each image.
        nested: False attacks every image at every epsilon from the start, as a plain implementation does.
        keep_images: keep the adversaries; many images at many epsilons take memory.
        places: (n,) the images' positions in their split, by which they are seeded; 0, 1, 2, ... if None.
        map: runs chunks in sequence or in parallel, with the same result.
        chunk: images in a chunk.
        report: called after every pass through the model, from any thread.
        findings: of a multi-label model, the label set of the attacked findings; 0: labels are classes.

    Raises:
        ThreatError: the attack does not support the norm, or the images do not fit the target or the threat model.
        NotDifferentiableError: it needs gradients and the model has none.

    Example:
        >>> from fedrobust.evasion.models.protocol import Slopes
        >>> class Bright:  # calls an image bright if the mean of its pixels is over one half
        ...     shape, classes = (2, 2, 1), 2
        ...     def logits(self, images):
        ...         mean = images.mean(axis=(1, 2, 3)) - 0.5
        ...         return np.stack([-mean, mean], axis=1)
        ...     def gradient(self, images, labels, loss, targets=None):
        ...         up = np.where(labels == 1, -1.0, 1.0)[:, None, None, None]
        ...         return Slopes(self.logits(images), np.zeros(len(images)), up * np.ones_like(images))
        >>> images = np.full((1, 2, 2, 1), 0.52, np.float32)
        >>> attack(Bright(), images, np.array([1]), "fgsm", Threat(), [0.01, 0.03]).success.ravel().tolist()
        [False, True]
    """
    began = time.perf_counter()
    chosen = attack_named(spec)
    images, labels = np.asarray(images, np.float32), np.asarray(labels, np.int32)
    order = sorted(epsilon_value(epsilon) for epsilon in epsilons)
    target, images, scale = _tied(target, images, threat)
    known = 2**target.classes if findings else target.classes
    check_arguments(target, images, labels, chosen, threat, order, known)
    if findings and (reason := fault(chosen)):
        raise ThreatError(f"{spec}: {reason}")
    keys = keys_of(seed, np.arange(len(labels)) if places is None else places)
    bounds = [epsilon / scale for epsilon in order]
    prepared = {bounds[0]: chosen.prepared(target, images, labels, threat, bounds[0], seed)}
    for bound in bounds[1:]:
        prepared[bound] = (
            chosen.prepared(target, images, labels, threat, bound, seed)
            if chosen.prepares_per_epsilon
            else prepared[bounds[0]]
        )
    each = passes_per_call(target)
    costs = {id(one): one.spent for one in prepared.values()}.values()
    parts = np.array_split(np.arange(len(labels)), max(1, math.ceil(len(labels) / chunk)))
    searched = 1 if chosen.minimum_norm else len(bounds)
    most = each * (chosen.passes * searched + 1 + (deciding_calls(each) * (searched + 1) if each > 1 else 0))
    tally = _Tally(report, {number: most * len(rows) for number, rows in enumerate(parts)})

    def attacked(number: int) -> tuple[Any, ...]:
        rows = parts[number]

        def note(state: SearchState) -> None:
            done = int((state.queries + state.gradients).sum())
            tally.note(number, done, max(len(state) if each > 1 else 0, most * len(state) - done))

        given = target, threat, images[rows], labels[rows], keys[rows]
        state = (
            MultilabelSearch(findings, *given, report=note)
            if findings
            else SearchState(*given, chosen.target_class, chosen.minimum_norm, report=note)
        )
        if chosen.minimum_norm:
            found = _minimum_norm(prepared[bounds[0]], state, bounds)
        else:
            found = _within(prepared, state, bounds, nested, keep_images)
        tally.note(number, int((state.queries + state.gradients).sum()), 0)
        return (*found, state.queries, state.gradients)

    success, logits, distance, adversaries, queries, gradients = zip(
        *map(attacked, range(len(parts))), strict=True
    )
    shown = np.concatenate(adversaries, axis=1) if keep_images else None
    if shown is not None and threat.tied:
        shown = np.repeat(shown, 3, axis=4)
    return Attacked(
        attack=str(spec) if isinstance(spec, str) else repr(spec),
        threat=threat,
        epsilons=tuple(order),
        labels=labels,
        success=np.concatenate(success, axis=1),
        logits=np.concatenate(logits, axis=1),
        distance=np.concatenate(distance, axis=1) * scale,
        images=shown,
        queries=np.concatenate(queries),
        gradients=np.concatenate(gradients),
        shared=(each * sum(cost[0] for cost in costs), each * sum(cost[1] for cost in costs)),
        seconds=time.perf_counter() - began,
        findings=findings,
    )


def _within(
    prepared: dict[float, Attack], state: SearchState, bounds: list[float], nested: bool, keep_images: bool
) -> tuple[Any, ...]:
    """Run an attack within epsilon for each epsilon in ascending order."""
    success, logits, distance, images = [], [], [], []
    first = next(iter(prepared.values()))
    state.query_excluded()
    if nested and not first.starts_clean:
        state.query_clean()
        state.keep()
    for bound in bounds:
        state.at(bound, restart=not nested)
        for _ in searches(state):
            prepared[bound].run(state)
        success.append(state.broken.copy())
        logits.append(state.logits.copy())
        distance.append(state.distance.copy())
        if keep_images:
            images.append(state.images.copy())
    return np.stack(success), np.stack(logits), np.stack(distance), np.stack(images) if images else None


def _minimum_norm(chosen: Attack, state: SearchState, bounds: list[float]) -> tuple[Any, ...]:
    """Run a minimum-norm attack once, and evaluate every epsilon by the norm that it found."""
    clean = state.images.copy()
    # A misclassified clean image is its own adversary, at distance 0.
    state.query_excluded()
    state.query_clean()
    state.drop(state.found)
    clean_logits = state.logits.copy()
    for _ in searches(state):
        chosen.run(state)
    reach = np.where(state.broken, state.distance, np.inf)
    within = np.stack([reach <= bound * (1 + 1e-6) for bound in bounds])
    logits = np.where(within[:, :, None], state.logits, clean_logits)
    images = np.where(within[:, :, None, None, None], state.images, clean)
    return within, logits, np.where(within, state.distance, 0.0), images


def _tied(target: TargetModel, images: Images, threat: Threat) -> tuple[TargetModel, Images, float]:
    """Return the one-channel problem of a tied threat model, and the factor of its distances in colour."""
    if not threat.tied:
        return target, images, 1.0
    if target.shape[2] != 3:
        raise ThreatError(
            f"tied = True: images have {target.shape[2]} channel; only colour channels can be tied"
        )
    if not (images == images[..., :1]).all():
        raise ThreatError(
            "tied = True: the channels of these images differ; only copies of one grey channel can be tied"
        )
    return Tied(target), images[..., :1], math.sqrt(3.0) if threat.norm == "l2" else 1.0
