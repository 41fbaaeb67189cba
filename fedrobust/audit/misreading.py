"""Detect a wrong input format or class order of a foreign model, and suggest those that fit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedrobust.audit.finding import share
from fedrobust.audit.mcnemar import mcnemar
from fedrobust.errors import ConfigError
from fedrobust.evaluation.intervals import wilson
from fedrobust.evasion.models.protocol import Labels, Logits
from fedrobust.lazy import optimize
from fedrobust.models.input_format import UNIT, InputFormat

SAMPLE = 256
"""Number of images in the sample."""

SURE = 1e-4
"""P-value of another format's additional correct predictions below which the user is asked."""

ALIKE = 0.05
"""P-value of the best reading's lead over another reading from which that one is shown, too."""

GAIN = 0.05
"""Gain in accuracy from which the user is asked, if the model is better than a constant classifier."""

IN_A_STUDY = " (in a study: audit.control-input, audit.control-labels)"

MOST_SHOWN = 3
"""Number of readings in a message."""

Answers = Callable[[InputFormat], Logits]
"""From an input format to the model's logits of the sample, in its own class order, (n, classes)."""


class MisreadModelError(ConfigError):
    """Another pixel range or class order gives significantly more correct predictions; the message names it."""


@dataclass(frozen=True)
class Reading:
    """An input format and a class order, with the predictions that they give.

    Attributes:
        format: of the images.
        labels: the data's label of each output.
        right: mask of correctly classified images, (n,) bool.
        kept: mask of images that were not used to choose `labels`, (n,) bool.
    """

    format: InputFormat
    labels: tuple[int, ...]
    right: NDArray[np.bool_]
    kept: NDArray[np.bool_]

    def differs(self, other: "Reading") -> tuple[bool, bool]:
        """Return whether its format and its class order differ from the other's."""
        return self.format != other.format, self.labels != other.labels

    def is_above(self, constant: float) -> bool:
        """Return whether the interval of its accuracy (Wilson, 95 %) is above that of a constant classifier."""
        judged = self.right[self.kept]
        return wilson(int(judged.sum()), len(judged))[0] > constant


