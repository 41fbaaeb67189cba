"""The server's evaluator of models, clean and under attack."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fedrobust.config.sections import Evaluation
from fedrobust.data.dataset import Dataset, Split
from fedrobust.epsilon import epsilon_value
from fedrobust.evaluation.intervals import wilson
from fedrobust.evaluation.metrics import Metrics, NotFiniteError, measure
from fedrobust.evaluation.multilabel import measure_multilabel
from fedrobust.evaluation.robustness import Examples, Robustness, clean_logits, examples, robustness
from fedrobust.evaluation.scores.contract import NONE_FURTHER, Metric
from fedrobust.evaluation.surrogate_file import with_surrogate_file
from fedrobust.evasion import Attack, BoundModel, CompiledModel, Threat, attack
from fedrobust.evasion.multilabel import attacked_findings
from fedrobust.memoize import memoize
from fedrobust.models.classifier import Classifier
from fedrobust.models.features import Features, head_logits
from fedrobust.models.layout import Weights
from fedrobust.poisoning import SuccessCriterion
from fedrobust.runs.record import AttackSuccessRecord, EvaluationRecord, MetricsRecord
from server.errors import UnmeasurableError
from server.stages.answers import Answers
from server.stages.probed_images import PROBED, ProbedImages

NO_CONTROL = "none: the attack adds nothing to an image; compare with a run without it"


@memoize(keep=4)
def compiled_model_of(classifier: Classifier, space: str) -> CompiledModel:
    """Return the compiled functions of `classifier`, shared by the studies of a process."""
    return CompiledModel.of(classifier, space)


@dataclass(frozen=True)
class Evaluator:
    """Evaluates weights of one classifier on one data set.

    Attributes:
        settings: of ``[evaluation]``.
        threat: the threat model.
        seed: of the attacks' random numbers.
        dataset: the images; the test split is reported, the validation split selects a round.
        classifier: the model as a function of its weights.
        compiled: its compiled functions.
        pool: runs batches in parallel.
        further: further metrics by name.
        features: the head's input features of images; None if the backbone is trained.
        with_file: finds the file of a surrogate that an attack names.
        adapt: fits weights that were trained without the classifier's prediction-time defence to it; None: nothing.
    """

    settings: Evaluation
    threat: Threat
    seed: int
    dataset: Dataset
    classifier: Classifier
    compiled: CompiledModel
    pool: ThreadPoolExecutor
    further: Mapping[str, Metric] = field(default_factory=dict)
    features: Features | None = None
    with_file: Callable[[str], str | Attack] = with_surrogate_file
    adapt: Callable[[Weights], Weights] | None = None
    _last: "list[Answers]" = field(default_factory=list, repr=False)
    _adapted: list[tuple[Weights, Weights]] = field(default_factory=list, repr=False)

    @classmethod
    def of(
        cls,
        settings: Evaluation,
        threat: Threat,
        seed: int,
        dataset: Dataset,
        classifier: Classifier,
        pool: ThreadPoolExecutor,
        further: Mapping[str, Metric] = NONE_FURTHER,
        features: Features | None = None,
        with_file: Callable[[str], str | Attack] = with_surrogate_file,
    ) -> "Evaluator":
        """Return an evaluator of `classifier`."""
        compiled = compiled_model_of(classifier, settings.space)
        return cls(settings, threat, seed, dataset, classifier, compiled, pool, further, features, with_file)

    def of_model(self, classifier: Classifier, space: str = "") -> "Evaluator":
        """Return an evaluator of another classifier with the same settings, except the `space`, if given."""
        compiled = compiled_model_of(classifier, space or self.settings.space)
        return replace(self.bare, classifier=classifier, compiled=compiled, features=None)

    @property
    def bare(self) -> "Evaluator":
        """The evaluator of weights as they are."""
        return replace(self, adapt=None, _last=[], _adapted=[])

    def shown(self, weights: Weights) -> Weights:
        """Return `weights` as they are measured: fitted to the prediction-time defence; cached for the last ones."""
        if self.adapt is None:
            return weights
        last = self._adapted[0] if self._adapted else None
        if last is None or last[0] is not weights:
            last = weights, self.adapt(weights)
            self._adapted[:] = [last]
        return last[1]

    def rehearse(self) -> None:
        """Trace and optimise the graphs of evaluations."""
        self.compiled.rehearse(gradient=bool(self.settings.attacks))

    @property
    def findings(self) -> int:
        """The label set of the attacked findings; 0 where an image has one class."""
        if not self.dataset.multilabel:
            return 0
        return attacked_findings(self.settings.attacked_finding, self.dataset.label_names)

    def measure(self, labels: np.ndarray, logits: np.ndarray) -> Metrics:
        """Return the clean metrics of `logits` (n, classes) against `labels` (n,)."""
        measured = measure_multilabel if self.dataset.multilabel else measure
        return measured(labels, logits, further=self.further)

    def target(self, weights: Weights) -> BoundModel:
        """Return the model with `weights` as a target of attacks."""
        return BoundModel.of(self.compiled, self.shown(weights), self.settings.batch_size)

    def test(self, weights: Weights, attacked: bool = True) -> Robustness:
        """Return the metrics on the test split, clean and attacked."""
        split, clean = self.dataset.test, self.answers(weights).test
        return self._robustness(weights, split, self.settings.epsilons, attacked, clean)

    def robust_at_largest(
        self, weights: Weights, split: Split, clean: np.ndarray
    ) -> Mapping[str, Mapping[str, MetricsRecord]]:
        """Return the metrics on other images than the test split's, under each attack at the largest epsilon.

        Args:
            weights: of the model.
            split: the images.
            clean: (n, classes) logits of the clean images.
        """
        settings = self.settings
        if not settings.attacks:
            return {}
        largest = max(settings.epsilons, key=epsilon_value)
        found = self._robustness(weights, split, [largest], True, clean)
        return EvaluationRecord.of(found).robust

    def _robustness(
        self, weights: Weights, split: Split, epsilons: Sequence[Any], attacked: bool, clean: np.ndarray
    ) -> Robustness:
        return robustness(
            self.compiled,
            self.shown(weights),
            split,
            epsilons,
            self.settings.batch_size,
            self.map,
            attacks=self.settings.attacks if attacked else (),
            with_file=self.with_file,
            threat=self.threat,
            seed=self.seed,
            clean=clean,
            further=self.further,
            findings=self.findings,
        )

    def probe(self, weights: Weights, epsilon: float) -> tuple[float, float]:
        """Return the accuracy under PGD-5 at `epsilon` of some validation images, and the balanced accuracy.

        Adversarial training with a single step can lose its robustness to several steps from one round to the next
        (catastrophic overfitting: Wong et al., 2020, arXiv:2001.03994), which the audit detects by this accuracy. Where
        the balanced one selects a round, it is of more images of the rare classes, see `ProbedImages`.
        """
        settings = self.settings
        selects = settings.select == "best" and settings.select_by == "robust-balanced-accuracy"
        probed = ProbedImages.of(self.dataset.validation, evenly=selects and not self.findings)
        sample = probed.images
        done = attack(
            BoundModel.of(self.compiled, self.shown(weights)),
            self.compiled.images(sample.images),
            sample.labels,
            "pgd(steps=5, step_size=0.5)",
            Threat(space=settings.space),
            [epsilon],
            self.seed,
            keep_images=False,
            map=self.map,
            chunk=PROBED // 2,
            findings=self.findings,
        )
        if self.findings:
            measured = self.measure(sample.labels, done.logits[0])
            return measured.accuracy, measured.balanced_accuracy
        return probed.accuracies(~done.success[0])

    def clean_logits(self, weights: Weights, images: np.ndarray) -> np.ndarray:
        """Return logits (n, classes) of stored uint8 `images`."""
        if self.features is not None:
            return head_logits(self.features.whole(images), self.classifier, weights.trainable)
        return clean_logits(self.compiled, self.shown(weights), images, self.settings.batch_size, self.map)

    def answers(self, weights: Weights) -> "Answers":
        """Return the logits of the splits, cached for the last weights."""
        if not self._last or self._last[0].weights is not weights:
            self._last[:] = [Answers(self.clean_logits, self.dataset, weights)]
        return self._last[0]

    def validate(self, weights: Weights) -> Metrics:
        """Return the clean metrics on the validation split."""
        return self.measure(self.dataset.validation.labels, self.answers(weights).validation)

    def unseen(self, weights: Weights) -> dict[str, MetricsRecord]:
        """Return the clean metrics on the images of each site that is held out.

        Raises:
            UnmeasurableError: the model's logits are not finite.
        """
        found = {}
        for site, split in self.dataset.unseen.items():
            try:
                metrics = self.measure(split.labels, self.clean_logits(weights, split.images))
            except NotFiniteError as error:
                raise UnmeasurableError(
                    f"the selected model cannot be measured on {site}: {error}"
                ) from error
            found[site] = MetricsRecord.of(metrics)
        return found

    def fault(self, weights: Weights) -> str:
        """Return why the model with `weights` is unusable, "" if it is usable.

        On a batch of validation images its logits must be finite, and so must the gradients of the study's attacks,
        which weights of 1e20 may violate with finite logits.
        """
        attacked = bool(self.settings.attacks) and not self.compiled.obstacle
        if self.features is not None and not attacked:
            finite = np.isfinite(self.answers(weights).validation).all()
            return "" if finite else "the new model answers with numbers that are not finite"
        images = self.compiled.images(self.dataset.validation.images[: self.settings.batch_size])
        target = BoundModel.of(self.compiled, self.shown(weights))
        labels = self.dataset.validation.labels[: len(images)].astype(np.int32)
        aims = np.full_like(labels, self.findings) if self.findings else labels
        seen = target.gradient(images, labels, "stable-cross-entropy", aims) if attacked else None
        if not np.isfinite(target.logits(images) if seen is None else seen.logits).all():
            return "the new model answers with numbers that are not finite"
        if seen is None or np.isfinite(seen.gradients).all():
            return ""
        return "the new model has gradients that are not finite"

    def success(self, weights: Weights, criterion: SuccessCriterion) -> AttackSuccessRecord:
        """Return the attack success rate: the share of images that are classified as the target class.

        An attack without a trigger has no rate without the trigger, and ``control`` says so: its only control is a run
        without the attack.
        """

        def hits(logits: np.ndarray) -> int:
            return int((logits.argmax(1) == criterion.target_labels).sum())

        def unchanged(images: np.ndarray) -> np.ndarray:
            known = criterion.rows is not None
            return self.answers(weights).test[criterion.rows] if known else self.clean_logits(weights, images)

        # A user's attack may give the same images twice, which means that it has no trigger.
        plain = (
            None
            if criterion.clean is None or np.array_equal(criterion.clean, criterion.images)
            else criterion.clean
        )
        shown = unchanged(criterion.images) if plain is None else self.clean_logits(weights, criterion.images)
        n, successes = len(criterion.target_labels), hits(shown)
        return AttackSuccessRecord(
            n=n,
            successes=successes,
            rate=successes / n,
            interval=wilson(successes, n),
            without_trigger=None if plain is None else hits(unchanged(plain)) / n,
            control=NO_CONTROL if plain is None else criterion.control,
        )

    def examples(self, weights: Weights) -> Examples:
        """Return some test images under attack, for the report."""
        settings = self.settings
        return examples(
            self.compiled,
            self.shown(weights),
            self.dataset.test,
            settings.epsilons,
            settings.examples,
            self.threat,
            self.findings,
        )

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Return the results of `function` for all items, computed in parallel, in order."""
        return self.pool.map(function, items)
