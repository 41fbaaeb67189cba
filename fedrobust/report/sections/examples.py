"""The section of attacked images."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.report import findings, pictures, wording
from fedrobust.report.epsilon import Epsilon
from fedrobust.report.examples import ExampleImages
from fedrobust.report.folder import Run
from fedrobust.report.tables import Cell

SHOWN_EXAMPLES = 12


@dataclass(frozen=True)
class Picture:
    """One image at one epsilon, with the model's prediction."""

    image: str
    change: str
    answer: str
    confidence: str
    right: bool


def examples(run: Run) -> dict[str, Any]:
    """Return rows of images at ascending epsilons."""
    if run.examples is None:
        problem = run.problems.get("examples.npz")
        text = findings.missing(run, "no attacked images were kept")
        text = f"examples.npz cannot be read: {problem}" if problem else text
        return {"columns": [], "rows": [], "missing": text, "more": ""}
    kept = run.examples
    total = len(kept.labels)
    columns = [
        Cell("clean")
        if value == 0
        else Cell(f"ε {name}", f"{wording.grey(Epsilon(float(value), name))} grey levels")
        for value, name in zip(kept.epsilons, kept.names, strict=True)
    ]
    rows = [_example(run, kept, index) for index in range(min(total, SHOWN_EXAMPLES))]
    more = f"The first {SHOWN_EXAMPLES} of {total:,} kept images." if total > SHOWN_EXAMPLES else ""
    return {
        "columns": columns,
        "rows": rows,
        "missing": "" if rows else "examples.npz holds no images.",
        "more": more,
    }


def _example(run: Run, examples: ExampleImages, index: int) -> tuple[str, list[Picture]]:
    truth = int(examples.labels[index])
    images = examples.images[index]
    row = []
    for column, size in enumerate(examples.epsilons):
        answers = np.nan_to_num(examples.probabilities[index, column])
        answer = int(answers.argmax())
        change = pictures.difference(images[0], images[column], float(size))
        row.append(
            Picture(
                image=pictures.data_uri(images[column]),
                change=pictures.data_uri(change) if size > 0 else "",
                answer=run.label(answer),
                confidence=f"{100 * answers[answer]:.0f}{wording.THIN}%",
                right=answer == truth,
            )
        )
    return run.label(truth), row