def usual_formats(images: NDArray[np.float32], channels: int) -> Iterator[InputFormat]:
    """Yield the usual input formats for a number of channels, for images (n, height, width, channels) in [0, 1].

    The ranges of Keras' applications ("tf", "torch", "caffe"), 8-bit values, and images minus their own mean.
    """
    yield UNIT
    yield InputFormat(0.0, 255.0)
    yield InputFormat(-1.0, 1.0)
    mean, std = images.mean(axis=(0, 1, 2)), images.std(axis=(0, 1, 2))
    if (std > 0).all():
        yield InputFormat(mean=_short(mean), std=_short(std))
    if channels == 3:
        yield InputFormat(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        yield InputFormat(0.0, 255.0, mean=(103.939, 116.779, 123.68), bgr=True)
    if images.shape[3] == 3:
        yield InputFormat(bgr=True)
        yield InputFormat(0.0, 255.0, bgr=True)


def readings(
    answers: Answers, labels: Labels, formats: Sequence[InputFormat], order: tuple[int, ...] | None
) -> Iterator[Reading]:
    """Yield all readings of a model: each format with the data's class order, and with the best one.

    The best order is the permutation of outputs with the most correct predictions on half of the sample; it is
    evaluated on the other half.

    Args:
        answers: of the model.
        labels: of the sample, (n,).
        formats: to try.
        order: the class order, if known; None: try.

    Source: Kuhn (1955), The Hungarian method for the assignment problem.
    """
    everything = np.ones(len(labels), bool)
    half = np.arange(len(labels)) % 2 == 0
    for format in formats:
        logits = answers(format)
        said = np.where(np.isfinite(logits).all(axis=1), logits.argmax(axis=1), -1)
        told = order or tuple(range(logits.shape[1]))
        yield Reading(format, told, _right(said, told, labels), everything)
        if order is None:
            counts = np.zeros((logits.shape[1],) * 2)
            np.add.at(counts, (said[half & (said >= 0)], labels[half & (said >= 0)]), 1)
            best = tuple(int(label) for label in optimize.linear_sum_assignment(counts, maximize=True)[1])
            if best != told:
                yield Reading(format, best, _right(said, best, labels), ~half)


def better_readings(
    now: Reading, others: Sequence[Reading], constant: float, is_suspicious: bool
) -> list[Reading]:
    """Return the readings that give significantly more correct predictions than `now`.

    Readings significantly worse than the best (McNemar, 5 %) are left out. The others are sorted: first those that
    change one thing only, then by accuracy.

    Args:
        now: the present reading.
        others: other readings.
        constant: accuracy of a constant classifier.
        is_suspicious: whether the present accuracy is not above that; then any reading above it is returned.
    """
    fitting = []
    for other in others:
        before, after = now.right[other.kept], other.right[other.kept]
        gain = int(after.sum()) - int(before.sum())
        is_enough = is_suspicious or gain >= GAIN * len(before)
        if is_enough and other.is_above(constant) and by_chance(after, before) < SURE / len(others):
            fitting.append(other)
    best = max(fitting, key=lambda each: int(each.right.sum()), default=now)
    alike = [each for each in fitting if by_chance(best.right, each.right) >= ALIKE]
    return sorted(alike, key=lambda each: (sum(each.differs(now)), -int(each.right.sum())))


def by_chance(more: NDArray[np.bool_], less: NDArray[np.bool_]) -> float:
    """Return the p-value of one reading's additional correct predictions over another (`mcnemar`).

    Example:
        >>> by_chance(np.ones(5, bool), np.zeros(5, bool)), by_chance(np.zeros(5, bool), np.ones(5, bool))
        (0.03125, 1.0)
    """
    return mcnemar(int((more & ~less).sum()), int((less & ~more).sum()))


def check_reading(
    answers: Answers,
    images: NDArray[np.float32],
    labels: Labels,
    channels: int,
    format: InputFormat,
    order: tuple[int, ...],
    is_told: tuple[bool, bool],
    what: str = "",
) -> str:
    """Check the input format and class order of a model, unless the user declared them.

    Args:
        answers: of the model to `images`.
        images: the sample, (n, height, width, channels) in [0, 1].
        labels: of the sample, (n,).
        channels: of the model's input.
        format: the present input format.
        order: the data's label of each output; empty for the data's order.
        is_told: whether the user declared the format, and the order.
        what: role of the model: "" for the one under audit, else "control", ...

    Returns:
        A note, if its accuracy is not above a constant classifier's and no reading is better, or if another pixel
        range is as good; else "".

    Raises:
        MisreadModelError: another reading is significantly better; the message names it, with its accuracy.
    """
    if is_told == (True, True):
        return ""
    constant = float(np.bincount(labels).max() / len(labels))
    formats = [format] if is_told[0] else [format, *_others(format, images, channels)]
    known = order if is_told[1] else None
    now, *others = list(readings(answers, labels, formats, known))
    is_suspicious = not now.is_above(constant)
    found = better_readings(now, others, constant, is_suspicious)
    n, right = len(labels), int(now.right.sum())
    if found:
        raise MisreadModelError(_question(now, found, constant, is_told, what))
    if not is_suspicious:
        return _as_good(now, others, what)
    return (
        f"{f'{what}: ' if what else ''}{share(right, n)} right is not above a constant classifier's "
        f"{100 * constant:.1f} %; {len(others)} other ranges of pixels and class orders were tried, and none fits"
    )


def _question(
    now: Reading, found: Sequence[Reading], constant: float, is_told: tuple[bool, bool], what: str
) -> str:
    """Return the message that asks the user for the reading of the model."""
    n, role = len(now.right), f"{what}=" if what else ""
    fitting = "; ".join(
        f"{_options(each, each.differs(now), role)} gives {share(int(each.right.sum()), n)}"
        for each in found[:MOST_SHOWN]
    )
    as_it_is = _options(now, (not is_told[0], not is_told[1]), role)
    return (
        f"{what or 'the model'}, given images as {now.format}, is right on {share(int(now.right.sum()), n)}, a "
        f"constant classifier on {100 * constant:.1f} %. {fitting}. Add what it was trained with; or {as_it_is} to go "
        f"on as it is{IN_A_STUDY if what == 'control' else ''}"
    )


def _as_good(now: Reading, others: Sequence[Reading], what: str) -> str:
    """Return a note on other pixel ranges with at least the same accuracy; "" if there are none."""
    n, right = len(now.right), int(now.right.sum())
    alike = [each for each in others if each.labels == now.labels and int(each.right.sum()) >= right]
    if not alike:
        return ""
    listed = ", ".join(f'"{each.format}" ({int(each.right.sum())} of {n})' for each in alike[:MOST_SHOWN])
    return (
        f"{f'{what}: ' if what else ''}images given as {listed} are classified as well as given as {now.format} "
        f"({right} of {n}): say --input if it was trained with another range"
    )


def _options(reading: Reading, shown: tuple[bool, bool], role: str) -> str:
    """Return the options that set a reading's format and class order, as far as `shown`."""
    options = (f'--input "{role}{reading.format}"', f'--labels "{role}{",".join(map(str, reading.labels))}"')
    return " ".join(option for option, is_shown in zip(options, shown, strict=True) if is_shown)


def _others(format: InputFormat, images: NDArray[np.float32], channels: int) -> list[InputFormat]:
    """Return the usual formats other than this one; for integer inputs only other colour orders."""
    if format.whole:
        return [replace(format, bgr=not format.bgr)] if images.shape[3] == 3 else []
    usual = (replace(each, channels_first=format.channels_first) for each in usual_formats(images, channels))
    return [each for each in usual if each != format]


def _right(said: NDArray[np.int64], order: tuple[int, ...], labels: Labels) -> NDArray[np.bool_]:
    meant = np.append(np.asarray(order), -1)
    right: NDArray[np.bool_] = meant[said] == labels
    return right


def _short(numbers: NDArray[np.float32]) -> tuple[float, ...]:
    return tuple(float(f"{number:.3g}") for number in numbers)
