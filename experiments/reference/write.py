"""Write RESULTS.md from the records in ``results/``; nothing is run.

python experiments/reference/write.py
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from cells import METHODS, PARTITIONS, STUDIES
from records import RESULTS, SCORES, Record, read

from fedrobust.sweeps.spread import Spread

PAGE = Path(__file__).parent / "RESULTS.md"

PUBLISHED = {
    "breastmnist": (
        ("central, ResNet-18, 28 px (MedMNIST)", ".863", "", ".901"),
        ("central, ResNet-50, 28 px (MedMNIST)", ".812", "", ".857"),
        ("central, CNN of 26,000 parameters (qfl-medmnist)", ".786", "", ".827"),
        ("iid, five clients, the same CNN", ".724", "", ".756"),
        ("Dirichlet 0.5, five clients, the same CNN", ".729", "", ".706"),
        ("Dirichlet 0.1, five clients, the same CNN", ".739", "", ".588"),
    ),
    "pneumoniamnist": (
        ("central, ResNet-18, 28 px (MedMNIST)", ".854", "", ".944"),
        ("central, ResNet-50, 28 px (MedMNIST)", ".854", "", ".948"),
        ("central, CNN of 26,000 parameters (qfl-medmnist)", ".878", "", ".932"),
        ("iid, five clients, the same CNN", ".860", "", ".916"),
        ("Dirichlet 0.5, five clients, the same CNN", ".846", "", ".912"),
        ("Dirichlet 0.1, five clients, the same CNN", ".625, the constant", "", ".475"),
    ),
    "dermamnist_rebuilt.npz": (
        ("central, ResNet-18, 28 px (MedMNIST; other split)", ".735", "", ".917"),
        ("central, ResNet-50, 28 px (MedMNIST; other split)", ".735", "", ".913"),
        ("central, CNN of 26,000 parameters (qfl-medmnist; other split)", ".694", "", ".897"),
        ("iid, five clients, the same CNN", ".664", "", ".846"),
        ("Dirichlet 0.5, five clients, the same CNN", ".648", "", ".814"),
        ("Dirichlet 0.1, five clients, the same CNN", ".655, below the constant", "", ".781"),
    ),
}
"""Yang et al., 2023, MedMNIST v2 (doi:10.1038/s41597-022-01721-8), table 3; github.com/AkilaAgnesS/qfl-medmnist."""

INTRODUCTION = """# Reference table

Written by `make reference` (`experiments/reference/run.py`) from the records of its runs; [what helped](README.md).

Ten clients; of MedNIST 100, a fifth of which takes part in a round. Means over seeds, in brackets half the 95 %
interval of the mean (Student's t), or its limits where it ends at 0 or 1. All scores are on the test images. Worst
client: the accuracy of the global model under the class mix of the client for which it is lowest. Local models are
trained on one client's images alone, in as many steps; they and FedBN's personal models are means over clients:
accuracy by the client's class mix, balanced accuracy over the client's classes, AUC on all test images. Seconds are
those of the rounds on two cores, two cells at a time; those of BreastMNIST at Dirichlet 0.5 and with FedBN are about
twice as long as on a quiet machine."""

HEAD = ("", "accuracy", "balanced accuracy", "AUC", "worst client", "seconds", "seeds")


def main() -> None:
    PAGE.write_text(page(data_sets()), encoding="utf-8")


def data_sets() -> list[str]:
    """Return the data sets that have records."""
    there = {path.stem for path in RESULTS.glob("*.json")}
    known = [name for name in STUDIES if name.removesuffix(".npz") in there]
    return known + sorted(there - {name.removesuffix(".npz") for name in known})


def page(sets: Iterable[str]) -> str:
    """Return the text of RESULTS.md."""
    return (
        "\n\n".join([INTRODUCTION, *(f"## {name.removesuffix('.npz')}\n\n{table(name)}" for name in sets)])
        + "\n"
    )


def table(data: str) -> str:
    """Return the table of a data set."""
    found = read(data)
    rows = [constant(found)]
    rows += [_row(f"central, {method}", _of(found, "iid", method), "central") for method in METHODS]
    for partition in PARTITIONS:
        for method in METHODS:
            cell = _of(found, partition, method)
            rows.append(_row(f"{partition}, {method}", cell, "global"))
            rows.append(_row(f"{partition}, {method}, personal models", cell, "personal"))
        rows.append(_row(f"{partition}, local models", _of(found, partition, "recipe"), "local"))
    rows += [(name, *given, "", "", "published") for name, *given in PUBLISHED.get(data, ())]
    lines = [HEAD, ["---"] * len(HEAD), *(row for row in rows if row)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def constant(found: Sequence[Record]) -> tuple[str, ...]:
    """Return the row of the classifier that answers the most frequent class of the test images."""
    first = found[0]
    return (
        f"constant classifier (n = {first['images']})",
        _number(first["majority"]),
        _number(1 / first["classes"]),
        ".500",
        "",
        "",
        "",
    )


def _of(found: Iterable[Record], partition: str, method: str) -> list[Record]:
    return [one for one in found if (one["partition"], one["method"]) == (partition, method)]


def _row(name: str, found: Sequence[Record], model: str) -> tuple[str, ...]:
    """Return the row of one model of some cells, empty where no cell has it."""
    there = [one for one in found if one[model]]
    if not there:
        return ()
    worst, seconds = "", ""
    if model == "global":
        worst = _spread(one["worst-client"] for one in there)
        seconds = f"{sum(one['training-seconds'] for one in there) / len(there):.0f}"
    scores = [_spread(one[model].get(score) for one in there) for score in SCORES]
    return name, *scores, worst, seconds, str(len(there))


def _spread(values: Iterable[float | None]) -> str:
    spread = Spread.of([value for value in values if value is not None])
    return "" if spread is None else f"{_number(spread.mean)}{_interval(spread)}"


def _interval(spread: Spread) -> str:
    """Return half the interval of a share, or its limits where it reaches beyond 0 or 1, which no share does."""
    if spread.low is None or spread.high is None:
        return ""
    if spread.low < 0 or spread.high > 1:
        return f" ({_number(max(spread.low, 0.0))} to {_number(min(spread.high, 1.0))})"
    return f" ({_number(spread.high - spread.mean)})"


def _number(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


if __name__ == "__main__":
    main()
