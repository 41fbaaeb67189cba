"""Adversarial images that others submit against a claim's model."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import Split
from fedrobust.data.label_sets import packed, unpacked
from fedrobust.data.npz import read_arrays
from fedrobust.epsilon import epsilon_value
from fedrobust.leaderboard.claim import (
    BreakRecord,
    ClaimedModel,
    ClaimError,
    ClaimRecord,
    file_digest,
)
from fedrobust.leaderboard.of_sweep import ROBUST
from fedrobust.prediction.opened import opened

KEYS = ("images", "labels", "index")
"""Arrays of a submission: images (n, height, width, channels), uint8 or float in [0, 1]; the true labels (n,); and
which test images they are made from (n,), from 0, each once."""

SLACK = 1e-6
"""Of float32 images, beyond epsilon."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.integer]]


def break_by_images(
    claim: ClaimRecord, folder: Path, submission: Path, test: Split, model: str = ""
) -> BreakRecord:
    """Return what submitted images do to a claim's model, measured here.

    They break the claim if the accuracy that they leave is below the one that it states under its own adversarial
    images at that epsilon. A claim that states none has nothing to break there; the images are recorded all the same.

    Args:
        claim: the claim.
        folder: of its file, from which its models' paths count.
        submission: ``.npz`` file with `KEYS`.
        test: the images of the claim's setting.
        model: SHA-256 of one of its models, or its beginning; the first one if empty.

    Raises:
        ClaimError: the submission is not one of this claim, or the claim's model is not there.
        DataError: the file cannot be read.
    """
    listed = chosen(claim, model)
    path = folder / listed.file
    if not path.is_file():
        raise ClaimError(
            f"{path}: the claim's model is not there; bring its sweep's folder, or ask who made the claim"
        )
    if file_digest(path) != listed.digest:
        raise ClaimError(f"{path}: not the model of the claim, whose digest is {listed.digest[:12]}")
    settings = claim.setting["evaluation"]
    if settings.get("space", "native") != "native":
        raise ClaimError(
            f'evaluation.space = "{settings["space"]}": images are submitted as they are stored, and epsilon of this '
            "claim counts in prepared ones"
        )
    epsilon = max(map(epsilon_value, settings["epsilons"]))
    arrays = read_arrays(submission, KEYS)
    images, index = checked(submission, arrays, test)
    opened_model = opened(path)
    return measured(
        images,
        index,
        test,
        epsilon,
        str(settings.get("norm", "linf")),
        robust_accuracy(claim, listed),
        lambda batch: answers_of(opened_model.logits(batch), opened_model.multilabel),
        BreakRecord(
            kind="images",
            submission=file_digest(submission),
            name=submission.name,
            holds=False,
            model=listed.digest,
            epsilon=epsilon,
        ),
        findings=len(opened_model.labels) if opened_model.multilabel else 0,
    )


def answers_of(logits: NDArray[np.float32], multilabel: bool) -> NDArray[np.integer]:
    """Return the answers (n,) in logits, as labels are held: classes, or packed sets of the findings above 0.

    Example:
        >>> logits = np.array([[-1.0, 2.0], [3.0, 4.0]], np.float32)
        >>> answers_of(logits, False).tolist(), answers_of(logits, True).tolist()
        ([1, 1], [2, 3])
    """
    return packed(logits > 0) if multilabel else logits.argmax(1)


def robust_accuracy(claim: ClaimRecord, model: ClaimedModel) -> float | None:
    """Return the accuracy that a claim states for a model under adversarial images, None if it states none."""
    figure = claim.figures.get(ROBUST)
    place = claim.seeds.index(model.seed)
    return figure.values[place] if figure is not None and place < len(figure.values) else None


def chosen(claim: ClaimRecord, model: str) -> ClaimedModel:
    """Return one of a claim's models, by the beginning of its digest.

    Raises:
        ClaimError: it has none, or none of that digest.
    """
    found = [one for one in claim.models if one.digest.startswith(model)]
    if not found:
        known = ", ".join(one.digest[:12] for one in claim.models) or "none"
        raise ClaimError(f"model = {model or '(the first)'}: the claim lists {known}")
    return found[0]


