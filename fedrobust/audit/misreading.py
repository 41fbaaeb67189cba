"""Is a foreign model given the images, and are its answers read, as in its training? If not, what would fit."""

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
"""Images that are tried."""

SURE = 1e-4
"""Probability, by chance, of as many more right answers in another format: below it the user is asked."""

ALIKE = 0.05
"""Probability, by chance, of the best reading's lead over another, from which on that one is shown, too."""

GAIN = 0.05
"""Share of more right answers from which on the user is asked about a model that does tell classes apart."""

IN_A_STUDY = " (in a study: audit.control-input, audit.control-labels)"

MOST_SHOWN = 3
"""Readings that a message names."""

Answers = Callable[[InputFormat], Logits]
"""What a model answers to the sample in a format, in its own class order, (n, classes)."""


class MisreadModelError(ConfigError):
    """A model seems to want other images, or another class order, than it is given; the message says which fit."""


@dataclass(frozen=True)
class Reading:
    """A way to give a model its images and to read its answers.

    Attributes:
        format: of the images.
        labels: the data's label of each output.
        right: which of the sample's images it then classifies right, (n,).
        kept: those of them that did not help to choose `labels`, (n,) bool.
    """

    format: InputFormat
    labels: tuple[int, ...]
    right: NDArray[np.bool_]
    kept: NDArray[np.bool_]

    def differs(self, other: "Reading") -> tuple[bool, bool]:
        """Return whether its format is another than the other's, and its class order."""
        return self.format != other.format, self.labels != other.labels

    def is_above(self, constant: float) -> bool:
        """Return whether the interval of its accuracy (Wilson, 95 %) lies above a constant classifier's."""
        judged = self.right[self.kept]
        return wilson(int(judged.sum()), len(judged))[0] > constant


def usual_formats(images: NDArray[np.float32], channels: int) -> Iterator[InputFormat]:
    """Yield what networks of so many channels are usually given, for images (n, height, width, channels) in [0, 1].

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
    """Yield every way to read a model: each format with the data's class order, and with the best one.

    The best order is the assignment of outputs to labels with the most right answers (of all permutations) on half of
    the sample; it is judged on the other half.

    Args:
        answers: of the model.
        labels: of the sample, (n,).
        formats: to be tried.
        order: the class order where it is known; None to try.

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
    """Return the readings under which a model is right far more often than `now`.

    Those that are surely worse than the best (McNemar, 5 %) are left out; of the others, those that change one thing
    come first, then those with more right answers.

    Args:
        now: how it is read.
        others: that were tried.
        constant: accuracy of a constant classifier.
        is_suspicious: its accuracy is not above that; then any reading above it will do.
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
    """Return the probability of so many more right answers than another reading's, if both were equally good.

    By `mcnemar`.

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
    """Refuse a model that another format or class order fits far better; what the user told is not doubted.

    Args:
        answers: of the model to `images`.
        images: the sample, (n, height, width, channels) in [0, 1].
        labels: theirs.
        channels: of the images that the model takes.
        format: that the model is given.
        order: the data's label of each output; empty for the data's order.
        is_told: whether the user told the format, and the order.
        what: which model, "" for the one under audit, else "control", ...

    Returns:
        A note, where its accuracy is not above a constant classifier's and nothing fits, or where another range does as
        well as this one; else nothing.

    Raises:
        MisreadModelError: another reading fits; the message says which, with its figure.
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
    """Return what to ask the user: which of the readings found is the model's."""
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
    """Return a note of the other ranges under which no fewer answers are right; empty if there are none."""
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
    """Return the options that ask for a reading: its format and its class order, as far as they are `shown`."""
    options = (f'--input "{role}{reading.format}"', f'--labels "{role}{",".join(map(str, reading.labels))}"')
    return " ".join(option for option, is_shown in zip(options, shown, strict=True) if is_shown)


def _others(format: InputFormat, images: NDArray[np.float32], channels: int) -> list[InputFormat]:
    """Return the usual formats beside this one, with its axes; of whole numbers only the order of colours is open."""
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
