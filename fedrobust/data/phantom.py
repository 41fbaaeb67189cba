"""The built-in phantom data set: synthetic lesions on speckled tissue, drawn from a seed."""

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError, Dataset, Split, digest
from fedrobust.data.label_sets import packed
from fedrobust.data.lesions import GRID, KINDS, Field, Frame, uniform
from fedrobust.data.problem import task_of
from fedrobust.randomness import Purpose, generator

NUMBERS = (2000, 300, 500)
"""Default numbers of training, validation and test images."""
LICENCE = "CC0 1.0"
OFTEN = 0.3
"""Probability of a finding in a multi-label image."""
SMALL = 0.6
"""Radius of a lesion in a multi-label image, as a share of that of a lesion that is alone."""
PIXELS_AT_ONCE = 2_000_000
"""Most pixels drawn at a time, which bounds memory."""


def phantom(
    classes: int = 2,
    channels: int = 1,
    size: int = 28,
    train: int = NUMBERS[0],
    validation: int = NUMBERS[1],
    test: int = NUMBERS[2],
    seed: int = 0,
    multilabel: bool = False,
) -> Dataset:
    """Draw the phantom set: one lesion an image, whose margin and texture depend on its class.

    Tissue is smooth noise with multiplicative speckle; a dark lesion lies at a random place in it, and every image
    gets a mean and a contrast drawn independently of its class. Neither position nor brightness is informative, and a
    linear model on pixels learns little. Class 0 is a smooth benign lesion; it overlaps with the malignant one, so
    that no model reaches 100 %. Class frequencies decrease from the first to the last class in the ratio 3 to 2.

    Expected test accuracies with the default settings: 60 % for the constant classifier "benign", about 70 % for
    logistic regression on pixels, about 95 % for a network of 100,000 parameters after ten epochs.

    Args:
        classes: 2 to 8 kinds of lesion.
        channels: 1 (grey, like ultrasound) or 3 (colour, like a skin photograph).
        size: height and width in pixels, 16 or more.
        train: number of training images, at least `classes`.
        validation: number of validation images, at least `classes`.
        test: number of test images, at least `classes`.
        seed: the study's seed.
        multilabel: draw any number of small lesions an image, each with probability 0.3 and of another kind, from the
            second kind on: `classes`, 2 to 7, findings.

    Raises:
        DataError: an argument is not allowed.

    Example:
        >>> dataset = phantom(train=60, validation=10, test=10)
        >>> dataset.train.images.shape, dataset.train.counts(2).tolist(), dataset.label_names
        ((60, 28, 28, 1), [36, 24], ('benign', 'malignant'))
    """
    check(classes, channels, size, {"train": train, "validation": validation, "test": test}, multilabel)
    rng = generator(seed, Purpose.PHANTOM)
    drawing = draw_findings if multilabel else draw_split
    splits = [drawing(rng, number, classes, channels, size) for number in (train, validation, test)]
    return Dataset(
        name="phantom",
        train=splits[0],
        validation=splits[1],
        test=splits[2],
        label_names=tuple(KINDS)[multilabel : classes + multilabel],
        task=task_of(classes, classes if multilabel else 0),
        disease=() if multilabel else tuple(range(1, classes)),
        source=f"drawn by fedrobust from seed {seed}",
        licence=LICENCE,
        digest=digest(*splits),
    )


def check(classes: int, channels: int, size: int, numbers: dict[str, int], multilabel: bool = False) -> None:
    """Raise a DataError where a setting of the phantom set is not allowed."""
    most, kind = (len(KINDS) - 1, "findings") if multilabel else (len(KINDS), "classes")
    if not 2 <= classes <= most:
        raise DataError(f"data.classes = {classes}: the phantom set has 2 to {most} {kind}")
    if channels not in (1, 3):
        raise DataError(
            f"data.channels = {channels}: the phantom set is drawn in 1 (grey) or 3 (colour) channels"
        )
    if size < 16:
        raise DataError(
            f"data.size = {size}: the phantom set needs 16 pixels or more to show a lesion's margin"
        )
    for split, number in numbers.items():
        if number < classes:
            raise DataError(
                f"{number} phantom images for {split}: {classes} classes need at least {classes}, one a class"
            )


