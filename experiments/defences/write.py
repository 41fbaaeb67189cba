"""Write RESULTS.md from the records in ``results/``; nothing is run.

python experiments/defences/write.py
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType

sys.path.insert(0, str(Path(__file__).parent))

from cells import DEFENCES, DIVISIONS, NETWORKS, PLAIN, STUDIES, transformation
from overview import differences, overview
from prediction import costs
from records import Record, read

from fedrobust.figures.of_audited import Point, figure_of, points
from fedrobust.figures.write import write
from fedrobust.sweeps.paired import holm, paired, text_of_p
from fedrobust.sweeps.spread import Spread

REFERENCE = "PGD"
"""The defence that others stand beside, too."""

PAGE = Path(__file__).parent / "RESULTS.md"

INTRODUCTION = """# Defences

Written by `python experiments/defences/run.py` from the records of its runs. Balanced accuracy in percent: on all clean
test images; on the audited ones, clean and under every attack of the audit (robust), and of the worst class under it.
With one seed the brackets hold the 95 % interval over images, with more half the 95 % interval of the mean over seeds,
which of two seeds is 6.4 times their difference.
"Gain" is robust less that of plain training of the same rounds and seed, "beside PGD" less that of PGD with three
steps, "cost" the clean balanced accuracy that is lost against plain training; all paired by seed. "p" is that of the
paired t test of the gain, with three seeds or more, after Holm's correction for the number of defences in the table.
"Passes" are forward and backward passes for a batch in a round, "prediction" the processor's time of an answer, both in
those of plain training of one local epoch. Seconds are those of the rounds, on a machine with other work. In the
pictures no other defence is better in both accuracies than a blue one; those with a degenerate model are left out of
this comparison. In the overviews are robust balanced
accuracies, with the clean one of all test images after "at", bold where the 95 % interval over seeds of the gain
leaves out 0, which is not corrected for the number of defences, and gain and cost averaged over the tables of each
seed that all of them have; of one seed without an interval. It is not bold where the gains of all seeds are one number,
which does not tell how they vary. † marks figures with a model whose verdict is "degenerate": a constant classifier has
50 on PneumoniaMNIST and BreastMNIST, 14.3 on DermaMNIST, under every attack, and its gain is none in robustness. With
mobilenetv2, TRADES and MART attacked with shorter steps on BreastMNIST, and on PneumoniaMNIST with seeds 1 and 2: their
means are over both, and no p of theirs there counts. TRADES has beta 3 but for the row of 6, its
default and its paper's larger value; GradAlign has weight 0.2, its authors' scripts give 0.063 at 4/255."""

HEAD = (
    "defence",
    "clean, all",
    "clean",
    "robust",
    "worst class",
    "gain",
    "p",
    "beside PGD",
    "cost",
    "verdicts",
    "passes",
    "prediction",
    "seconds",
    "seeds",
)


def main() -> None:
    """Write the page, and its pictures where there are two defences to compare."""
    pictures = draw(dict(tables()), PAGE.parent / "pictures")
    PAGE.write_text(page(pictures), encoding="utf-8")


def tables() -> Iterator[tuple[str, tuple[str, list[Point]]]]:
    """Yield the name of each table's picture, its title and its points: means over seeds."""
    for data in STUDIES:
        for division in DIVISIONS:
            there = [one for one in read(data) if one["division"] == division]
            for protocol in sorted({_protocol(one) for one in there}):
                found = [one for one in there if _protocol(one) == protocol]
                means = [
                    (
                        name,
                        *(fmean(one[of]["balanced"] for one in its) for of in ("test", "robust")),
                        DEFENCES[name].passes,
                    )
                    for name in DEFENCES
                    if (its := [one for one in found if one["defence"] == name])
                ]
                title = f"{data.removesuffix('.npz')}, {division}; {protocol}"
                degenerate = {one["defence"] for one in found if one["verdict"] == "degenerate"}
                yield picture_of(data, division, protocol), (title, points(means, degenerate))


def draw(tables: Mapping[str, tuple[str, Sequence[Point]]], folder: Path) -> dict[str, str]:
    """Write the picture of each table of two defences or more, and return its file's name by the table's key.

    Args:
        tables: from a file's name without an ending to a title and the points.
        folder: of the pictures.
    """
    drawn = {
        name: figure_of(name, *what, "passes for a batch")
        for name, what in tables.items()
        if len(what[1]) > 1
    }
    write(drawn.values(), folder, ("svg",))
    return {name: f"{folder.name}/{name}.svg" for name in drawn}


