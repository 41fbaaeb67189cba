"""The section of attacked images: one size of the perturbation at a time, and all side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.label_sets import packed, unpacked
from fedrobust.report import findings, pictures, wording
from fedrobust.report.epsilon import Epsilon
from fedrobust.report.examples import ExampleImages
from fedrobust.report.folder import Run

SHOWN_EXAMPLES = 12

LONGEST_SIDE = 64
"""Pixels of a picture's side; of larger images every second, third, ... pixel is shown."""

LEGENDS = {"linf": "grey is none, black −ε, white +ε"}
OTHER_LEGEND = "mid-tone is none, black and white are the largest change of each picture"
"""What the shades of a picture of a perturbation mean."""

MOST_CHARACTERS = 60_000
"""Of all pictures together, so that the page stays below 2 MB; the first image is shown in any case."""


@dataclass(frozen=True)
class Column:
    """One size of the perturbation: its name, its grey levels if it has any, and how its picture is amplified."""

    name: str
    level: str
    scale: str


@dataclass(frozen=True)
class Picture:
    """One image at one epsilon, with the model's prediction."""

    image: str
    change: str
    answer: str
    confidence: str
    right: bool


def examples(run: Run) -> dict[str, Any]:
    """Return rows of images at ascending epsilons, and the column to begin with."""
    if run.examples is None:
        problem = run.problems.get("examples.npz")
        text = findings.missing(run, "no attacked images were kept")
        text = f"examples.npz cannot be read: {problem}" if problem else text
        return {"columns": [], "rows": [], "missing": text, "more": "", "start": 0, "legend": ""}
    kept = run.examples
    rows = list(_rows(run, kept))
    return {
        "columns": [
            _column(Epsilon(float(value), name, run.norm))
            for value, name in zip(kept.epsilons, kept.names, strict=True)
        ],
        "rows": rows,
        "missing": "" if rows else "examples.npz holds no images.",
        "more": _more(len(rows), len(kept.labels), _step(kept)),
        "start": _first_broken(rows),
        "legend": LEGENDS.get(run.norm, OTHER_LEGEND),
    }


def _column(size: Epsilon) -> Column:
    if size.value == 0:
        return Column("clean", "", "")
    if size.norm != "linf":
        return Column(f"ε {size.name}", "", "scaled to its largest")
    levels = wording.grey(size)
    noun = "grey level" if levels == "1" else "grey levels"
    return Column(f"ε {size.name}", f"{levels} {noun}", f"× {0.5 / size.value:.3g}")


def _step(kept: ExampleImages) -> int:
    """Return the distance of the pixels that are shown."""
    return max(1, -(-max(kept.images.shape[2:4]) // LONGEST_SIDE))


def _more(shown: int, total: int, step: int) -> str:
    """Return what of the images is not shown."""
    notes = [f"The first {shown} of {total:,} kept images."] if 0 < shown < total else []
    notes += [f"Of their pixels, one in {step} is shown along each side."] if step > 1 else []
    return " ".join(notes)


def _first_broken(rows: list[tuple[str, list[Picture]]]) -> int:
    """Return the first column in which an image is wrong that is right without an attack; else the last one."""
    columns = len(rows[0][1]) if rows else 1
    broken = (
        column
        for column in range(1, columns)
        if any(pictures[0].right and not pictures[column].right for _, pictures in rows)
    )
    return next(broken, columns - 1)


def _rows(run: Run, kept: ExampleImages) -> Iterator[tuple[str, list[Picture]]]:
    """Yield images while there is room for them."""
    used = 0
    for index in range(min(len(kept.labels), SHOWN_EXAMPLES)):
        truth, row = _example(run, kept, index)
        used += sum(len(one.image) + len(one.change) for one in row)
        if index and used > MOST_CHARACTERS:
            return
        yield truth, row


def _example(run: Run, examples: ExampleImages, index: int) -> tuple[str, list[Picture]]:
    truth, step = int(examples.labels[index]), _step(examples)
    images = examples.images[index, :, ::step, ::step]
    row = []
    for column, size in enumerate(examples.epsilons):
        answers = np.nan_to_num(examples.probabilities[index, column])
        answer, confidence = _answer(run, answers)
        # Epsilon bounds the change of a pixel in linf alone: in other norms a single pixel would be all of it.
        largest = float(size if run.norm == "linf" else np.abs(images[column] - images[0]).max())
        change = pictures.difference(images[0], images[column], largest)
        row.append(
            Picture(
                image=pictures.data_uri(images[column]),
                change=pictures.data_uri(change),
                answer=_named(run, answer),
                confidence=confidence,
                right=answer == truth,
            )
        )
    return _named(run, truth), row


def _answer(run: Run, probabilities: NDArray[np.float32]) -> tuple[int, str]:
    """Return the class of an image and its probability as text, or its label set and none."""
    if run.dataset.multilabel:
        return int(packed(probabilities[None] > 0.5)[0]), ""
    answer = int(probabilities.argmax())
    return answer, f"{100 * probabilities[answer]:.0f}{wording.THIN}%"


def _named(run: Run, label: int) -> str:
    """Return the name of a class, or the names of a label set."""
    if not run.dataset.multilabel:
        return run.label(label)
    present = np.flatnonzero(unpacked(np.array([label]), len(run.dataset.labels))[0])
    return ", ".join(run.label(int(place)) for place in present) or "no finding"
