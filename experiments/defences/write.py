"""Write RESULTS.md from the records in ``results/``; nothing is run.

python experiments/defences/write.py
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from cells import DEFENCES, DIVISIONS, PLAIN, STUDIES
from records import Record, read

from fedrobust.sweeps.spread import Spread

PAGE = Path(__file__).parent / "RESULTS.md"

INTRODUCTION = """# Defences

Written by `python experiments/defences/run.py` from the records of its runs. Balanced accuracy in percent: on all clean
test images; on the audited ones, clean and under every attack of the audit (robust), and of the worst class under it.
With one seed the brackets hold the 95 % interval over images, with more half the 95 % interval of the mean over seeds.
"Gain" is robust less that of plain training of the same rounds and seed, "cost" the clean balanced accuracy that is
lost against it; both paired by seed. Seconds are those of the rounds, on a machine with other work."""

HEAD = (
    "defence",
    "clean, all",
    "clean",
    "robust",
    "worst class",
    "gain",
    "cost",
    "verdicts",
    "passes",
    "seconds",
    "seeds",
)


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the text of RESULTS.md."""
    parts = [INTRODUCTION]
    for data in STUDIES:
        found = read(data)
        if found:
            parts.append(f"## {data.removesuffix('.npz')}")
        for division in DIVISIONS:
            there = [one for one in found if one["division"] == division]
            for protocol in sorted({_protocol(one) for one in there}):
                parts += [
                    f"### {division}; {protocol}",
                    table([one for one in there if _protocol(one) == protocol]),
                ]
    return "\n\n".join(parts) + "\n"


def _protocol(one: Record) -> str:
    return (
        f"{one['rounds']} rounds, epsilon {one['epsilon']}, {one['effort']} audit of {one['images']} images"
    )


def table(found: Sequence[Record]) -> str:
    """Return the table of a data set, division and protocol."""
    control = {one["seed"]: one for one in found if one["defence"] == PLAIN}
    rows = [
        row(name, [one for one in found if one["defence"] == name], control)
        for name in DEFENCES
        if any(one["defence"] == name for one in found)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEAD, ["---"] * len(HEAD), *rows))


def row(name: str, found: Sequence[Record], control: dict[int, Record]) -> tuple[str, ...]:
    """Return the row of one defence."""
    paired = [(one, control[one["seed"]]) for one in found if one["seed"] in control and name != PLAIN]
    return (
        name,
        _score(found, "test"),
        _score(found, "clean"),
        _score(found, "robust"),
        _spread(found, lambda one: one["robust"]["worst-class"]),
        _spread(paired, lambda two: two[0]["robust"]["balanced"] - two[1]["robust"]["balanced"]),
        _spread(paired, lambda two: two[1]["test"]["balanced"] - two[0]["test"]["balanced"]),
        ", ".join(dict.fromkeys(one["verdict"] for one in found)),
        f"{DEFENCES[name].passes:g}",
        f"{sum(one['training-seconds'] for one in found) / len(found):.0f}",
        str(len(found)),
    )


def _score(found: Sequence[Record], of: str) -> str:
    if len(found) > 1:
        return _spread(found, lambda one: one[of]["balanced"])
    scores = found[0][of]
    limits = (
        f" ({_percent(scores['low'])} to {_percent(scores['high'])})" if scores["low"] is not None else ""
    )
    return f"{_percent(scores['balanced'])}{limits}"


def _spread(found: Iterable[Any], value: Callable[[Any], float | None]) -> str:
    values = [each for one in found if (each := value(one)) is not None]
    spread = Spread.of(values)
    if spread is None:
        return ""
    half = "" if spread.high is None else f" ({_percent(spread.high - spread.mean)})"
    return f"{_percent(spread.mean)}{half}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