def draw_split(rng: np.random.Generator, number: int, classes: int, channels: int, size: int) -> Split:
    """Draw `number` images in random order of classes."""
    labels = rng.permutation(np.repeat(np.arange(classes, dtype=np.int32), shares(number, classes)))
    images = np.empty((number, size, size, channels), np.uint8)
    step = max(1, PIXELS_AT_ONCE // size**2)
    for start in range(0, number, step):
        images[start : start + step] = draw(rng, labels[start : start + step], channels, size)
    return Split(images, labels)


def draw_findings(rng: np.random.Generator, number: int, findings: int, channels: int, size: int) -> Split:
    """Draw `number` images, each with any of the findings, which is one small lesion of its kind."""
    present = rng.random((number, findings)) < OFTEN
    images = np.empty((number, size, size, channels), np.uint8)
    step = max(1, PIXELS_AT_ONCE // size**2)
    for start in range(0, number, step):
        part = present[start : start + step]
        lesions = np.zeros((len(part), size, size), np.float32)
        for finding, shape in enumerate(tuple(KINDS.values())[1 : findings + 1]):
            frame = place(rng, np.ones(len(part), np.int32), size)
            small = Frame(frame.x, frame.y, np.float32(SMALL) * frame.radius, frame.severity)
            lesions += shape(small, rng) * part[:, finding, None, None]
        images[start : start + step] = shown(rng, lesions, channels)
    return Split(images, packed(present))


def shares(number: int, classes: int) -> NDArray[np.int64]:
    """Return the number of images of each class: at least one, decreasing linearly from 3 to 2.

    Example:
        >>> shares(2000, 2).tolist(), shares(10, 3).tolist()
        ([1200, 800], [4, 3, 3])
    """
    weights = np.linspace(3.0, 2.0, classes)
    spare = number - classes
    ends = np.rint(np.cumsum(weights) / weights.sum() * spare)
    spread: NDArray[np.int64] = np.diff(ends, prepend=0.0).astype(np.int64)
    return spread + 1


def draw(rng: np.random.Generator, labels: NDArray[np.int32], channels: int, size: int) -> NDArray[np.uint8]:
    """Draw one image a label, uint8 (n, size, size, channels)."""
    number = len(labels)
    frame = place(rng, labels, size)
    lesion = np.empty((number, size, size), np.float32)
    for label, shape in enumerate(KINDS.values()):
        chosen = labels == label
        if chosen.any():
            part = Frame(frame.x[chosen], frame.y[chosen], frame.radius[chosen], frame.severity[chosen])
            lesion[chosen] = shape(part, rng)
    return shown(rng, lesion, channels)


def shown(rng: np.random.Generator, lesion: Field, channels: int) -> NDArray[np.uint8]:
    """Draw tissue around lesions (n, size, size), uint8 (n, size, size, channels)."""
    number, size = lesion.shape[:2]
    scale = size / GRID
    contrast = -uniform(rng, 0.45, 0.7, number)
    tissue = 1 + 0.09 * smooth(rng, number, size, 3.0 * scale)
    speckle = 1 + 0.09 * smooth(rng, number, size, 0.55 * scale)
    grey = normalised((tissue + contrast * lesion) * speckle, rng)
    return quantised(grey[..., None] if channels == 1 else tinted(grey, lesion, rng))


def place(rng: np.random.Generator, labels: NDArray[np.int32], size: int) -> Frame:
    """Draw centre, radius, elongation and direction of every lesion, independently of its class."""
    number = len(labels)
    pixels = ((np.arange(size) + 0.5) / size * GRID).astype(np.float32)
    x = pixels[None, None, :] - uniform(rng, 9, GRID - 9, number)
    y = pixels[None, :, None] - uniform(rng, 9, GRID - 9, number)
    turn = uniform(rng, 0, np.pi, number)
    stretch = uniform(rng, 1.0, 1.2, number)
    return Frame(
        x=np.asarray((x * np.cos(turn) + y * np.sin(turn)) / stretch, np.float32),
        y=np.asarray((y * np.cos(turn) - x * np.sin(turn)) * stretch, np.float32),
        radius=uniform(rng, 5.4, 7.6, number),
        severity=severities(rng, labels),
    )


def severities(rng: np.random.Generator, labels: NDArray[np.int32]) -> Field:
    """Draw the severity of each finding: Beta(2, 7) for benign lesions, Beta(7, 2) for the others.

    The two distributions overlap: 3.5 % of either lie beyond 0.5.
    """
    marked = rng.beta(7, 2, len(labels))
    return np.where(labels == 0, 1 - marked, marked).astype(np.float32)[:, None, None]


def smooth(rng: np.random.Generator, number: int, size: int, sigma: float) -> Field:
    """Return Gaussian noise smoothed over `sigma` pixels, rescaled to unit variance."""
    from scipy.ndimage import gaussian_filter

    noise = rng.standard_normal((number, size, size), np.float32)
    blurred: Field = gaussian_filter(noise, (0, sigma, sigma), mode="wrap", truncate=3.0)
    return np.asarray(blurred / blurred.std(), np.float32)


def normalised(grey: Field, rng: np.random.Generator) -> Field:
    """Give every image a random mean and contrast, independent of its class.

    Highlights are saturated first: if they were clipped afterwards, the contrast would depend on bright specks.
    """
    saturated = standardised(np.clip(standardised(grey), -2.5, 2.5))
    mean, contrast = uniform(rng, 0.44, 0.54, len(grey)), uniform(rng, 0.16, 0.20, len(grey))
    return np.asarray(mean + contrast * saturated, np.float32)


def standardised(grey: Field) -> Field:
    """Return images, each with mean 0 and standard deviation 1."""
    centred = grey - grey.mean(axis=(1, 2), keepdims=True)
    return np.asarray(centred / centred.std(axis=(1, 2), keepdims=True), np.float32)


def tinted(grey: Field, lesion: Field, rng: np.random.Generator) -> Field:
    """Return grey images in skin colours: a tone for each image, a pigment in the lesion, (n, size, size, 3)."""
    number = len(grey)
    tone = np.array([1.45, 1.05, 0.9]) + rng.normal(0, 0.04, (number, 1, 1, 3))
    pigment = rng.uniform(-0.1, 0.16, (number, 1, 1, 1)) * np.array([1.0, -0.2, -0.8])
    return np.asarray(grey[..., None] * tone + pigment * lesion[..., None], np.float32)


def quantised(images: Field) -> NDArray[np.uint8]:
    """Return images in [0, 1] as uint8; values outside are clipped."""
    return np.rint(np.clip(images, 0, 1) * 255).astype(np.uint8)
