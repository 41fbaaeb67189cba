"""Hostile text in every place of a run's files and in a sweep: in Chromium nothing of it runs, or is an element.

The pages' policy forbids scripts that are not their own; it is taken out here, so that what is escaped is tested alone.
"""

import copy
import json
import re
import shutil

import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.report import card
from fedrobust.report.page import write
from fedrobust.sweeps.page import render as render_sweep
from tests.report.test_browser import SMALL, absent, browser  # noqa: F401
from tests.sweeps.test_page import row

HOSTILE = (
    "\"'></title></style></textarea></script><script>window.owned=1</script>"
    '<img src=x id=owned onerror="window.owned=1">'
    "<svg id=owned onload=window.owned=1>{{7*7}}${window.owned=1}javascript:window.owned=1"
)

pytestmark = pytest.mark.slow  # some hundred pages


def texts(value, path=()):
    """Yield where the texts of a document are."""
    if isinstance(value, str):
        yield path
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, each in entries:
        yield from texts(each, (*path, name))


def hostile(value, paths):
    """Return a copy of a document with hostile text in some places."""
    found = copy.deepcopy(value)
    for path in paths:
        inner = found
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = HOSTILE
    return found


def written(document, paths, make):
    """Return pages with hostile text in as many of the places as can be written, and those places.

    A text of a fixed list, such as a state, cannot be replaced: writing then ends with an error, and there is no page.
    """
    try:
        return [make(hostile(document, paths))], list(paths)
    except Exception:
        if len(paths) == 1:
            return [], []
    half = len(paths) // 2
    one, other = (written(document, part, make) for part in (paths[:half], paths[half:]))
    return one[0] + other[0], one[1] + other[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("injection") / "run"
    fedrobust.run(Experiment.quickstart(**SMALL), out=folder)
    return folder


def owned(browser, page_text, place):  # noqa: F811
    """Return what of the hostile text runs or is an element of a page, in Chromium."""
    place.write_text(
        re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_text), encoding="utf-8"
    )
    context = browser.new_context()
    page = context.new_page()
    found = []
    page.on("dialog", lambda dialog: found.append(dialog.message) or dialog.dismiss())
    page.on("request", lambda request: found.append(request.url) if request.url.startswith("http") else None)
    page.goto(place.as_uri())
    page.wait_for_load_state("load")
    found += page.evaluate("[window.owned, document.getElementById('owned')].filter(one => one)")
    found += page.evaluate(
        "[...document.querySelectorAll('*')].flatMap(one => [...one.attributes])"
        ".filter(one => one.name.startsWith('on') || one.value.startsWith('javascript:')).map(one => one.name)"
    )
    context.close()
    return found


def test_this_test_sees_a_page_that_does_not_escape(browser, tmp_path):  # noqa: F811
    assert owned(browser, f"<html><body><p>{HOSTILE}</p></body></html>", tmp_path / "page.html") != []


@pytest.mark.parametrize(
    ("name", "make"), [("result.json", write), ("card.json", card.write), ("partition.json", write)]
)
def test_no_text_of_a_run_is_more_than_text(browser, run, tmp_path, name, make):  # noqa: F811
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    document = json.loads((run / name).read_text())

    def page_of(changed):
        (folder / name).write_text(json.dumps(changed), encoding="utf-8")
        return make(folder).read_text(encoding="utf-8")

    paths = list(texts(document))
    pages, places = written(document, paths, page_of)
    assert len(places) > len(paths) / 2, sorted({*paths} - {*places}, key=str)
    assert sum(page.count("window.owned") for page in pages) > 0, "the text is on the pages"
    assert [owned(browser, page, tmp_path / "page.html") for page in pages] == [[] for _ in pages]


def test_no_text_of_a_sweep_is_more_than_text(browser, tmp_path):  # noqa: F811
    import dataclasses

    rows = [
        dataclasses.replace(
            row("none", 0, balanced_accuracy=0.7),
            settings={HOSTILE: HOSTILE, "poisoning.attack": HOSTILE}, folder=HOSTILE, code=HOSTILE,
        ),
        row("alie", 2, status="failed", error=HOSTILE),
    ]  # fmt: skip
    page = render_sweep(rows, HOSTILE)
    assert "window.owned" in page
    assert owned(browser, page, tmp_path / "page.html") == []