def checked(
    path: Path, arrays: dict[str, NDArray[np.generic]], test: Split
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return submitted images as float32 in [0, 1], and the places of their test images.

    Raises:
        ClaimError: an array has a wrong shape or type, a label is not the test image's, or a place stands twice.
    """
    images, labels, index = (arrays[key] for key in KEYS)
    if images.ndim == 3:
        images = images[..., None]
    if len(images) == 0 or images.shape[1:] != test.images.shape[1:]:
        raise ClaimError(
            f"{path}: images {images.shape}: allowed: (n, {', '.join(map(str, test.images.shape[1:]))})"
        )
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ClaimError(f"{path}: images of type {images.dtype}; allowed: uint8, or floats from 0 to 1")
    for name, values in (("labels", labels), ("index", index)):
        if values.shape != (len(images),) or not np.issubdtype(values.dtype, np.integer):
            raise ClaimError(
                f"{path}: {name} {values.shape} of {values.dtype}; allowed: {len(images)} whole numbers"
            )
    places = index.astype(np.int64)
    if places.min() < 0 or places.max() >= len(test) or len(set(places.tolist())) < len(places):
        raise ClaimError(f"{path}: index: each test image once, from 0 to {len(test) - 1}")
    wrong = np.flatnonzero(labels.astype(np.int64) != test.labels[places])
    if len(wrong):
        raise ClaimError(
            f"{path}: labels: {len(wrong)} are not those of the test images, the first at {wrong[0]}; a break has the "
            "right labels"
        )
    scaled = (
        images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)
    )
    if not np.isfinite(scaled).all() or scaled.min() < 0 or scaled.max() > 1:
        raise ClaimError(
            f"{path}: images: float values from {scaled.min()} to {scaled.max()}; allowed: 0 to 1"
        )
    return scaled, places


def measured(
    images: NDArray[np.float32],
    index: NDArray[np.int64],
    test: Split,
    epsilon: float,
    norm: str,
    claimed: float | None,
    predict: Predict,
    submission: BreakRecord,
    findings: int = 0,
) -> BreakRecord:
    """Return the break that images within epsilon make; others do not count.

    An image may have several findings: what then counts are the right answers to them, as in the claimed accuracy, and
    an image is broken that has fewer of them than before.

    Args:
        images: submitted (n, height, width, channels), in [0, 1].
        index: their test images (n,).
        test: the test images.
        epsilon: largest distance.
        norm: "linf" or "l2".
        claimed: accuracy under adversarial images of the claim's own attacks; None if it claims none.
        predict: answers to images (n, height, width, channels), as the labels are held.
        submission: the record without counts.
        findings: their number; 0: each image has one class.
    """
    clean = test.images.astype(np.float32) / np.float32(255)
    apart = (images - clean[index]).reshape(len(images), -1).astype(np.float64)
    distance = np.abs(apart).max(1) if norm == "linf" else np.sqrt((apart**2).sum(1))
    within = distance <= epsilon + SLACK
    before = right_answers(predict(clean), test.labels, findings)
    own = right_answers(predict(images), test.labels[index], findings)
    lost = np.where(within, np.maximum(before[index] - own, 0), 0)
    broken = lost > 0
    left = (int(before.sum()) - int(lost.sum())) / (len(test) * max(findings, 1))
    return replace(
        submission,
        images=int(within.sum()),
        broken=int(broken.sum()),
        accuracy=left,
        holds=bool(broken.any()) and claimed is not None and left < claimed,
    )


def right_answers(
    answers: NDArray[np.integer], labels: NDArray[np.integer], findings: int
) -> NDArray[np.int64]:
    """Return the number of right answers to each image (n,): 0 or 1 of a class, 0 to `findings` of label sets."""
    if not findings:
        return (answers == labels).astype(np.int64)
    return (unpacked(answers, findings) == unpacked(labels, findings)).sum(axis=1)