def picture_of(data: str, division: str, protocol: str) -> str:
    """Return the name of a table's picture.

    Example:
        >>> picture_of("dermamnist_rebuilt.npz", "Dirichlet 0.5", "5 rounds, epsilon 4/255")
        'dermamnist_rebuilt-dirichlet-0-5-5-rounds-epsilon-4-255'
    """
    words = re.findall(r"[a-z0-9_]+", f"{data.removesuffix('.npz')} {division} {protocol}".lower())
    return "-".join(words)


def page(pictures: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the text of RESULTS.md, with the pictures, whose files are given by their names."""
    parts = [INTRODUCTION, *overviews()]
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
                drawn = pictures.get(picture_of(data, division, protocol))
                parts += [f"![Clean against robust balanced accuracy]({drawn})"] if drawn else []
    return "\n\n".join(parts) + "\n"


def overviews() -> Iterator[str]:
    """Yield a heading and the overview of each network and division that has the tables of two data sets or more."""
    for network in NETWORKS:
        for division in DIVISIONS:
            titles: dict[str, list[Record]] = {}
            for data in STUDIES:
                for one in read(data):
                    if (one["network"], one["division"]) == (network, division):
                        title = f"{data.removesuffix('.npz').removesuffix('_rebuilt')}, {one['effort']}"
                        titles.setdefault(title, []).append(one)
            if text := overview(titles):
                yield f"## Overview: {network}, {division}"
                yield text


def _protocol(one: Record) -> str:
    """Return what the rows of a table have in common."""
    audit = f"{one['effort']} audit of {one['images']} images"
    return f"{one['network']}, {one['rounds']} rounds, epsilon {one['epsilon']}, {audit}"


def table(found: Sequence[Record]) -> str:
    """Return the table of a data set, division and protocol."""
    tested = significance(found)
    rows = [row(name, found, tested) for name in DEFENCES if any(one["defence"] == name for one in found)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (HEAD, ["---"] * len(HEAD), *rows))


def significance(found: Sequence[Record]) -> dict[str, float]:
    """Return the p of each defence's gain over plain training in a table: paired t test over seeds, Holm's correction.

    A defence with fewer than three seeds beside plain training, or with the same gain of each, has none, and does not
    count in the correction.
    """
    robust: dict[str, dict[int, float]] = {}
    for one in found:
        robust.setdefault(one["defence"], {})[one["seed"]] = one["robust"]["balanced"]
    pairs = holm([paired(name, PLAIN, {"": robust}) for name in robust if name != PLAIN])
    return {pair.rule: pair.adjusted for pair in pairs if pair.adjusted is not None}


def row(
    name: str, among: Sequence[Record], tested: Mapping[str, float] = MappingProxyType({})
) -> tuple[str, ...]:
    """Return the row of one defence; `among` are the records of its table, `tested` the p of gains."""
    found = [one for one in among if one["defence"] == name]
    return (
        name,
        _score(found, "test"),
        _score(found, "clean"),
        _score(found, "robust"),
        _spread([one["robust"]["worst-class"] for one in found]),
        _spread(differences(name, PLAIN, among, "robust")),
        text_of_p(tested[name]) if name in tested else "",
        _spread(differences(name, REFERENCE, among, "robust")),
        _spread(differences(PLAIN, name, among, "test")),
        ", ".join(dict.fromkeys(one["verdict"] for one in found)),
        f"{DEFENCES[name].passes:g}",
        _prediction(name, found[0]["network"]),
        f"{sum(one['training-seconds'] for one in found) / len(found):.0f}",
        str(len(found)),
    )


def _prediction(name: str, network: str) -> str:
    """Return what an answer costs in those of the network alone; a recipe's is the same network."""
    spec = transformation(DEFENCES[name])
    cost = costs().get(network, {}).get(spec) if spec else 1.0
    return "" if cost is None else f"{cost:.2g}"


def _score(found: Sequence[Record], of: str) -> str:
    if len(found) > 1:
        return _spread([one[of]["balanced"] for one in found])
    scores = found[0][of]
    limits = (
        f" ({_percent(scores['low'])} to {_percent(scores['high'])})" if scores["low"] is not None else ""
    )
    return f"{_percent(scores['balanced'])}{limits}"


def _spread(values: Iterable[float | None]) -> str:
    spread = Spread.of([value for value in values if value is not None])
    if spread is None:
        return ""
    half = "" if spread.high is None else f" ({_percent(spread.high - spread.mean)})"
    return f"{_percent(spread.mean)}{half}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
