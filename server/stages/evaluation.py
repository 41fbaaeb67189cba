"""The server's evaluator: what the global model is worth, clean and attacked."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.config import Experiment
from fedrobust.data.dataset import Dataset
from fedrobust.evaluation.intervals import wilson
from fedrobust.evaluation.metrics import Metrics, measure
from fedrobust.evaluation.robustness import Examples, Robustness, clean_logits, examples, robustness
from fedrobust.evasion import Threat, Victim, WhiteBox, attack
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Weights
from fedrobust.once import once
from fedrobust.poisoning import Goal
from fedrobust.study import evasion_of, recipe_of

NO_CONTROL = "none: the attack adds nothing to an image; compare with a run without it"

PROBED = 128
"""Validation images by which the training is watched."""


@once(keep=4)
def victim_of(classifier: Classifier, space: str) -> Victim:
    """Return the compiled functions that measure `classifier`, shared by the studies of a process."""
    return Victim.of(classifier, space)


@dataclass(frozen=True)
class Evaluator:
    """Evaluates weights of one classifier on one data set.

    Attributes:
        experiment: the study.
        dataset: its images; the test split is reported, the validation split chooses a round.
        classifier: the model as a function of its weights.
        victim: its compiled functions.
        pool: runs batches side by side.
    """

    experiment: Experiment
    dataset: Dataset
    classifier: Classifier
    victim: Victim
    pool: ThreadPoolExecutor

    @classmethod
    def of(
        cls, experiment: Experiment, dataset: Dataset, classifier: Classifier, pool: ThreadPoolExecutor
    ) -> "Evaluator":
        """Return an evaluator of `classifier`."""
        victim = victim_of(classifier, experiment.evaluation.space)
        return cls(experiment, dataset, classifier, victim, pool)

    def test(self, weights: Weights, attacked: bool = True) -> Robustness:
        """Return the metrics on the test split, clean and attacked."""
        settings = self.experiment.evaluation
        return robustness(
            self.victim,
            weights,
            self.dataset.test,
            settings.epsilons,
            settings.batch_size,
            self.map,
            attacks=settings.attacks if attacked else (),
            threat=evasion_of(self.experiment),
            seed=self.experiment.seed,
        )

    def probe(self, weights: Weights) -> float | None:
        """Return the accuracy under PGD-5 of some validation images; None where clients do not train adversarially.

        Training on one step can lose all robustness against several from one round to the next (Wong et al., 2020,
        arXiv:2001.03994): an audit looks back at this figure.
        """
        epsilon = getattr(recipe_of(self.experiment), "epsilon", None)
        if epsilon is None or self.experiment.training.space != self.experiment.evaluation.space:
            return None
        sample = self.dataset.validation.sample(PROBED)
        done = attack(
            WhiteBox.of(self.victim, weights),
            self.victim.images(sample.images),
            sample.labels,
            "pgd(steps=5, step_size=0.5)",
            Threat(space=self.experiment.evaluation.space),
            [epsilon],
            self.experiment.seed,
            keep_images=False,
            map=self.map,
            chunk=PROBED // 2,
        )
        return float((~done.success[0]).mean())

    def validate(self, weights: Weights) -> Metrics:
        """Return the clean metrics on the validation split."""
        split = self.dataset.validation
        logits = clean_logits(
            self.victim, weights, split.images, self.experiment.evaluation.batch_size, self.map
        )
        return measure(split.labels, logits)

    def fault(self, weights: Weights) -> str:
        """Return why the model of `weights` cannot be used, "" if it can.

        On a batch of validation images its logits must be finite, and so must the gradients that the study's attacks
        follow: weights of 1e20 may pass the one and not the other.
        """
        images = self.victim.images(self.dataset.validation.images[: self.experiment.evaluation.batch_size])
        target = WhiteBox.of(self.victim, weights)
        if not np.isfinite(target.logits(images)).all():
            return "the new model answers with numbers that are not finite"
        if not self.experiment.evaluation.attacks or self.victim.obstacle:
            return ""
        labels = self.dataset.validation.labels[: len(images)].astype(np.int32)
        finite = np.isfinite(target.gradient(images, labels, "stable-cross-entropy").gradients).all()
        return "" if finite else "the new model has gradients that are not finite"

    def success(self, weights: Weights, goal: Goal) -> dict[str, Any]:
        """Return how often the model gives the answer that an attacker wants.

        Returns:
            ``n`` images, ``successes`` among them, their ``rate`` with its 95 % ``interval`` (Wilson), and
            ``without-trigger``, the rate on the same images without what the attacker adds. Where it adds nothing,
            that is None, and ``control`` says so: only a run without the attack can tell what it did.
        """
        size = self.experiment.evaluation.batch_size

        def hits(images: np.ndarray) -> int:
            answers = clean_logits(self.victim, weights, images, size, self.map).argmax(1)
            return int((answers == goal.wanted).sum())

        n, successes = len(goal.wanted), hits(goal.images)
        # An own attack may give the same images twice to say that it adds nothing.
        plain = None if goal.plain is None or np.array_equal(goal.plain, goal.images) else goal.plain
        return {
            "n": n,
            "successes": successes,
            "rate": successes / n,
            "interval": list(wilson(successes, n)),
            "without-trigger": None if plain is None else hits(plain) / n,
            "control": NO_CONTROL if plain is None else "the same images without the trigger",
        }

    def examples(self, weights: Weights) -> Examples:
        """Return a few test images under attack, for the report."""
        settings = self.experiment.evaluation
        return examples(
            self.victim,
            weights,
            self.dataset.test,
            settings.epsilons,
            settings.examples,
            evasion_of(self.experiment),
        )

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Call `function` on every item, side by side; the results keep the order of the items."""
        return self.pool.map(function, items)
