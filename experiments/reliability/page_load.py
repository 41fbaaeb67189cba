"""The report page of very many rounds: its size, and how long Chromium takes to open it.

    python experiments/reliability/page_load.py --rounds 5000

A made-up run is written: every round is evaluated, clean and under two attacks, with 20 clients of which a rule rejects
some, and one client fails now and then. Its page, that of 20 such rounds and an empty one are opened in headless
Chromium. Times are the browser's own (DevTools): from the start of the navigation to the end of the load event, and
until all plots are drawn; the fastest of some openings, which other work on the machine disturbs least. Beside them are
the seconds of processor time of the page's thread, which other work does not lengthen by waiting.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.report.page import write
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import (
    ClientsRecord,
    DatasetRecord,
    DefenceRecord,
    FailureRecord,
    IntervalsRecord,
    MetricsRecord,
    ModelEvaluationRecord,
    ModelRecord,
    RoundRecord,
    RunRecord,
)

CLIENTS = 20
OPENINGS = 5
LOADED = "() => performance.timing.loadEventEnd - performance.timing.navigationStart"
DRAWN = """async () => {
  const plots = [...document.querySelectorAll(".plot")];
  while (!plots.every((one) => one.querySelector(".main-svg"))) {
    await new Promise((done) => requestAnimationFrame(done));
  }
  return performance.now();
}"""


def metrics(draw: np.random.Generator, middle: float) -> MetricsRecord:
    """Return scores of 156 images around an accuracy."""
    right = int(np.clip(draw.normal(156 * middle, 4), 0, 156))
    share = right / 156
    wide = (max(0.0, share - 0.06), min(1.0, share + 0.06))
    return MetricsRecord(
        n=156,
        correct=right,
        accuracy=share,
        balanced_accuracy=share,
        auc=share,
        majority_rate=0.73,
        loss=float(draw.random()),
        interval=IntervalsRecord(accuracy=wide, balanced_accuracy=wide, auc=wide),
    )


def one_round(number: int, draw: np.random.Generator) -> RoundRecord:
    """Return the record of a round."""
    accuracy = 0.9 - 0.4 * np.exp(-number / 300)
    accepted = tuple(sorted(draw.choice(CLIENTS, 15, replace=False).tolist()))
    failures = (FailureRecord(partition=3, reason="loss is not finite"),) if number % 7 == 0 else ()
    attacked = {name: {"8/255": metrics(draw, accuracy - 0.3)} for name in ("fgsm", "pgd")}
    return RoundRecord(
        round=number,
        clean=metrics(draw, accuracy),
        robust=attacked,
        clients=ClientsRecord(
            sampled=CLIENTS,
            trained=CLIENTS - len(failures),
            failed=len(failures),
            failures=failures,
            loss=0.4,
        ),
        defence=DefenceRecord(
            rule="multi-krum",
            attacked=True,
            partitions=tuple(range(CLIENTS)),
            malicious=(1, 2),
            accepted=accepted,
            influence=(1 / CLIENTS,) * CLIENTS,
            true_positive_rate=float(draw.random()),
            false_positive_rate=float(draw.random() / 4),
            malicious_influence=float(draw.random() / 10),
            distance=0.5,
            honest_norm=1.0,
            seconds=0.01,
        ),
        kept=f"round {number}: the logits are not finite" if number % 50 == 0 else None,
        seconds=1.5,
    )


def made_up(folder: Path, rounds: int) -> None:
    """Write the result of a run of so many rounds."""
    draw = np.random.default_rng(0)
    record = RunRecord(
        status="finished",
        name=f"{rounds} rounds",
        experiment={
            "name": "made up",
            "federation": {"rounds": rounds, "clients": CLIENTS, "aggregator": "multi-krum"},
            "poisoning": {"attack": "sign-flip"},
        },
        dataset=DatasetRecord(
            name="made up", labels=("ill", "well"), disease=(0,), counts={"test": (42, 114)}
        ),
        model=ModelRecord(name="edge-cnn", selected_round=rounds),
        model_evaluation=ModelEvaluationRecord(clean=metrics(draw, 0.9)),
        rounds=tuple(one_round(number, draw) for number in range(1, rounds + 1)),
        seconds=1.5 * rounds,
    )
    RunFolder(folder).write_json("result.json", record.to_json())


def opened(pages: dict[str, Path]) -> dict[str, Any]:
    """Return each page's seconds until it is loaded and until its plots are drawn; nothing without Chromium."""
    program = shutil.which("chromium")
    if program is None:
        return {}
    from playwright.sync_api import sync_playwright

    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in pages}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(OPENINGS):
            for name, path in pages.items():
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                page.set_default_timeout(0)  # a busy machine takes its time
                devtools = page.context.new_cdp_session(page)
                devtools.send("Performance.enable", {"timeDomain": "threadTicks"})
                page.goto(path.as_uri(), wait_until="load")
                busy = processor_seconds(devtools)
                page.wait_for_function("() => performance.timing.loadEventEnd > 0")
                loaded, drawn = page.evaluate(LOADED) / 1e3, page.evaluate(DRAWN) / 1e3
                found[name].append((loaded, drawn, busy, processor_seconds(devtools)))
                page.close()
        browser.close()
    names = ("loaded", "drawn", "loaded, processor", "drawn, processor")
    return {
        name: {what: round(min(each), 2) for what, each in zip(names, zip(*times, strict=True), strict=True)}
        for name, times in found.items()
    }


def processor_seconds(devtools: Any) -> float:
    """Return the processor time of the page's thread so far."""
    metrics = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def beside_others(report: Path) -> dict[str, Any]:
    """Return the size of a report, and its times beside those of 20 rounds and of an empty page."""
    with tempfile.TemporaryDirectory() as place:
        empty = Path(place) / "empty.html"
        empty.write_text("<!doctype html><title>empty</title>")
        made_up(Path(place), 20)
        short = write(Path(place))
        return {
            "page-bytes": report.stat().st_size,
            "of 20 rounds": short.stat().st_size,
            "opened": opened({"empty": empty, "20 rounds": short, "report": report}),
        }


def main() -> None:
    """Make the run, write and open its page, print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="keep the page there; by default it is removed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = given.folder or Path(place)
        folder.mkdir(exist_ok=True)
        made_up(folder, given.rounds)
        began = time.perf_counter()
        report = write(folder)
        found = {"rounds": given.rounds, "seconds to write": round(time.perf_counter() - began, 1)}
        found |= beside_others(report)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
