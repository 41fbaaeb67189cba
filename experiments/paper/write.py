"""Write RESULTS.md and its pictures from the records in ``results/``; nothing is run.

python experiments/paper/write.py
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import jinja2
from cells import FILES, HERE
from claims import check
from collect import read
from figures import counted, percent, ranged, seeds
from ledger import ledger
from tables import (
    Printed,
    attacked_table,
    batchnorm_table,
    clean_table,
    distilled_table,
    federated_table,
    longer_table,
)
from whole_split import applied

Records = dict[str, list[dict[str, Any]]]

FIGURES = HERE / "results" / "figures.csv"


def records() -> Records:
    """Return all records by study file, with today's check of the number of audited images."""
    return {name: [applied(one) for one in read(name)] for name in FILES}


def page(found: Records) -> str:
    """Return the text of RESULTS.md.

    Raises:
        UnsupportedClaimError: the records do not support a claim of the template.
    """
    printed = Printed()
    by_name = {one["cell"]: one for each in found.values() for one in each}
    right = found["done-right"]
    at = [one for one in right if "/fgsm-0.001/" in one["cell"]]
    strong = [one for one in right if "/fgsm-2of255/" in one["cell"]]
    plain = [one for one in right if "/plain/" in one["cell"]]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True).from_string(
        (HERE / "RESULTS.md.j2").read_text(encoding="utf-8")
    )
    text = template.render(
        tables={
            "table1": clean_table(found["table1"], printed),
            "table1_right": clean_table(plain, printed),
            "table2": attacked_table(found["table1"], printed, "none"),
            "table2_right": attacked_table(plain, printed, "none"),
            "table3": attacked_table(found["table3"], printed, "adversarial training"),
            "table3_right": attacked_table(at, printed, "adversarial training"),
            "longer": longer_table(right),
            "whole": attacked_table(found["whole"], printed, "none of the paper's"),
            "strong": attacked_table(strong, printed, "none of the paper's"),
            "distillation": distilled_table(found["distillation"], printed),
            "mednist": attacked_table(found["mednist"], printed, "none of the paper's"),
            "mednist_student": distilled_table(
                [one for one in found["mednist"] if "student" in one], printed
            ),
            "batchnorm": batchnorm_table(found["batchnorm"]),
            "federated": federated_table(found["federated"]),
        },
        cells=by_name,
        spread=lambda *parts: spread(found["batchnorm"], parts),
        federation=lambda what, *keys: column(found["federated"], what, *keys),
        degenerate=lambda dataset: degenerate(found["federated"], dataset),
        processors=processors(found),
        status=status(found),
        counted=counted,
        percent=percent,
        ranged=ranged,
        seeds=seeds,
    )
    check(text, by_name)
    return text


def column(records: list[dict[str, Any]], what: str, *keys: str) -> str:
    """Return a figure of the federation's finished cells over seeds, as mean and interval.

    Args:
        records: of the federated study file.
        what: the part of the cells' names between model and seed, such as ``breastmnist/plain/iid``.
        keys: path of the figure in a record; a last ``share`` divides a count by the number of test images.
    """
    dataset, _, rest = what.partition("/")
    values = []
    for one in records:
        parts = one["cell"].split("/")
        if one["status"] != "finished" or parts[1] != dataset or "/".join(parts[3:-1]) != rest:
            continue
        value: Any = one
        for key in keys:
            value = value / one["n"] if key == "share" else value[key]
        values.append(value)
    return seeds(values)


def spread(records: list[dict[str, Any]], parts: tuple[str, ...]) -> str:
    """Return the smallest and the largest accuracy of the finished cells whose names have one of `parts`."""
    found = [
        one["clean"]["correct"] / one["n"]
        for one in records
        if one["status"] == "finished" and any(f"/{part}/" in one["cell"] for part in parts)
    ]
    return f"{percent(min(found))} to {percent(max(found))}"


def degenerate(records: list[dict[str, Any]], dataset: str) -> str:
    """Return the number of a data set's distilled students with the verdict degenerate, as "4 of 6"."""
    words = [
        one["student"]["audit"]["word"]
        for one in records
        if one["cell"].split("/")[1] == dataset and one.get("student", {}).get("audit")
    ]
    return f"{words.count('degenerate')} of {len(words)}"


def processors(found: Records) -> str:
    """Return the number of finished cells by processor."""
    counts = Counter(
        one["environment"]["processor"]
        for each in found.values()
        for one in each
        if one["status"] == "finished"
    )
    return ", ".join(f"{name}: {count}" for name, count in counts.most_common())


def status(found: Records) -> dict[str, int]:
    """Return the number of cells that are finished, need a download, were not run, or failed."""
    counts: dict[str, int] = {"finished": 0, "needs download": 0, "not run": 0, "failed": 0}
    for each in found.values():
        for one in each:
            counts[one["status"]] += 1
    return counts


def pictures(found: Records, folder: Path) -> None:
    """Write the pictures."""
    import json

    from pictures import clean_picture, confidence_picture, epsilon_picture, federation_picture

    printed, right = Printed(), found["done-right"]
    clean_picture({"as printed": found["table1"], "corrected": right}, printed, folder / "table1.svg")
    epsilon_picture(
        {
            "as printed": found["table1"],
            "corrected": [one for one in right if "/plain/" in one["cell"]],
        },
        {
            "as printed": found["table3"],
            "corrected": [one for one in right if "/fgsm-0.001/" in one["cell"]],
        },
        printed,
        folder / "epsilon.svg",
    )
    federation_picture(found["federated"], folder / "federation.svg")
    figure = HERE / "results" / "figure1.json"
    if figure.exists():
        confidence_picture(json.loads(figure.read_text(encoding="utf-8")), folder / "figure1.svg")


def write() -> None:
    """Write everything."""
    found = records()
    (HERE / "RESULTS.md").write_text(page(found), encoding="utf-8")
    FIGURES.write_text(ledger(found, Printed()), encoding="utf-8")
    pictures(found, HERE / "pictures")


if __name__ == "__main__":
    write()
