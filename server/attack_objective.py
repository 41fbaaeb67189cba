"""What colluding clients want of the global model, measured on images of their own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fedrobust.data.dataset import Split
from fedrobust.evaluation.metrics import log_odds, log_softmax
from fedrobust.models.layout import Weights
from fedrobust.poisoning import Attack, AttackContext, SuccessCriterion
from fedrobust.randomness import Purpose, generator
from server.stages.evaluation import Evaluator

MOST_IMAGES = 256
"""Most images that a model is measured on."""


@dataclass(frozen=True, eq=False)
class AttackObjective:
    """A number that is larger for models that are better for the attackers.

    Of a targeted attack: the mean log-probability of the wanted class on images with the trigger, plus that of the true
    class on images without it. Of any other: the mean loss log(1 + exp(b - a)) of pairs of images, where a and b are
    the log-odds of a class for one that belongs to it and one that does not, averaged over classes. It is a smooth form
    of 1 - AUC, which a threshold of the answers cannot lower.

    Where the study measures BatchNorm statistics anew for each global model, the attackers do so on their own images:
    they do not have the server's, and a model's weights with another one's statistics say little about it.

    Attributes:
        logits: ``logits(weights, images)``: (n, classes).
        images: of the attackers, with their labels.
        criterion: the success criterion on these images; None for an untargeted attack.
        measured: ``measured(weights, images)`` returns weights with BatchNorm statistics of the images; None: models
            are judged with the statistics that they have.
    """

    logits: Callable[[Weights, np.ndarray], np.ndarray]
    images: Split
    criterion: SuccessCriterion | None
    measured: Callable[[Weights, np.ndarray], Weights] | None = None

    def __call__(self, weights: Weights) -> float:
        """Return the number for a model, minus infinity if it has answers that are not finite."""
        if self.measured is not None:
            weights = self.measured(weights, self.images.images)
        clean = self.logits(weights, self.images.images).astype(np.float64)
        if self.criterion is None:
            value = pair_loss(clean, self.images.labels)
        else:
            shown = self.logits(weights, self.criterion.images).astype(np.float64)
            value = likelihood(shown, self.criterion.target_labels) + likelihood(clean, self.images.labels)
        return value if np.isfinite(value) else -np.inf


def objective_of(
    attack: Attack,
    evaluator: Evaluator,
    own: Sequence[Split],
    classes: int,
    seed: int,
    measured: Callable[[Weights, np.ndarray], Weights] | None = None,
) -> AttackObjective | None:
    """Return the objective of colluding clients; None if there is none to measure.

    There is none where images have several labels, and where the trigger is learnt, which only its client remembers.

    Args:
        attack: of the study.
        evaluator: of the global model.
        own: the malicious clients' images.
        classes: of the data set.
        seed: the study's; it draws the images if there are more than `MOST_IMAGES`.
        measured: measures a model's BatchNorm statistics on images, if the study measures the global model's anew.
    """
    if attack.adapts or evaluator.dataset.multilabel or not own:
        return None
    together = Split.joined(own)
    draw = generator(seed, Purpose.POISONING)
    count = min(len(together), MOST_IMAGES)
    images = together.of_rows(np.sort(draw.choice(len(together), count, replace=False)))
    criterion = attack.criterion(images, AttackContext(classes=classes, seed=seed))
    return AttackObjective(evaluator.clean_logits, images, criterion, measured)


def likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean log-probability of `labels` (n,) under `logits` (n, classes).

    Example:
        >>> round(likelihood(np.zeros((3, 2)), np.array([0, 1, 1])), 3)
        -0.693
    """
    return float(log_softmax(logits)[np.arange(len(labels)), labels].mean())


def pair_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean logistic loss of pairs of images, one of a class and one of the others, over classes.

    Where all images are of one class there are no pairs: minus the mean log-probability of that class.

    Example:
        >>> right = np.array([[9.0, 0], [0, 9]])
        >>> [round(pair_loss(logits, np.array([0, 1])), 3) for logits in (right, right + [5, 0], -right)]
        [0.0, 0.0, 18.0]
    """
    odds = log_odds(logits)
    found = []
    for label in np.unique(labels):
        member = labels == label
        if not member.all():
            found.append(np.logaddexp(0, odds[~member, label][None] - odds[member, label][:, None]).mean())
    return float(np.mean(found)) if found else -likelihood(logits, labels)
