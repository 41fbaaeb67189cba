"""Predict the class of single images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.conversion import Conversion
from fedrobust.data.dataset import DataError
from fedrobust.defences.smoothing import VOTE_IS_SMOOTHED
from fedrobust.paths import expanded
from fedrobust.prediction.opened import OpenedModel, opened
from fedrobust.prediction.pictures import listed, prepared
from fedrobust.prediction.under_noise import under_noise
from fedrobust.runs.run import Run

if TYPE_CHECKING:
    import pandas

    from fedrobust.evaluation.smoothing import Certificate, Smoothing

BATCH = 64
"""Images that are decoded and classified at a time."""

MOST_NAMED = 10
"""Most unreadable images that an error names."""

THRESHOLD = 0.5
"""Probability above which a finding of multi-label images is reported, as it counts in a study's figures."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one image.

    Attributes:
        image: path of its file, or its place.
        name: of the most probable class; of multi-label images, the findings above 50 %, joined by ", "; "abstains"
            where a smoothed model is not certain of any class.
        label: number of the most probable class, from 0; -1: the smoothed model abstains.
        probability: of `label`: the softmax of the logits, or the sigmoid of multi-label models; not calibrated. Of a
            smoothed model, the share of noisy copies that are given its class; where it abstains, the class selected.
        probabilities: of every class, by name; of a smoothed model, shares of noisy copies.
        changes: what was done to the image to fit the model, a phrase each.
        radius: certified l2 radius of the prepared image, pixels in [0, 1]; None without smoothing, 0 where the model
            abstains.
    """

    image: str
    name: str
    label: int
    probability: float
    probabilities: dict[str, float]
    changes: tuple[str, ...]
    radius: float | None = None


@dataclass(frozen=True)
class Predictions(Sequence[Prediction]):
    """What a model says of several images.

    Attributes:
        model: path of the model's file.
        predictions: one an image.
        smoothing: of the model; None: it predicts without noise.
        notes: what was done to the model, in sentences.
        unreadable: images that were left out, a sentence each.
    """

    model: str
    predictions: tuple[Prediction, ...]
    smoothing: "Smoothing | None" = None
    notes: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    def __getitem__(self, place: Any) -> Any:
        return self.predictions[place]

    def __len__(self) -> int:
        return len(self.predictions)

    @property
    def table(self) -> "pandas.DataFrame":
        """One row an image: image, class, its probability, certified radius, probability of every class, changes."""
        # pandas takes as long to import as a prediction.
        import pandas

        return pandas.DataFrame(
            [
                {
                    "image": one.image,
                    "class": one.name,
                    "probability": one.probability,
                    **({} if one.radius is None else {"radius": one.radius}),
                    **{f"p({name})": value for name, value in one.probabilities.items()},
                    "changes": "; ".join(one.changes),
                }
                for one in self
            ]
        )


def predict(
    model: str | Path,
    images: Iterable[Any],
    *,
    fit: str = "",
    window: tuple[float, float] | None = None,
    split: str = "test",
    smoothing: "Smoothing | None" = None,
    draw: np.random.Generator | None = None,
    skip_unreadable: bool = False,
) -> Predictions:
    """Classify single images with a run's model.

    Args:
        model: a run folder (its global model), or a ``.keras`` or ``.tflite`` file in one.
        images: paths of image files, folders and ``.npz`` files, arrays of one image, or images of Pillow.
        fit: "pad" or "crop": how images that are not square become so; empty: as those of the model's data.
        window: values of black and white, of pixels deeper than 8 bits; None: those of the model's data, if known.
        split: of ``.npz`` files: "train", "validation" or "test".
        smoothing: predictions of the smoothed model, with certified radii; None: of the model itself.
        draw: draws its noise; None: by the system's random numbers.
        skip_unreadable: whether images that cannot be read are left out.

    Raises:
        ModelFileError, LiteRTFileError, RunFolderError: the model cannot be used.
        DataError: an image cannot be read, a setting is wrong, or a multi-label model is to be smoothed.
    """
    try:
        asked = Conversion(fit, window)
    except ValueError as error:
        raise DataError(str(error)) from error
    entries = listed(images, split)
    network = opened(model)
    conversion, told = _conversion(asked, network.conversion)
    if smoothing is not None and network.multilabel:
        raise DataError(
            f"sigma = {smoothing.sigma}: {network.path} may have several findings in an image, and a certificate is of "
            "one class; predict without sigma"
        )
    draw, notes = draw or np.random.default_rng(), told
    if smoothing is not None and expanded(model).is_dir():
        network, said = noisy(network, Run.open(expanded(model)), smoothing)
        notes += said
    elif smoothing is not None and network.votes:
        notes += (VOTE_IS_SMOOTHED,)
    found: dict[int, Prediction] = {}
    unreadable: list[str] = []
    ready = prepared(entries, network.image_shape, conversion, unreadable)
    while batch := list(islice(ready, BATCH)):
        pixels = np.stack([one.pixels for _, one in batch]).astype(np.float32) / np.float32(255)
        if smoothing is not None:
            for (place, one), image in zip(batch, pixels, strict=True):
                certificate = smoothing.certify(network.logits, image, len(network.labels), draw)
                found[place] = certified(one.name, network, certificate, one.changes)
            continue
        logits = network.logits(pixels)
        for (place, one), row in zip(batch, probabilities(logits, network.multilabel), strict=True):
            label = int(row.argmax())
            by_name = dict(zip(network.labels, row.tolist(), strict=True))
            name = network.labels[label]
            if network.multilabel:
                name = ", ".join(each for each, value in by_name.items() if value > THRESHOLD) or "no finding"
            found[place] = Prediction(one.name, name, label, float(row[label]), by_name, one.changes)
    if unreadable and not (skip_unreadable and found):
        shown = (
            unreadable[:MOST_NAMED] + [f"{len(unreadable) - MOST_NAMED} more"][: len(unreadable) > MOST_NAMED]
        )
        advice = "" if skip_unreadable else ". Mend or remove them, or leave them out: skip_unreadable"
        raise DataError(
            f"{len(unreadable)} of {len(entries)} images cannot be read: {'; '.join(shown)}{advice}"
        )
    classified = tuple(found[place] for place in sorted(found))
    return Predictions(str(network.path), classified, smoothing, notes, tuple(unreadable))


def _conversion(asked: Conversion, known: Conversion) -> tuple[Conversion, tuple[str, ...]]:
    """Return how images are converted: as asked, else as those of the model's data; and what differs, in sentences."""
    said = []
    if asked.fit and known.fit and asked.fit != known.fit:
        said.append(f"the model's images were made square by {known.fit}, these by {asked.fit}, as asked")
    if asked.window and known.shown and asked.window != known.shown:
        low, high = known.shown
        said.append(
            f"deep pixels of the model's images were shown from {low:g} to {high:g}, these from {asked.window[0]:g} to "
            f"{asked.window[1]:g}, as asked"
        )
    white = None if asked.window else known.white
    return Conversion(asked.fit or known.fit, asked.window or known.window, white), tuple(said)


