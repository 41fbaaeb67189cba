"""The tables of the privacy study, from the records of its cells."""

import re
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from conflict import table as conflict

Cell = Mapping[str, Any]

HEAD = (
    "data, layers",
    "epsilon",
    "rule",
    "AUC",
    "balanced accuracy",
    "AUC, 3 of 10 flip signs",
    "right under PGD 2/255",
    "loss attack, AUC",
    "LiRA, AUC",
    "LiRA, TPR at 1 %",
)


def written(cells: Iterable[Cell], path: Path) -> None:
    """Write the table of the cells into its marked place on the page `path`, whose words are its author's."""
    place(path, "cells", results(cells))


def write_conflict(path: Path) -> None:
    """Write the table of what each promise refuses, which takes seconds, into its marked place on the page `path`."""
    place(path, "conflict", conflict())


def place(path: Path, name: str, text: str) -> None:
    """Write a text between the marks with a name on the page `path`."""
    marked = re.compile(f"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    path.write_text(marked.sub(lambda found: f"{found[1]}{text}\n{found[2]}", path.read_text()))


def results(cells: Iterable[Cell]) -> str:
    """Return the chosen learning rates and the table of the study, in Markdown."""
    measured = [one for one in cells if one["seed"] > 0]
    chosen = sorted(
        {
            f"{one['data']} {one['layers']}{'' if one['epsilon'] else ' without privacy'} {one['learning_rate']:g}"
            for one in measured
        }
    )
    lines = [f"| {' | '.join(HEAD)} |", "| --- |" + " --- |" * (len(HEAD) - 1)]
    kinds = dict.fromkeys((one["data"], one["layers"], one["epsilon"], one["rule"]) for one in measured)
    for data, layers, epsilon, rule in sorted(kinds, key=lambda k: (k[1] == "all", k[0], *order(k[2]), k[3])):
        wanted = (data, layers, epsilon, rule)
        its = [one for one in measured if (one["data"], one["layers"], one["epsilon"], one["rule"]) == wanted]
        lines.append(f"| {' | '.join(row(data, layers, epsilon, rule, its))} |")
    table = "\n".join(lines)
    return f"Learning rates: {'; '.join(chosen)}.\n\n{table}"


def order(epsilon: float) -> tuple[bool, float]:
    """Return the place of an epsilon: none first, then from large to small."""
    return epsilon > 0, -epsilon


def row(data: str, layers: str, epsilon: float, rule: str, its: Iterable[Cell]) -> list[str]:
    """Return the cells of one row of the table."""
    plain = [one for one in its if one["attack"] == "none"]
    flipped = [one for one in its if one["attack"] != "none"]
    leaked: Cell = next((one["leakage"] for one in plain if "leakage" in one), {})
    return [
        f"{data.removesuffix('mnist')}, {layers}",
        f"{epsilon:g}" if epsilon else "none",
        rule,
        over_seeds([one["auc"] for one in plain]),
        over_seeds([one["balanced_accuracy"] for one in plain]),
        over_seeds([one["auc"] for one in flipped]),
        right([one for one in plain if one["robust_accuracy"] is not None]),
        *(
            f"{found['auc']:.3f} ({found['interval'][0]:.3f}–{found['interval'][1]:.3f})" if found else "–"
            for found in (leaked.get("loss"), leaked.get("lira"))
        ),
        rate(leaked.get("lira")),
    ]


def over_seeds(values: list[float]) -> str:
    """Return mean and range of a figure over seeds.

    Example:
        >>> over_seeds([0.9, 0.92, 0.91]), over_seeds([0.9]), over_seeds([])
        ('0.910 (0.900–0.920)', '0.900 (1 seed)', '–')
    """
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3f} (1 seed)"
    few = "" if len(values) == 3 else f", {len(values)} seeds"
    return f"{statistics.mean(values):.3f} ({min(values):.3f}–{max(values):.3f}{few})"


def right(probed: list[Cell]) -> str:
    """Return the share of images that are right under evasion, over seeds, with the Wilson interval of one seed's n."""
    if not probed:
        return "–"
    n, share = probed[0]["n"], statistics.mean(one["robust_accuracy"] for one in probed)
    low, high = wilson(share, n)
    return f"{100 * share:.1f} % ({100 * low:.0f}–{100 * high:.0f})"


def wilson(share: float, n: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the 95 % interval of a share of n images.

    Example:
        >>> [round(one, 3) for one in wilson(0.5, 100)]
        [0.404, 0.596]
    """
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    return middle - half, middle + half


def rate(found: Cell | None) -> str:
    """Return the share of members found at 1 % false positives."""
    if not found or found["rate"] is None:
        return "–"
    low, high = found["rate_interval"]
    return f"{100 * found['rate']:.1f} % ({100 * low:.1f}–{100 * high:.1f})"
