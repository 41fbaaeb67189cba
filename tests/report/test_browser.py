"""The pages in Chromium: what a reader sees, moves and prints, and what axe-core finds.

`.ci/run` asks for the browser (FEDROBUST_NEEDS_CHROMIUM): there, a missing one is a failure and no reason to skip.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.report import card
from fedrobust.report.page import write
from fedrobust.sweeps.page import render
from tests.sweeps.test_page import row

SMALL = {
    "name": "small",
    "data__samples": 400,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 5,
    "federation__rounds": 2,
    "federation__aggregator": "multi-krum",
    "poisoning__attack": "sign-flip",
    "poisoning__malicious": 1,
    "evaluation__epsilons": [0.005, "8/255", "32/255"],
    "evaluation__examples": 2,
    "audit__epsilon": "8/255",
    "audit__images": 40,
    "distillation__epochs": 1,
    "distillation__copies": 1,
    "export__enabled": False,
}

LOOKS = {"desk": (1280, "light"), "phone at night": (400, "dark")}


def absent(reason: str) -> None:
    """Skip, or fail where the browser is asked for."""
    (pytest.fail if os.environ.get("FEDROBUST_NEEDS_CHROMIUM") else pytest.skip)(reason)


@pytest.fixture(scope="module")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        absent("no Chromium is installed: on Debian, apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("Playwright is not installed: uv sync installs it with the other packages for developers")
    # Root, as in a container, cannot start Chromium's sandbox; the pages are our own files.
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]) as running,
    ):
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """The pages of one small run and its card, and that of a sweep.

    The student has the model's audit, and a second attack the figures of the first: there are all sections, and soon.
    """
    folder = tmp_path_factory.mktemp("pages")
    run = fedrobust.run(Experiment.quickstart(**SMALL), out=folder / "run")
    result = run.result
    result["student"]["audit"] = result["audit"]
    result["model-evaluation"]["robust"]["pgd"] = result["model-evaluation"]["robust"]["fgsm"]
    (folder / "run/result.json").write_text(json.dumps(result), encoding="utf-8")
    write(folder / "run")
    scores = {"accuracy": 0.8, "images": 156}
    rows = [row("none", seed, balanced_accuracy=0.7 + seed / 10, **scores) for seed in range(3)]
    rows += [row("alie", seed, balanced_accuracy=0.5, attack_success=0.4, **scores) for seed in range(2)]
    rows += [
        row(attack, 0, "mean", balanced_accuracy=float(attack == "none"), **scores)
        for attack in ("none", "alie")
    ]
    rows += [
        row("alie", 2, status="failed", error="Krum needs more clients"),
        row("ipm", 0, status="not run"),
    ]
    sweep = folder / "sweep.html"
    sweep.write_text(render(rows, "sweep"), encoding="utf-8")
    return {"report": folder / "run" / "report.html", "card": card.write(folder / "run"), "sweep": sweep}


@pytest.fixture
def opened(browser, pages):
    """Open a page in one of LOOKS; a fault in its console, or a request to elsewhere, fails the test."""
    faults, contexts = [], []

    def open_page(name: str, look: str = "desk", **settings):
        width, scheme = LOOKS[look]
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **settings
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: request.url.startswith("http") and faults.append(request.url))
        page.goto(pages[name].as_uri())
        if name == "report" and settings.get("java_script_enabled", True):
            page.locator(".plot").last.locator(".main-svg").first.wait_for(state="attached")  # drawn in order
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", ["report", "card", "sweep"])
def test_axe_finds_nothing(opened, name, look):
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        absent("axe-core is not installed: uv sync installs it with the other packages for developers")
    found = Axe().run(opened(name, look)).response["violations"]
    assert [(one["id"], node["html"], node["failureSummary"]) for one in found for node in one["nodes"]] == []


@pytest.mark.parametrize("name", ["report", "card", "sweep"])
def test_a_phone_scrolls_down_only(opened, name):
    page = opened(name, "phone at night")
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_the_slider_shows_one_size_of_the_perturbation_at_a_time(opened):
    page = opened("report")
    slider, answer = page.get_by_role("slider"), page.locator(".viewer output")
    attacked = page.locator(".panels figure:nth-child(2) img").first
    slider.focus()
    page.keyboard.press("Home")
    clean = attacked.get_attribute("src")
    assert slider.get_attribute("aria-valuetext") == "clean"
    assert clean == page.locator(".panels figure:first-child img").first.get_attribute("src")
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "ε 0.005, 1.3 grey levels"
    assert page.locator(".titles [data-shown=scale]").text_content() == "× 100"
    page.keyboard.press("End")
    assert slider.get_attribute("aria-valuetext") == "ε 32/255, 32 grey levels"
    assert attacked.get_attribute("src") not in (None, clean)
    assert attacked.evaluate("image => image.complete && image.naturalWidth") == 28
    right = page.locator("#every-epsilon tbody td:last-child.right").count()
    assert answer.text_content() == f"{right} of 2 right"


def test_the_score_of_the_plot_can_be_chosen_with_the_keyboard(opened):
    page = opened("report")
    page.get_by_label("Accuracy", exact=True).focus()
    page.keyboard.press("ArrowRight")
    shown = page.evaluate(
        "document.getElementById('by-epsilon').data.filter(trace => trace.visible).map(trace => trace.meta.metric)"
    )
    assert set(shown) == {"balanced_accuracy"}


def test_without_javascript_all_pictures_and_a_note_are_there(opened):
    page = opened("report", java_script_enabled=False)
    assert page.locator("#viewer").is_hidden()
    assert page.locator("#every-epsilon img.image").last.is_visible()
    assert page.get_by_text("The plots need JavaScript").is_visible()


def test_a_card_without_a_script_unfolds_on_paper(opened):
    page = opened("card")
    rule = page.locator("details td").last
    assert not rule.is_visible()
    page.emulate_media(media="print")
    assert rule.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_paper_has_every_picture_and_nothing_to_click(opened):
    page = opened("report")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#every-epsilon img.image").last.is_visible()
    assert page.locator("#viewer").is_hidden()
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")