def noisy(network: OpenedModel, run: Run, smoothing: "Smoothing") -> tuple[OpenedModel, tuple[str, ...]]:
    """Return a run's model with BatchNorm statistics under the noise, and what was done, in sentences.

    Raises:
        DataError: the run's images are not on this machine.
    """
    try:
        model, said = under_noise(run, smoothing.sigma)
    except DataError as error:
        raise DataError(
            f"{error}; its validation images give BatchNorm statistics under noise. {network.path} alone predicts with "
            "its own statistics"
        ) from error

    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(model.predict(images, verbose=0))

    return replace(network, logits=logits), (said,) if said else ()


def certified(
    image: str, network: OpenedModel, certificate: "Certificate", changes: tuple[str, ...]
) -> Prediction:
    """Return what a smoothed model says of one image."""
    return Prediction(
        image,
        network.labels[certificate.label] if certificate.radius else "abstains",
        certificate.label,
        certificate.share,
        dict(zip(network.labels, certificate.shares, strict=True)),
        changes,
        certificate.radius,
    )


def probabilities(logits: NDArray[np.float32], multilabel: bool) -> NDArray[np.float64]:
    """Return the probabilities of logits (n, classes): softmax, or sigmoid if classes do not exclude each other.

    Example:
        >>> probabilities(np.array([[0.0, 0.0]], np.float32), multilabel=False).tolist()
        [[0.5, 0.5]]
        >>> probabilities(np.array([[0.0, 1000.0]], np.float32), multilabel=True).tolist()
        [[0.5, 1.0]]
    """
    wide = logits.astype(np.float64)
    if multilabel:
        return np.asarray(0.5 * (1 + np.tanh(wide / 2)))
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
