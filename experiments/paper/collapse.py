"""Mark the cells of the paper's Table III that are not above the constant classifier.

    python experiments/paper/collapse.py

A cell is marked if the 95 % interval of its accuracy contains the rate of the most frequent class, or lies below it.
"""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from fedrobust.audit.collapse import collapse_of_counts

COUNTS = Path(__file__).with_name("table3.json")


def marked(path: Path = COUNTS) -> list[dict[str, Any]]:
    """Return the rows of the table, each with ``marks``: whether a cell is not above the constant classifier."""
    table = json.loads(path.read_text(encoding="utf-8"))
    rows = []
    for row in table["rows"]:
        images = table["test-sets"][row["dataset"]]
        rate = images["majority"] / images["n"]
        marks = [collapse_of_counts(correct, images["n"], rate) for correct in row["correct"]]
        rows.append({**row, "n": images["n"], "majority": images["majority"], "marks": marks})
    return rows


def main() -> None:
    rows = marked()
    table = Table(
        "data set",
        "model",
        "defence",
        "n",
        "majority",
        "clean",
        *("0.001", "0.002", "0.003", "0.004", "0.005"),
    )
    for row in rows:
        cells = [f"{k} ×" if mark else f"{k}" for k, mark in zip(row["correct"], row["marks"], strict=True)]
        table.add_row(
            row["dataset"], row["model"], row["defence"], str(row["n"]), str(row["majority"]), *cells
        )
    Console(width=120).print(table)
    defended = [mark for row in rows if row["defence"] != "none" for mark in row["marks"][1:]]
    print(
        f"× not above a constant classifier: {sum(defended)} of {len(defended)} defended and attacked cells"
    )


if __name__ == "__main__":
    main()
