"""The state of an attack on a batch of images: unbroken images, best adversaries, numbers of queries and gradients."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedrobust.evasion.models import protocol
from fedrobust.evasion.models.protocol import (
    Labels,
    Logits,
    Slopes,
    TargetModel,
    decided,
    deciding_calls,
    passes_per_call,
)
from fedrobust.evasion.rng import Keys
from fedrobust.evasion.threat import Images, Threat

Report = Callable[["SearchState"], None]

DOUBTED = 8
"""Calls of a target that averages passes which confirm an adversary within the search."""


class Judged(NamedTuple):
    """Logits as they are judged, whether each image is an adversary (n,), its score (n,), larger for a better one."""

    logits: Logits
    fooled: NDArray[np.bool_]
    score: NDArray[np.float64]


class SearchState:
    """The search of one attack on one batch of images.

    An image is broken if the model misclassifies it within the threat model (as the target class, if there is one). An
    attack gets logits with `query` and gradients with `gradient`, always for the unbroken images, and calls `keep` to
    drop those that it broke. Every queried image is first projected onto the threat model (and rounded, if that is of
    8-bit images), then evaluated: the best adversary found so far is kept.

    Of many noisy answers to an image that is classified correctly some are wrong by chance: where the target averages
    passes, an adversary stops the search only if new ones are wrong, too (`DOUBTED`), and after the search further ones
    decide of each image whether the best is an adversary (`CONFIRMED`), as of clean images.

    Args:
        target: the model.
        threat: the threat model.
        clean: (n, height, width, channels) float32 in [0, 1].
        labels: (n,) int32.
        keys: (n,) seeds of the images' own random numbers.
        target_class: the class of a targeted attack; any wrong class if None.
        minimize_norm: minimise the norm of the perturbation rather than search within epsilon.
        early_stop: drop broken images, and keep the best image; False: go on with all of them, and keep the image of
            largest margin, which transfers better to another model.
        last: without early stopping, keep the last image.
        report: called after every pass through the model.

    Attributes:
        images: (n, height, width, channels) the best of each: the first adversary found, or the one of smallest norm;
            without an adversary, the queried image of largest margin.
        logits: (n, classes) of `images`.
        broken: (n,) whether `images` are adversaries (success).
        distance: (n,) distance of `images` from the clean images.
        queries: (n,) number of forward passes, those of gradients among them.
        gradients: (n,) number of gradients, of which a target that averages several passes takes several.
        score: (n,) of `images`, larger for a better one; minus infinity before the first query.
        sure: (n,) whether `CONFIRMED` passes decided of `images`.
        open: (n,) whether an image is searched at this epsilon; after a first search, those of rejected adversaries.
        passes: that a call of the target averages.
        epsilon: bound of the perturbation; infinite for minimum-norm attacks.
        restart: whether this epsilon is attacked from the start, with all images.
    """

    def __init__(
        self,
        target: TargetModel,
        threat: Threat,
        clean: Images,
        labels: Labels,
        keys: Keys,
        target_class: int | None = None,
        minimize_norm: bool = False,
        early_stop: bool = True,
        report: Report = lambda state: None,
        last: bool = False,
    ):
        n = len(clean)
        self.target, self.threat, self.target_class = target, threat, target_class
        self.minimize_norm, self.early_stop, self._report = minimize_norm, early_stop, report
        self._last = last
        self._clean, self._labels, self._keys = clean, labels, keys
        self.images = clean.copy()
        self.logits = np.zeros((n, target.classes), np.float32)
        self.broken, self.sure = np.zeros(n, bool), np.zeros(n, bool)
        self.passes = passes_per_call(target)
        self.open = np.ones(n, bool)
        self.distance = np.full(n, np.inf)
        self.queries, self.gradients = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self.epsilon = np.inf
        self.restart = False
        self.score = np.full(n, -np.inf)
        self._memory: dict[str, tuple[NDArray[np.bool_], NDArray[np.float32]]] = {}
        self._fair = np.ones(n, bool) if target_class is None else labels != target_class
        self._rows = np.flatnonzero(self._fair)

    def at(self, epsilon: float, restart: bool = False) -> None:
        """Set epsilon and start a search with the unbroken images; with all of them if `restart`."""
        self.epsilon, self.restart = epsilon, restart
        self.open[:] = True
        if restart:
            self.broken[:], self.score[:], self.distance[:] = False, -np.inf, np.inf
            self.images[:], self.sure[:] = self._clean, False
        self.begin_search()

    def begin_search(self) -> None:
        """Start another search with the unbroken images."""
        self._rows = np.flatnonzero(self._fair & self.open & (self._goes_on | ~self.broken))

    def __len__(self) -> int:
        """Number of images that the attack is working on."""
        return len(self._rows)

    @property
    def _goes_on(self) -> np.bool_:
        """Whether broken images stay in the search."""
        return np.bool_(self.minimize_norm or not self.early_stop)

    @property
    def clean(self) -> Images:
        """The clean images of the unbroken images."""
        return self._clean[self._rows]

    @property
    def labels(self) -> Labels:
        """The labels of the unbroken images."""
        return self._labels[self._rows]

    @property
    def keys(self) -> Keys:
        """The keys of the unbroken images."""
        return self._keys[self._rows]

    @property
    def best(self) -> Images:
        """The best image so far of the unbroken images."""
        return self.images[self._rows]

    @property
    def answers(self) -> Logits:
        """The model's logits of `best`."""
        return self.logits[self._rows]

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which of the unbroken images have an adversary (of a minimum-norm attack)."""
        return self.broken[self._rows]

    @property
    def found_distance(self) -> NDArray[np.float64]:
        """Distance of the best adversary of each image; infinite where there is none."""
        return np.where(self.found, self.distance[self._rows], np.inf)

    def query_excluded(self) -> None:
        """Query the images that are not attacked because their label is the target class."""
        left = np.flatnonzero(~self._fair)
        if len(left):
            said = self.asked(self._clean[left], left, deciding_calls(self.passes))
            self.logits[left], self.distance[left] = said, 0.0

    def query_clean(self) -> None:
        """Query the clean images, and keep their logits for `clean_logits`."""
        logits = self.query(self.clean)
        if self.passes > 1:
            logits = self.decide(self._rows)
        self.cached("clean logits", lambda: logits)

    def clean_logits(self) -> Logits:
        """Return the logits of the clean images of the unbroken images; asked once."""
        return self.cached("clean logits", lambda: self.asked(self.clean, self._rows))

    def decide(self, rows: NDArray[np.int64]) -> Logits:
        """Ask the best images of `rows` anew, whether they are adversaries; return their logits."""
        said = self.asked(self.images[rows], rows, deciding_calls(self.passes))
        self.logits[rows], self.broken[rows], self.score[rows] = self.judged(said, self._labels[rows])
        self.sure[rows] = True
        return said

    def moved(self, rows: NDArray[np.int64], factor: float) -> NDArray[np.int64]:
        """Ask images `factor` times as far from the clean ones as the best of `rows`; keep, and return, adversaries."""
        clean = self._clean[rows]
        farther = clean + np.float32(factor) * (self.images[rows] - clean)
        shown = self.threat.stored(self.threat.project(farther, clean, self.epsilon), clean)
        logits = self.asked(shown, rows, deciding_calls(self.passes))
        said, fooled, score = self.judged(logits, self._labels[rows])
        at = rows[fooled]
        self.images[at], self.logits[at], self.score[at] = shown[fooled], said[fooled], score[fooled]
        self.distance[at] = self.threat.distance(shown[fooled], clean[fooled])
        self.broken[at] = self.sure[at] = True
        return at

    def asked(self, images: Images, rows: NDArray[np.int64], times: int = 1) -> Logits:
        """Return the mean logits of `times` calls for `images`, one for each of `rows`, (n, classes)."""
        self.queries[rows] += times * self.passes
        return protocol.asked_again(self.target, images, times)

    def steps(self, count: int) -> Iterator[int]:
        """Yield step numbers from 0 to `count` - 1; stop early when all images are broken."""
        for step in range(count):
            if not len(self):
                return
            yield step

    def projected(self, images: Images) -> Images:
        """Return `images`, one for each unbroken image, projected onto the threat model, as the model will see them."""
        inside = self.threat.project(images, self.clean, self.epsilon)
        return self.threat.stored(inside, self.clean)

    def query(self, images: Images) -> Logits:
        """Return the logits of `images`, one for each unbroken image, after projection; evaluate them."""
        shown = self.projected(images)
        return self._evaluate(shown, self.target.logits(shown))

    def query_many(self, images: Images) -> Logits:
        """Return logits (n, k, classes) of k candidates an image, (n, k, height, width, channels); evaluate them."""
        n, k = images.shape[:2]
        shown = np.stack([self.projected(images[:, place]) for place in range(k)], axis=1)
        logits = self.target.logits(shown.reshape(n * k, *shown.shape[2:])).reshape(n, k, -1)
        return np.stack([self._evaluate(shown[:, place], logits[:, place]) for place in range(k)], axis=1)

    def margins_of_many(self, images: Images) -> NDArray[np.float64]:
        """Return the margins (n, k) of k candidates an image, (n, k, height, width, channels); evaluate them."""
        logits = self.query_many(images)
        return np.stack([self.margins(each, self.labels) for each in logits.swapaxes(0, 1)], axis=1)

    def gradient(
        self, images: Images, loss: str, targets: Labels | None = None, evaluate: bool = True
    ) -> Slopes:
        """Return logits, losses and gradients at `images`, one for each unbroken image.

        The gradient is taken at the projected image, which is evaluated as by `query` if `evaluate`. Values of the
        gradient that are not finite become 0.
        """
        shown = self.projected(images)
        aims = self.goals(len(shown)) if targets is None else targets
        seen = self.target.gradient(shown, self.labels, loss, aims)
        self.gradients[self._rows] += self.passes
        if not evaluate:
            self.queries[self._rows] += self.passes
        said = self._evaluate(shown, seen.logits) if evaluate else seen.logits
        return Slopes(said, seen.losses, np.nan_to_num(seen.gradients, nan=0.0, posinf=0.0, neginf=0.0))

    def goals(self, count: int) -> Labels | None:
        """Return what the losses of `count` images are given as targets where the attack has none; None: the labels."""
        return None

    def keep(self) -> NDArray[np.bool_]:
        """Drop broken images from the search; return which stay (n,), to drop the attack's own state of the others."""
        return self.drop(self.broken[self._rows] & ~self._goes_on)

    def drop(self, done: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Drop the images that are `done` (n,) from the search; return which stay (n,)."""
        kept = ~done
        if not kept.all():
            self._rows = self._rows[kept]
        return kept

    def cached(self, name: str, compute: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return `compute()`, a row for each unbroken image; computed again only if an image has no row yet."""
        rows = self._rows
        known, memory = self._memory.get(name, (np.zeros(len(self._clean), bool), None))
        if memory is None or not known[rows].all():
            values = compute()
            memory = np.zeros((len(self._clean), *values.shape[1:]), np.float32) if memory is None else memory
            memory[rows], known[rows] = values, True
            self._memory[name] = known, memory
        return memory[rows]

    def margins(self, logits: Logits, labels: Labels) -> NDArray[np.float64]:
        """Return each image's margin (n,): positive where the attack succeeds.

        Untargeted: the largest logit of a wrong class minus the label's; targeted: the logit of the target class minus
        the largest other one.
        """
        apart = protocol.margins(logits, self._own(labels))
        return apart if self.target_class is None else -apart

    def judged(self, logits: Logits, labels: Labels) -> Judged:
        """Return logits (n, classes) with their success and score; rows with NaN or infinity are misclassified."""
        logits = decided(logits, self._own(labels))
        answers = logits.argmax(axis=1)
        fooled = answers != labels if self.target_class is None else answers == self.target_class
        return Judged(logits, fooled, self.margins(logits, labels))

    def _own(self, labels: Labels) -> Labels:
        return labels if self.target_class is None else np.full(len(labels), self.target_class, np.int32)

    def _evaluate(self, shown: Images, said: Logits) -> Logits:
        """Keep the best images, and return what is said of them, where it was doubted by the confirming passes."""
        rows = self._rows
        self.queries[rows] += self.passes
        logits, fooled, score = self.judged(said, self._labels[rows])
        had, wanted = self.broken[rows], ~self.broken[rows]
        if self.minimize_norm:
            wanted |= self.threat.distance(shown, self._clean[rows]) < self.distance[rows]
        if self.passes > 1 and (fooled & wanted).any():
            doubted, said, logits = np.flatnonzero(fooled & wanted), said.copy(), logits.copy()
            said[doubted] = self.asked(shown[doubted], rows[doubted], DOUBTED)
            again = self.judged(said[doubted], self._labels[rows[doubted]])
            logits[doubted], fooled[doubted], score[doubted] = again
        if self.minimize_norm:
            better = np.where(fooled, wanted, ~had & (score > self.score[rows]))
        else:
            further = (score > self.score[rows]) | np.isneginf(self.score[rows])
            better = further | np.bool_(self._last) if not self.early_stop else ~had & (fooled | further)
        at = rows[better]
        self.images[at], self.logits[at] = shown[better], logits[better]
        self.broken[at] |= fooled[better]
        self.sure[at] = False
        self.score[at] = score[better]
        self.distance[at] = self.threat.distance(shown[better], self._clean[at])
        self._report(self)
        return said
