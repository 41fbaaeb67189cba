"""Write the table of the students from their results."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scipy import stats

NAMES = {
    "teacher": "teacher",
    "labels": "control: labels",
    "adversarial": "control: adversarial training on labels",
    "soft-labels": "`soft-labels`",
    "rslad": "`rslad`",
    "ard": "`ard`",
    "iad": "`iad`",
    "ard at 30": "`ard` at T = 30, its authors'",
    "iad at 1": "`iad` at T = 1, its authors'",
    "soft-labels, robust": "`soft-labels` of the adversarial control",
    "rslad, robust": "`rslad` of the adversarial control",
    "ard, robust": "`ard` of the adversarial control",
    "iad at 1, robust": "`iad` at T = 1 of the adversarial control",
}
"""Rows of the table, in order."""

EPSILON = "4/255"
Results = Mapping[str, Mapping[int, Mapping[str, Any]]]


def read(folder: Path) -> dict[str, dict[int, Any]]:
    """Return the results by name and seed."""
    found: dict[str, dict[int, Any]] = {name: {} for name in NAMES}
    for file in sorted(folder.glob("*.json")):
        name, _, seed = file.stem.rpartition("-")
        found[name][int(seed)] = json.loads(file.read_text())
    return found


def clean(one: Mapping[str, Any]) -> float:
    """Return the balanced accuracy on clean images, in points."""
    return 100 * float(one["clean"]["balanced_accuracy"])


def robust(one: Mapping[str, Any], epsilon: str = EPSILON) -> float:
    """Return the balanced accuracy under the study's attack, in points."""
    (curve,) = one["robust"].values()
    return 100 * float(curve[epsilon]["balanced_accuracy"])


def interval(values: list[float]) -> str:
    """Return the mean and its 95 % interval (Student's t), with the sign where `values` are differences.

    Example:
        >>> interval([60.0]), interval([60.0, 62.0, 64.0])
        ('60.0', '62.0 (57.0 to 67.0)')
    """
    if not values:
        return ""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return f"{mean:.1f}"
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    return f"{mean:.1f} ({low:.1f} to {high:.1f})"


def differences(results: Results, name: str, other: str, figure: Any) -> list[float]:
    """Return the differences of two rows' figures, seed by seed."""
    both = sorted(set(results[name]) & set(results[other]))
    return [figure(results[name][seed]) - figure(results[other][seed]) for seed in both]


def rows(results: Results) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| model | seeds | clean | 2/255 | 4/255 | over the control, 4/255 | over `soft-labels`, 4/255 | clean cost |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, title in NAMES.items():
        found = list(results[name].values())
        if not found:
            continue
        compared = ["", "", ""]
        if name not in ("teacher", "labels"):
            compared = [
                interval(differences(results, name, "labels", robust)),
                "" if name == "soft-labels" else interval(differences(results, name, "soft-labels", robust)),
                interval([-one for one in differences(results, name, "labels", clean)]),
            ]
        cells = [
            interval([clean(one) for one in found]),
            interval([robust(one, "2/255") for one in found]),
            interval([robust(one) for one in found]),
            *compared,
        ]
        yield f"| {title} | {len(found)} | {' | '.join(cells)} |"


def write(folder: Path, page: Path) -> None:
    """Write the table of the results in `folder` to `page`."""
    results = read(folder)
    text = "\n".join(rows(results))
    page.write_text(
        "# Students of adversarially trained teachers\n\n"
        "Balanced accuracy in points on the 624 test images of PneumoniaMNIST, clean and under the attack of\n"
        "`distillation.toml`; mean over seeds with its 95 % interval (Student's t); differences are those of the "
        "same seed.\n"
        "A constant classifier has 50.\n\n"
        f"{text}\n"
    )
