"""Pages of very many rounds: what they show of them, and that they do not grow with their number."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fedrobust.report import thinning
from fedrobust.report.folder import read
from fedrobust.report.sections.clients import clients
from fedrobust.report.sections.poisoning import poisoning
from fedrobust.report.sections.rounds import rounds

HERE = Path(__file__).resolve().parents[2] / "experiments/reliability"


@pytest.fixture(scope="module")
def made_up():
    """The measuring program's maker of runs."""
    sys.path.insert(0, str(HERE))
    import page_load

    yield page_load.made_up
    sys.path.remove(str(HERE))
    sys.modules.pop("page_load", None)


@pytest.fixture(scope="module")
def shown(made_up, tmp_path_factory):
    """Return what the sections hold of runs of some lengths."""
    found = {}
    for number in (100, 1100):
        folder = tmp_path_factory.mktemp("run")
        made_up(folder, number)
        run = read(folder)
        found[number] = {"rounds": rounds(run), "poisoning": poisoning(run), "clients": clients(run)}
    return found


def test_extremes_keep_the_highest_and_the_lowest_of_every_line():
    draw = np.random.default_rng(3)
    lines = draw.random((3, 5000))
    lines[0, 1234], lines[2, 4321] = 9.0, -9.0
    values = [line.__getitem__ for line in lines]
    kept = thinning.extremes(range(5000), values, 602)
    assert kept == sorted(set(kept))
    assert len(kept) <= 602
    assert {0, 1234, 4321, 4999} <= set(kept)
    for line in lines:
        for start in range(0, 5000, 50):  # (602 - 2) / 6 = 100 stretches
            stretch = range(start, start + 50)
            inside = [place for place in kept if place in stretch]
            assert max(line[inside]) == max(line[stretch.start : stretch.stop])
            assert min(line[inside]) == min(line[stretch.start : stretch.stop])


def test_few_rounds_are_all_shown_and_values_may_be_missing():
    assert thinning.extremes(range(7), [lambda _: 1.0], 7) == list(range(7))
    assert thinning.spread(range(7), 7) == list(range(7))
    known = {3: 5.0, 70: 1.0}
    assert thinning.extremes(range(100), [known.get, lambda _: None], 10) == [0, 3, 70, 99]
    assert thinning.extremes(range(100), [], 10) == [0, 99]


def test_a_page_of_a_hundred_rounds_shows_them_all(shown):
    page = shown[100]
    assert page["rounds"]["notes"] == page["poisoning"]["notes"] == []
    assert len(page["rounds"]["table"].rows) == len(page["poisoning"]["table"].rows) == 100
    assert page["poisoning"]["fates"]["note"] == ""


def test_a_page_of_very_many_rounds_says_what_it_shows(shown):
    page = shown[1100]
    points = len(page["rounds"]["figure"]["data"][1]["x"])
    plot, table = page["rounds"]["notes"]
    assert plot.startswith(f"The plot shows {points} of 1,100 rounds, in each stretch")
    assert table.startswith("The table shows 200 of 1,100 rounds, in equal distances")
    assert len(page["poisoning"]["notes"]) == 2
    names = [name.text for name, _ in page["rounds"]["table"].rows]
    assert (names[0], names[-1]) == ("1", "1100")
    assert len(page["poisoning"]["fates"]["rounds"]) == thinning.MOST_COLUMNS
    assert "100 of 1,100 rounds" in page["poisoning"]["fates"]["note"]
    ((client, numbers, _),) = page["clients"]["failures"]
    assert (client, numbers) == (3, "157 rounds from 7 to 1,099")


def test_what_a_page_holds_does_not_grow_with_the_rounds(shown):
    long = shown[1100]
    for part in ("rounds", "poisoning"):
        for trace in long[part]["figure"]["data"]:
            assert len(trace["x"]) <= 2 * thinning.MOST_POINTS  # a band goes there and back
    assert len(long["poisoning"]["kept"]) <= thinning.MOST_ROWS
    assert len(long["poisoning"]["table"].rows) <= thinning.MOST_ROWS


def test_the_kept_round_is_in_the_table_wherever_it_is(made_up, tmp_path):
    made_up(tmp_path, 220)
    result = json.loads((tmp_path / "result.json").read_text())
    every = {str(one) for one in range(1, 221)}
    skipped = every - {name.text for name, _ in rounds(read(tmp_path))["table"].rows}
    result["model"]["selected-round"] = int(min(skipped))
    (tmp_path / "result.json").write_text(json.dumps(result))
    table = rounds(read(tmp_path))["table"]
    assert [name.note for name, _ in table.rows if name.text == min(skipped)] == ["kept"]


def test_reasons_of_failures_are_those_of_most_rounds(folder, result):
    for one in result["rounds"][1:]:
        one["clients"]["failures"] = [
            {"partition": 1, "reason": f"loss {one['round']}.{place}"} for place in range(150)
        ] + [{"partition": 0, "reason": "in every round"}]
    section = clients(read(folder(result)))
    assert len(section["failures"]) == thinning.MOST_ROWS
    assert section["failures"][0] == (0, "1 and 2", "in every round")
    assert section["unshown"].startswith("101 more reasons")
