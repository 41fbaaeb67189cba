"""Signs of a collapsed (constant) classifier, and the number of images needed to detect it."""

import numpy as np

from fedrobust.audit.finding import share
from fedrobust.evaluation.clinical import figures
from fedrobust.evaluation.intervals import wilson
from fedrobust.evasion.models.protocol import Logits

ONE_CLASS = 0.95
"""Share of the most frequent prediction from which a classifier is called constant, if it knows no other class."""

UNSEEN = 1 - ONE_CLASS
"""Recall up to which a class counts as not recognised."""

FEWEST = 30
FEWEST_OF_A_CLASS = 5
"""Smallest number of images, and of images of each of two classes, for a conclusion."""


def too_few(labels: np.ndarray) -> str:
    """Return why the images are too few for a conclusion; "" if they are not.

    Example:
        >>> too_few(np.array([0] * 40)), too_few(np.array([0, 1] * 20))
        ('all 40 images are of one class', '')
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if len(counts) < 2:
        return f"all {len(labels)} images are of one class"
    if len(labels) < FEWEST:
        return f"{len(labels)} images; at least {FEWEST} are wanted"
    if np.sort(counts)[-2] < FEWEST_OF_A_CLASS:
        return f"but for {len(labels) - counts.max()} images all {len(labels)} are of one class"
    return ""


def collapse_of_counts(correct: int, n: int, majority_rate: float) -> bool:
    """Return whether an accuracy may be that of a constant classifier.

    It is if its 95 % interval (Wilson) is not above the majority rate; for tables with accuracies only.

    Example:
        >>> collapse_of_counts(117, 156, 114 / 156), collapse_of_counts(541, 624, 390 / 624)
        (True, False)
    """
    return wilson(correct, n)[0] <= majority_rate


def signs_of_collapse(labels: np.ndarray, logits: Logits) -> list[str]:
    """Return the signs that these logits are a constant classifier's; empty if there are none."""
    found = figures(labels, logits)
    answers = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
    most, n = int(answers.max()), len(labels)
    signs = []
    # Where a disease is rare, nearly all answers of a good classifier are one class, too.
    if most / n > ONE_CLASS and _highest_other_recall(labels, logits, int(answers.argmax())) <= UNSEEN:
        signs.append(f"class {int(answers.argmax())} is the answer to {share(most, n)}")
    accuracy, balanced, mcc = found["accuracy"], found["balanced accuracy"], found["mcc"]
    assert accuracy.interval is not None
    assert balanced.interval is not None
    assert mcc.interval is not None
    # With classes of equal size accuracy equals balanced accuracy.
    if accuracy.constant is not None and accuracy.interval[0] <= accuracy.constant:
        signs.append(
            f"accuracy {_limits(accuracy.interval)} is not above the majority rate {100 * accuracy.constant:.1f} %"
        )
    if balanced.constant is not None and balanced.interval[0] <= balanced.constant:
        signs.append(
            f"balanced accuracy {_limits(balanced.interval)} is not above a constant's {100 * balanced.constant:.1f} %"
        )
    if mcc.interval[0] <= 0:
        signs.append(f"Matthews' correlation {mcc.interval[0]:.2f} to {mcc.interval[1]:.2f} is not above 0")
    return signs


def shows_collapse(labels: np.ndarray, logits: Logits) -> bool:
    """Return whether these logits are shown to be no better than a constant classifier's.

    They are if nearly all answers are one class, or if the interval of balanced accuracy or of Matthews' correlation
    lies at or below a constant classifier's as a whole. A sign of collapse alone may be that of too few images.

    Example:
        >>> labels = np.array([0, 1] * 20)
        >>> shows_collapse(labels, np.eye(2)[labels * 0]), shows_collapse(labels, np.eye(2)[1 - labels])
        (True, True)
        >>> better_by_chance = np.where(np.arange(40) < 22, labels, 1 - labels)
        >>> shows_collapse(labels, np.eye(2)[better_by_chance])
        False
    """
    if any(sign.startswith("class") for sign in signs_of_collapse(labels, logits)):
        return True
    found = figures(labels, logits)
    balanced, mcc = found["balanced accuracy"], found["mcc"]
    assert balanced.interval is not None
    assert mcc.interval is not None
    below = balanced.constant is not None and balanced.interval[1] <= balanced.constant
    return below or mcc.interval[1] <= 0


def _highest_other_recall(labels: np.ndarray, logits: Logits, answer: int) -> float:
    """Return the highest recall of the classes that are there, but `answer`; 0 if there are none."""
    right = logits.argmax(axis=1) == labels
    return max(
        (float(right[labels == label].mean()) for label in set(labels.tolist()) - {answer}), default=0.0
    )


def serious(signs: list[str]) -> list[str]:
    """Return `signs` without that of the majority rate, which a good model may not exceed if a disease is rare."""
    return [sign for sign in signs if not sign.startswith("accuracy")]


def _limits(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
