"""Images while they are attacked: who still stands, the best adversary of each so far, and what it cost."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.models.protocol import Labels, Logits, Slopes, TargetModel, decided
from fedrobust.evasion.rng import Keys
from fedrobust.evasion.threat import Images, Threat

Report = Callable[["SearchState"], None]


class SearchState:
    """One batch of images under one attack.

    An attack asks for logits with `look` and for gradients with `gradient`, always for the images that still stand,
    and calls `keep` to be rid of those that it broke. Every image that the model was asked about is judged, so the
    best adversary on the way is never lost, and none is ever outside of the threat: it is projected, and rounded if
    the threat says so, before the model sees it.

    Args:
        target: the model.
        threat: what may be done to an image.
        clean: (n, height, width, channels) float32 in [0, 1].
        labels: (n,) int32.
        keys: (n,) seeds of the images' own random numbers.
        target_class: the class of a targeted attack; any wrong class if None.
        nearest: look for the nearest adversary of each image rather than for any within epsilon.
        patient: go on with images that are broken, and keep the last image rather than the best: adversaries that
            are meant for another model should go deep.
        report: called after every pass through the model.

    Attributes:
        images: (n, ...) the best so far: the first adversary found, or the nearest; else the one with the largest
            margin, which is what the model was nearest to be wrong about.
        logits: (n, classes) the model's answers to them.
        broken: (n,) whether they fool the model.
        distance: (n,) their distance from the clean images.
        queries: (n,) how many images the model was asked about.
        gradients: (n,) how many gradients were taken.
        epsilon: the bound; infinite while the nearest adversary is looked for.
        fresh: whether this epsilon is attacked from the start, with all images.
    """

    def __init__(
        self,
        target: TargetModel,
        threat: Threat,
        clean: Images,
        labels: Labels,
        keys: Keys,
        target_class: int | None = None,
        nearest: bool = False,
        patient: bool = False,
        report: Report = lambda state: None,
    ):
        n = len(clean)
        self.target, self.threat, self.target_class, self.nearest, self._report = (
            target,
            threat,
            target_class,
            nearest,
            report,
        )
        self._patient = patient
        self._clean, self._labels, self._keys = clean, labels, keys
        self.images = clean.copy()
        self.logits = np.zeros((n, target.classes), np.float32)
        self.broken = np.zeros(n, bool)
        self.distance = np.full(n, np.inf)
        self.queries, self.gradients = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.epsilon = np.inf
        self.fresh = False
        self._score = np.full(n, -np.inf)
        self._memory: dict[str, tuple[NDArray[np.bool_], NDArray[np.float32]]] = {}
        self._fair = np.ones(n, bool) if target_class is None else labels != target_class
        self._rows = np.flatnonzero(self._fair)

    def at(self, epsilon: float, fresh: bool = False) -> None:
        """Go on to another epsilon, with the images that still stand; with all of them if `fresh`."""
        self.epsilon, self.fresh = epsilon, fresh
        if fresh:
            self.broken[:], self._score[:], self.distance[:] = False, -np.inf, np.inf
            self.images[:] = self._clean
        self.stand()

    def stand(self) -> None:
        """Begin another search with the images that are not broken."""
        self._rows = np.flatnonzero(self._fair & (self.nearest | self._patient | ~self.broken))

    def __len__(self) -> int:
        """How many images the attack is working on."""
        return len(self._rows)

    @property
    def clean(self) -> Images:
        """The clean images of those that stand."""
        return self._clean[self._rows]

    @property
    def labels(self) -> Labels:
        """The labels of those that stand."""
        return self._labels[self._rows]

    @property
    def keys(self) -> Keys:
        """The keys of those that stand."""
        return self._keys[self._rows]

    @property
    def best(self) -> Images:
        """The best image so far of those that stand."""
        return self.images[self._rows]

    @property
    def answers(self) -> Logits:
        """The model's logits of `best`."""
        return self.logits[self._rows]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which of those that stand have an adversary (while the nearest is looked for)."""
        return self.broken[self._rows]

    @property
    def found_distance(self) -> NDArray[np.float64]:
        """How far the nearest adversary of those that stand is; infinite where there is none."""
        return np.where(self.found, self.distance[self._rows], np.inf)

    def look_at_others(self) -> None:
        """Fill in the answers to the images that the attack leaves alone, because their label is its target class."""
        left = np.flatnonzero(~self._fair)
        if len(left):
            self.logits[left], self.distance[left] = self.target.logits(self._clean[left]), 0.0

    def steps(self, count: int) -> Iterator[int]:
        """Count steps, and stop where no image stands any more."""
        for step in range(count):
            if not len(self):
                return
            yield step

    def allowed(self, images: Images) -> Images:
        """Return `images` (of those that stand) brought into the threat, as the model will see them."""
        inside = self.threat.project(images, self.clean, self.epsilon)
        return self.threat.stored(inside, self.clean)

    def query(self, images: Images) -> Logits:
        """Return the logits of `images`, one for each that stands, brought into the threat; judge them."""
        shown = self.allowed(images)
        logits = self.target.logits(shown)
        self._judge(shown, logits)
        return logits

    def look_at_many(self, images: Images) -> Logits:
        """Return the logits (n, k, classes) of k candidates an image, (n, k, height, width, channels); judge them."""
        n, k = images.shape[:2]
        shown = np.stack([self.allowed(images[:, place]) for place in range(k)], axis=1)
        logits = self.target.logits(shown.reshape(n * k, *shown.shape[2:])).reshape(n, k, -1)
        for place in range(k):
            self._judge(shown[:, place], logits[:, place])
        return logits

    def margins_of_many(self, images: Images) -> NDArray[np.float64]:
        """Return the margins (n, k) of k candidates an image, (n, k, height, width, channels); judge them."""
        logits = self.look_at_many(images)
        return np.stack(
            [self.margins(logits[:, place], self.labels) for place in range(images.shape[1])], axis=1
        )

    def gradient(
        self, images: Images, loss: str, targets: Labels | None = None, judge: bool = True
    ) -> Slopes:
        """Return logits, losses and gradients at `images`, one for each that stands; judge them unless told not to.

        The gradient is taken at the image that the model sees. Values that are not finite become 0.
        """
        shown = self.allowed(images)
        seen = self.target.gradient(shown, self.labels, loss, targets)
        self.gradients[self._rows] += 1
        if judge:
            self._judge(shown, seen.logits)
        return seen._replace(gradients=np.nan_to_num(seen.gradients, nan=0.0, posinf=0.0, neginf=0.0))

    def keep(self) -> NDArray[np.bool_]:
        """Return which of the images still stand, and go on with these: an attack drops the others' state."""
        return self.drop(self.broken[self._rows] & ~np.bool_(self.nearest or self._patient))

    def drop(self, done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Go on without the images that are `done`; return which stay."""
        kept = ~done
        if not kept.all():
            self._rows = self._rows[kept]
        return kept

    def once(self, name: str, compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return what `compute` returned for those that stand, a row an image; ask again for images that are new."""
        rows = self._rows
        known, memory = self._memory.get(name, (np.zeros(len(self._clean), bool), None))
        if memory is None or not known[rows].all():
            values = compute()
            memory = np.zeros((len(self._clean), *values.shape[1:]), np.float32) if memory is None else memory
            memory[rows], known[rows] = values, True
            self._memory[name] = known, memory
        return memory[rows]

    def margins(self, logits: Logits, labels: Labels) -> NDArray[np.float64]:
        """Return how far each answer is beyond what is wanted: positive where the attack has succeeded."""
        rows = np.arange(len(labels))
        own = labels if self.target_class is None else np.full(len(labels), self.target_class)
        others = logits.astype(np.float64)
        of_own = others[rows, own].copy()
        others[rows, own] = -np.inf
        apart = others.max(axis=1) - of_own
        return apart if self.target_class is None else -apart

    def _judge(self, shown: Images, logits: Logits) -> None:
        rows = self._rows
        self.queries[rows] += 1
        unwanted = self._labels[rows] if self.target_class is None else np.full(len(rows), self.target_class)
        logits = decided(logits, unwanted)
        answers = logits.argmax(axis=1)
        fooled = answers != self._labels[rows] if self.target_class is None else answers == self.target_class
        score = self.margins(logits, self._labels[rows])
        had = self.broken[rows]
        if self.nearest:
            far = self.threat.distance(shown, self._clean[rows])
            better = np.where(fooled, ~had | (far < self.distance[rows]), ~had & (score > self._score[rows]))
        else:
            first = np.isneginf(self._score[rows])
            better = ~had & (fooled | (score > self._score[rows]) | first) | np.bool_(self._patient)
            far = np.zeros(len(rows))
        at = rows[better]
        self.images[at], self.logits[at] = shown[better], logits[better]
        self.broken[at] |= fooled[better]
        self._score[at] = score[better]
        self.distance[at] = (
            far[better] if self.nearest else self.threat.distance(shown[better], self._clean[at])
        )
        self._report(self)
