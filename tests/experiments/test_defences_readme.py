"""The figures of the page of defences, computed anew from the records."""

import json
from pathlib import Path
from statistics import fmean

import pytest
from scipy import stats

from fedrobust.sweeps.spread import Spread

HERE = Path(__file__).resolve().parents[2] / "experiments/defences"
SETS = {
    "PneumoniaMNIST": "pneumoniamnist",
    "BreastMNIST": "breastmnist",
    "DermaMNIST": "dermamnist_rebuilt",
}
NAMES = {
    "PGD, four local epochs": "PGD, 4 epochs",
    "free, eight replays": "free, 8 replays",
    "fast FGSM, two local epochs": "fast FGSM, 2 epochs",
    "plain, four local epochs": "plain, 4 epochs",
    "AWP": "AWP (PGD)",
    "GradAlign, weight 0.2": "GradAlign",
    "TRADES, beta 3": "TRADES",
    "Gaussian noise, then a vote of 16 noisy copies": "Gaussian noise, smoothing",
    "the vote of 16 noisy copies alone": "smoothing",
    "FGSM at 0.001 (the paper)": "FGSM at 0.001",
    "gradient penalty, weight 1": "gradient penalty, 1",
    "gradient penalty, weight 0.1": "gradient penalty, 0.1",
}
"""The page's name of a defence -> its name in the records, where it is another one."""


def of(network, data, defence):
    """Return the records of ten clients iid by seed, of the effort that the page names."""
    effort = "full" if (network, data) == ("mobilenetv2", "pneumoniamnist") else "standard"
    wanted = (network, "iid", NAMES.get(defence, defence), effort)
    return {
        one["seed"]: one
        for one in json.loads((HERE / f"results/{data}.json").read_text(encoding="utf-8"))
        if (one["network"], one["division"], one["defence"], one["effort"]) == wanted
    }


def rows(heading):
    """Yield the cells of the rows of the first table below a heading of the page."""
    below = (HERE / "README.md").read_text(encoding="utf-8").partition(f"## {heading}\n")[2]
    lines = below[below.index("| ---") :].splitlines()[1:]
    for line in lines[: next(place for place, line in enumerate(lines) if not line.startswith("|"))]:
        yield [cell.strip() for cell in line[1:-1].replace("`", "").replace("**", "").split("|")]


def which_one():
    data = ""
    for first, network, defence, keeps, clean, seconds in rows("Which one?"):
        data = first.partition(":")[0] or data
        yield SETS[data], network.lower(), defence, keeps, clean, int(seconds)


@pytest.mark.parametrize("row", which_one(), ids=lambda row: "/".join(row[:3]))
def test_a_choice_has_the_figures_of_its_records(row):
    data, network, defence, keeps, clean, seconds = row
    own, plain = of(network, data, defence), of(network, data, "plain")
    robust = Spread.of([100 * one["robust"]["balanced"] for one in own.values()])
    low, high = (
        (robust.low, robust.high)
        if len(own) > 1
        else (100 * own[0]["robust"][limit] for limit in ("low", "high"))
    )
    assert keeps.startswith(f"{robust.mean:.1f} ({low:.1f} to {high:.1f})")
    assert ("one seed" in keeps) == (len(own) == 1)
    constant = 100 / 7 if data == SETS["DermaMNIST"] else 50
    assert (f"not told apart from {constant:.0f}" in keeps) == (low < constant < high)
    means = [100 * fmean(one["test"]["balanced"] for one in its.values()) for its in (own, plain)]
    assert clean == "{:.1f} ({:.1f})".format(*means)
    assert seconds == round(fmean(one["training-seconds"] for one in own.values()))


def test_the_p_of_the_choices_for_little_data_are_those_against_a_constant_classifier():
    found = [
        stats.ttest_1samp(
            [one["robust"]["balanced"] for one in of(network, data, defence).values()], 0.5
        ).pvalue
        for data, network, defence, *_ in which_one()
        if data == SETS["BreastMNIST"]
    ]
    said = "0.002, 0.039, 0.034, 0.14 and 0.27"
    assert said in (HERE / "README.md").read_text(encoding="utf-8")
    assert [f"{p:.3f}" if p < 0.1 else f"{p:.2f}" for p in found] == said.replace(" and", ",").split(", ")
    first, second, *_ = sorted(found)
    assert 5 * first < 0.05 < 4 * second, "after Holm's correction that of PGD alone"


def spread(values):
    """Return percent as the table of the small network has them."""
    found = Spread.of([100 * value for value in values])
    half = found.high - found.mean
    return f"{found.mean:.1f}" if half < 0.05 else f"{found.mean:.1f} ± {half:.1f}"


def single():
    """Yield the rows of the small network that are of one defence and have an interval over the three sets."""
    for first, *figures in rows("A small network, three sets"):
        name, _, passes = first.rpartition(", ")
        name = name if passes.replace(".", "").isdigit() else first
        if of("edge-cnn", "breastmnist", name) and "of two sets" not in figures[3]:
            yield name, figures


@pytest.mark.parametrize(("name", "figures"), single(), ids=lambda one: one if isinstance(one, str) else "")
def test_a_row_of_the_small_network_has_the_figures_of_its_records(name, figures):
    kept, gains, costs = [], [], []
    for data in SETS.values():
        own, plain = of("edge-cnn", data, name), of("edge-cnn", data, "plain")
        seeds = (0, 1, 2)
        kept.append(spread([own[seed]["robust"]["balanced"] for seed in seeds]))
        gains.append([own[seed]["robust"]["balanced"] - plain[seed]["robust"]["balanced"] for seed in seeds])
        costs.append([plain[seed]["test"]["balanced"] - own[seed]["test"]["balanced"] for seed in seeds])
    means = [spread([fmean(each) for each in zip(*found, strict=True)]) for found in (gains, costs)]
    expected = [*kept, "", ""] if name == "plain" else [*kept, *means]
    assert [cell.partition(" (")[0] for cell in figures] == expected


def test_the_rows_of_one_defence_are_all_of_the_page_but_the_joined_ones():
    assert len(list(single())) == 21
    assert "the vote of 16 noisy copies alone" in dict(single())
