import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from fedrobust.report.errors import ReportError
from fedrobust.report.folder import read
from fedrobust.report.page import write
from fedrobust.report.sections.clients import clients
from fedrobust.report.sections.examples import examples as examples_of
from fedrobust.report.sections.models import models
from fedrobust.report.sections.poisoning import poisoning
from tests.report.conftest import metrics
from tests.report.test_base91 import decoded

HOSTILE = '</script><script>alert("owned")</script><img src=https://evil.example/x onerror=alert(1)>'


class Page(HTMLParser):
    """The page as a browser sees it: its elements, the text of its scripts, and the text a reader sees."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.scripts, self.words = [], [], []
        self.inside = []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.inside.append(tag)
            self.scripts += [[dict(attributes), ""]] if tag == "script" else []

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.words.append(data)
        elif self.inside[-1] == "script":
            self.scripts[-1][1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    @property
    def figures(self):
        return {
            attributes["id"].removesuffix("-data"): json.loads(text)
            for attributes, text in self.scripts
            if attributes.get("type") == "application/json"
        }

    def named(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def page_of(folder):
    return Page(write(folder).read_text(encoding="utf-8"))


def test_a_full_run_has_every_section(folder):
    page = page_of(folder())
    assert set(page.figures) == {"by-round", "by-epsilon", "by-client"}
    for words in (
        "4 hospitals, 2 rounds: accuracy 89.7 % on 156 test images",
        "140 / 156",
        "Recall of “malignant” disease",
        "71.4 %",  # 30 of 42 malignant images found
        "2,260,546",
        "400 kB",
        "0.20 ms",
        "The student learnt from 78 images of the validation split: 60 epochs, temperature 4, 5.1 s.",
        "loss is not finite",
        "3 of 4",
        "sha256:0123abcd",
        "CC BY 4.0",
        "9b1c",
        "rounds = 2",
        "1 of them has no “malignant”.",
    ):
        assert words in page.text, words
    assert "This run failed" not in page.text


def test_the_images_carry_answer_confidence_and_whether_it_is_right(folder):
    page = page_of(folder())
    cells = [cell["class"] for cell in page.named("td") if cell.get("class") in ("right", "wrong")]
    assert cells == ["right"] * 6 + ["wrong"] * 2
    assert "✓ normal, benign 98 %" in page.text
    assert "✗ malignant 91 %" in page.text
    shown = [image for image in page.named("img") if image["class"] == "image"]
    assert len(shown) == 8
    assert len([image for image in page.named("img") if image["class"] == "change"]) == 8
    heads = [
        (one["data-size"], one["data-level"], one["data-scale"])
        for one in page.named("th")
        if "data-size" in one
    ]
    assert heads[:2] == [("clean", "", ""), ("ε 0.001", "0.26 grey levels", "× 500")]
    slider = next(one for one in page.named("input") if one["type"] == "range")
    assert (slider["max"], slider["value"]) == ("3", "2"), "it begins where the first image turns wrong"


def test_a_perturbation_of_another_norm_has_no_grey_levels(folder, result, examples):
    result["experiment"]["evaluation"] = {"norm": "l2"}
    moved = examples["images"].copy()
    moved[:, 1, 3, 4] += 0.05  # one pixel takes most of it
    run = folder(result, examples=examples | {"images": moved})
    page = page_of(run)
    assert "grey" not in page.text.lower()
    drawn = json.dumps(page.figures["by-epsilon"])
    assert "in grey" not in drawn
    assert "0.26/255" not in drawn
    assert "ε (l2)" in page.text
    assert "†" not in page.text
    assert {one["data-level"] for one in page.named("th") if "data-level" in one} == {""}
    (_, (clean, small, *_)), *_ = examples_of(read(run))["rows"]
    assert clean.change != small.change
    levels = np.frombuffer(zlib.decompress(png_body(small.change)), np.uint8)
    assert levels.max() == 255, "white is the largest change"
    assert 0 < np.sum(levels == 255) < 5, "and no more than it is white"


def png_body(uri):
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    start = data.index(b"IDAT") + 4
    return data[start : data.index(b"IEND") - 8]


def test_large_images_are_thinned_and_many_left_out(folder, result, examples):
    drawn = np.random.default_rng(0).uniform(size=(12, 4, 100, 150, 3)).astype(np.float32)
    many = examples | {
        "images": drawn,
        "probabilities": np.repeat(examples["probabilities"][:1], 12, axis=0),
        "labels": np.zeros(12, np.int64),
    }
    page = page_of(folder(result, examples=many))
    shown = [image["src"] for image in page.named("img")]
    assert sum(map(len, shown)) < 60_000
    # Width and height are the first fields of a PNG's header.
    header = base64.b64decode(shown[0].removeprefix("data:image/png;base64,"))[16:24]
    assert np.frombuffer(header, ">u4").tolist() == [50, 34]
    assert "of 12 kept images. Of their pixels, one in 3 is shown along each side." in page.text


def test_a_failed_run_says_why_and_what_is_missing(folder, failed_result):
    page = page_of(folder(failed_result))
    assert page.figures == {}
    assert page.text.index("Krum needs n >= 2f + 3 = 13") < page.text.index("4 hospitals, 0 rounds")
    for words in (
        "no model was evaluated on the test images",
        "The run failed: no round was completed.",
        "The run failed: no model was attacked.",
        "The run failed: no attacked images were kept.",
        "The run failed: partition.json is absent",
    ):
        assert words in page.text, words


def test_a_run_cut_short_shows_its_last_evaluated_round(folder, result, partition):
    cut = {"status": "failed", "error": "killed", "model-evaluation": None, "student": None, "export": []}
    page = page_of(folder(result | cut, partition=partition))
    assert "accuracy 89.7 % on 156 test images after round 2" in page.text
    assert "Global model after round 2" in page.text
    assert "by-epsilon" in page.figures


def test_a_run_without_student_and_examples(folder, result, partition):
    page = page_of(folder(result | {"student": None, "export": []}, partition=partition))
    for words in (
        "No student was distilled.",
        "No file was exported for the edge.",
        "No attacked images were kept.",
    ):
        assert words in page.text, words
    names = {trace["name"] for trace in page.figures["by-epsilon"]["data"]}
    assert not any("Student" in name for name in names)


@pytest.mark.parametrize(
    "part", ["dataset", "model", "experiment", "environment", "rounds", "export", "student"]
)
def test_any_part_may_be_absent(folder, result, part, partition, examples):
    del result[part]
    page = page_of(folder(result, partition=partition, examples=examples))
    assert "89.7" in page.text


def test_almost_nothing_is_enough(folder):
    assert "gone" in page_of(folder({"schema": 1, "status": "failed", "error": "gone"})).text


def test_a_round_without_evaluation_leaves_a_gap(folder, result):
    result["rounds"][1] |= {"clean": None, "validation": None, "robust": {}}
    trace = next(t for t in page_of(folder(result)).figures["by-round"]["data"] if t["name"] == "Accuracy")
    assert trace["x"] == [0, 2]


def test_a_column_without_numbers_is_left_out(folder, result):
    assert "Accuracy validation" in page_of(folder(result)).text
    for one in result["rounds"]:
        one["validation"] = None
    assert "Accuracy validation" not in page_of(folder(result)).text


def test_unreadable_files_are_named(folder, result):
    run = folder(result)
    (run / "partition.json").write_text("{")
    (run / "examples.npz").write_bytes(b"no zip")
    text = page_of(run).text
    assert "partition.json cannot be read" in text
    assert "examples.npz cannot be read" in text


def test_a_diverged_loss_is_no_obstacle(folder, result):
    result["rounds"][1]["clients"]["loss"] = float("nan")
    run = folder(result)
    assert "NaN" in (run / "result.json").read_text()
    assert "by-round" in page_of(run).figures


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"result\.json is missing"),
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ('{"schema": 3}', "schema = 3, this version of fedrobust reads 1 and 2"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(ReportError, match=message):
        write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_nothing_is_loaded_from_elsewhere(folder):
    run = folder()
    page = page_of(run)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "data", "poster", "background"):
            value = attributes.get(name)
            own = ("#",) if (tag, name) == ("a", "href") else ("data:image/png;base64,",)
            assert value is None or value.startswith(own), (tag, name, value)
    assert {"link", "iframe", "object", "embed", "base"}.isdisjoint(tag for tag, _ in page.elements)
    styles = re.findall(r"<style>.*?</style>", (run / "report.html").read_text(encoding="utf-8"), re.DOTALL)
    assert len(styles) == 1
    assert "url(" not in styles[0]
    assert "@import" not in styles[0]


def test_the_page_is_small_and_every_end_tag_is_whole(folder, result):
    path = write(folder(result | {"audit": audit("not robust")}))
    assert path.stat().st_size < 2_000_000
    html = re.sub(r"<script.*?</script>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert re.findall(r"</\w+[^\w>]", html) == []


def audit(word, standing=(1, 2), **checks):
    """Return a card of the run's model: `standing` images of the two classes are right under every attack."""
    named = {"converged": "passed", "keeps its lead": "failed", "int8 twin": "not applicable", **checks}
    finding = {"figure": "", "sentence": "", "rule": "", "source": "", "weight": "not robust"}
    return {
        "schema": 3,
        "threat": {"norm": "linf", "space": "native", "bits": 0, "tied": False, "epsilon": "2/255"},
        "data": {"name": "BreastMNIST", "split": "test", "n": 156},
        "verdict": {"word": word, "sentence": "What it means.", "deciding": ["keeps its lead"]},
        "checks": [{**finding, "check": name, "outcome": outcome} for name, outcome in named.items()],
        "clean": metrics([30, 110]),
        "standing": metrics(list(standing)),
    }


def test_verdict_and_worst_attack_stand_first(folder, result):
    page = page_of(folder(result | {"audit": audit("not robust")}))
    verdict = page.text.index(
        "Not robust Changes of the images within the threat model (linf, epsilon 2/255) are enough"
    )
    assert "Under all audit attacks, linf 2/255: 1.9 % right (3 of 156 images, " in page.text
    assert "Without an attack: 89.7 %." in page.text
    assert verdict < page.text.index("4 hospitals, 2 rounds") < page.text.index("Balanced accuracy")
    assert "under all audit attacks, linf 2/255: 1.9 %." in page.text
    # The failed checks, then all in one fold.
    rows = [
        one["class"] for one in page.named("tr") if one.get("class") in ("passed", "failed", "not-applicable")
    ]
    assert rows == ["failed", "failed", "passed", "not-applicable"]
    assert page.text.count("All checks, with their rules and sources") == 1
    assert "Further checks 1 failed, 1 passed, 1 not applicable" in page.text


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"shown": True}, "Degenerate The model does not solve its task without any attack"),
        (
            {"shown": False},
            "Degenerate Without any attack the model cannot be told from a constant classifier on 156",
        ),
        ({}, "Degenerate Without any attack the model cannot be told from a constant classifier on 156"),
    ],
)
def test_a_degenerate_verdict_claims_no_more_than_the_images_show(folder, result, details, words):
    card = audit("degenerate")
    card["checks"][0] |= {"outcome": "failed", "weight": "degenerate", "details": details}
    assert words in page_of(folder(result | {"audit": card})).text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"experiment": {"audit": {"enabled": False}}},
            "Not audited The audit was switched off (audit.enabled)",
        ),
        ({"status": "stopped"}, "Run stopped The run was stopped before its audit: 2 of 2 rounds are done."),
        ({}, "Not audited No audit was recorded"),
    ],
)
def test_without_an_audit_the_page_says_so_and_shows_the_worst_attack(folder, result, changes, words):
    page = page_of(folder(result | changes))
    assert words in page.text
    assert "Under FGSM at 8/255: 1.9 % right (3 of 156 images" in page.text


def test_date_and_command_are_shown_where_they_are_recorded(folder, result):
    result["environment"] |= {"date": "2026-11-26 21:30 UTC", "command": "fedrobust run breast --set seed=1"}
    page = page_of(folder(result))
    assert page.text.index("2026-11-26 21:30 UTC") < page.text.index("Not audited")
    assert "Run with: fedrobust run breast --set seed=1" in page.text


def test_the_answers_of_a_model_are_shown_once(folder, result):
    answers = {
        "confusion": [[30, 12], [4, 110]],
        "reliability": [{"n": 156, "correct": 140, "confidence": 0.9}],
    }
    result["model-evaluation"]["predictions"] = result["student"]["predictions"] = answers
    page = page_of(folder(result))
    assert "Answers of the global model" in page.text
    assert "Answers of the student True classes down" in page.text
    card = audit("robust") | {"predictions": {"clean": answers, "attacked": answers}}
    page = page_of(folder(result | {"audit": card}))
    assert "Answers of the global model" not in page.text, "they are in its audit"
    assert "Worst case of all attacks Truth" in page.text


def test_what_a_run_cost_is_shown(folder, result):
    forecast = {
        "rounds": 2, "evaluations": 2, "workers": 2, "step-seconds": 0.01, "parameters": 10, "message-bytes": 500_000,
        "clients": 4, "steps": 9, "training-seconds": 1.0, "evaluation-seconds": 1.0, "memory-bytes": 2_000_000_000,
        "matrix-bytes": 1, "available-bytes": 4,
    }  # fmt: skip
    card = audit("robust") | {"cost": {"queries": 1200, "gradients": 800, "seconds": 61.0}}
    result["rounds"][1]["training-seconds"], result["rounds"][2]["training-seconds"] = 3.0, 5.0
    result["environment"]["cores"] = 2
    page = page_of(folder(result | {"forecast": forecast, "audit": card}))
    for words in (
        "Whole run 55.1 s on 2 cores",
        "Training 8.0 s, 4.0 s a round",
        "Messages 7.5 MB: 8 to clients and 7 back, 500 kB each",
        "Memory at most 2,000 MB, as forecast",
        "Audit 1,200 queries and 800 gradients of single images, 1 min 1 s",
        "Distillation 5.1 s",
    ):
        assert words in page.text.replace("\u202f", " "), words


def test_contents_link_to_every_section(folder, result):
    page = page_of(folder(result | {"audit": audit("robust")}))
    linked = [one["href"].removeprefix("#") for one in page.named("a")]
    assert linked == [one["id"] for one in page.named("section")]
    assert "poisoning" not in linked


def test_only_the_two_scripts_of_the_page_may_run(folder):
    page = page_of(folder())
    policy = next(meta["content"] for meta in page.named("meta") if "http-equiv" in meta)
    assert "default-src 'none'" in policy
    packed, size = next(
        (text, int(attributes["data-bytes"]))
        for attributes, text in page.scripts
        if attributes.get("id") == "plotly"
    )
    code = [gzip.decompress(decoded(packed, size)).decode("utf-8")]
    assert code == [get_plotlyjs()]
    code += [text for attributes, text in page.scripts if "type" not in attributes]
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert len(hashes) == 2


def test_hostile_text_stays_text(folder, result, partition, examples):
    result["name"] = result["error"] = result["environment"][HOSTILE] = result["student"]["name"] = HOSTILE
    result["status"] = "failed"
    result["dataset"]["labels"] = [HOSTILE, f"b{HOSTILE}"]
    result["rounds"][2]["clients"]["failures"][0]["reason"] = HOSTILE
    result["experiment"][HOSTILE] = {HOSTILE: HOSTILE}
    result["export"][0]["format"] = HOSTILE
    partition["method"] = HOSTILE
    page = page_of(folder(result, partition=partition, examples=examples))
    assert len(page.scripts) == 5  # three figures, Plotly, the page's own
    assert all(image["src"].startswith("data:") for image in page.named("img"))
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(HOSTILE) > 8
    # Plotly reads HTML in names, so they reach it escaped.
    names = [trace["name"] for trace in page.figures["by-client"]["data"]]
    assert names[0] == HOSTILE.replace("<", "&lt;").replace(">", "&gt;")


def test_lone_surrogates_do_not_stop_the_writing(folder, result):
    result["name"] = "breast \ud800"
    assert "breast ?" in page_of(folder(result)).text


def test_writing_again_replaces_the_report_and_leaves_nothing_else(folder):
    run = folder()
    before = sorted(path.name for path in run.iterdir())
    first = write(run).read_bytes()
    assert write(run).read_bytes() == first
    assert sorted(path.name for path in run.iterdir()) == sorted([*before, "report.html"])


def test_many_classes_and_several_diseases(folder, result):
    labels = [f"kind {index}" for index in range(9)]
    clean = result["model-evaluation"]["clean"] | {"recall": [0.5] * 8 + [None], "predicted": [20] * 9}
    result["dataset"] |= {"labels": labels, "disease": [2, 4, 8]}
    result["model-evaluation"] = {"clean": clean, "robust": {}}
    images = {
        "images": np.zeros((1, 1, 4, 4, 3), np.float32),
        "probabilities": np.eye(9, dtype=np.float32)[None, :1],
        "labels": np.zeros(1, int),
        "epsilons": np.zeros(1),
        "epsilon_names": np.asarray(["0"]),
    }
    counts = {
        "method": "iid",
        "settings": {},
        "seed": 1,
        "hash": "h",
        "counts": [[1] * 9] * 70,
        "indices": [],
    }
    page = page_of(folder(result, partition=counts, examples=images))
    assert "Lowest sensitivity 50.0 % recall of “kind 2”" in page.text
    assert page.figures["by-client"]["data"][0]["type"] == "heatmap"
    assert "70 hospitals hold 9 images each." in page.text


def test_importing_the_page_loads_neither_plotly_nor_a_framework():
    code = (
        "import sys, fedrobust.report.page\n"
        "print({'plotly', 'jinja2', 'tensorflow', 'flwr', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_malicious_clients_and_the_defence_have_a_section_where_there_are_any(folder):
    assert "Poisoning and defence" not in page_of(folder()).text
    path = folder()
    result = json.loads((path / "result.json").read_text())
    result["experiment"]["poisoning"] = {"attack": HOSTILE, "malicious": 1}
    result["experiment"]["federation"] = {"aggregator": "multi-krum", "pre-aggregators": ["nnm"]}
    for entry in result["rounds"]:
        entry["defence"] = {
            "malicious": [3],
            "accepted": [0, 1],
            "true-positive-rate": 1.0,
            "false-positive-rate": 1 / 3,
            "rare-false-positive-rate": None,
            "malicious-influence": 0.0,
            "distance": 0.5,
            "honest-norm": 2.0,
            "seconds": 0.01,
        }
        entry["attack-success"] = {
            "n": 42,
            "successes": 21,
            "rate": 0.5,
            "interval": [0.35, 0.65],
            "without-trigger": 0.1,
        }
        entry["kept"] = None
    result["rounds"][0]["kept"] = "round 1: <b>not finite</b>"
    result["rounds"][-1]["defence"].update({"accepted": None, "true-positive-rate": None, "distance": None})
    (path / "result.json").write_text(json.dumps(result))
    page = page_of(path)
    for words in (
        "1 malicious client:",
        "defence: nnm → multi-krum",
        "33.3\u202f%",
        "0.25",
        "35.0\u202f%–65.0\u202f%",
        "without 10.0\u202f%",
        "no choice",
        "3 malicious",
        "round 1: <b>not finite</b>",
    ):
        assert words.replace("\u202f", " ") in page.text.replace("\u202f", " "), words
    assert not [1 for _, attributes in page.elements if "onerror" in attributes]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("stopped", "This run was stopped: 2 of 5 rounds are done"),
        ("failed", "This run failed: 2 of 5 rounds are done"),
        ("running", "This run is not finished: 2 of 5 rounds are done"),
    ],
)
def test_a_run_cut_short_does_not_read_like_a_finished_one(folder, result, status, words):
    result |= {"status": status, "error": "so", "model-evaluation": None, "student": None, "export": []}
    result["experiment"]["federation"]["rounds"] = 5
    result["rounds"] = [one for one in result["rounds"] if one["round"] <= 3]
    assert len([one for one in result["rounds"] if one["round"] > 0]) == 2
    text = page_of(folder(result)).text
    assert words in text
    assert "after round 2" in text, "a figure says of which round it is"
    assert "before the run" in text


def test_what_a_rule_was_told_stands_beside_its_figures(folder, result):
    defence = {
        "attacked": True,
        "valid": True,
        "malicious": [1],
        "accepted": None,
        "true-positive-rate": None,
    }
    result["rounds"][-1]["defence"] = defence
    result["experiment"]["poisoning"] = {"attack": "alie", "malicious": 1}
    tolerance = {"clients": 1, "source": "truth", "told": True, "malicious": 2, "probability-of-more": 0.25}
    text = page_of(folder(result | {"tolerance": tolerance})).text
    assert "given 1 malicious client to tolerate, the true number: an oracle" in text
    assert "2 malicious clients, 1 of them sampled: alie." in text
    assert "with a probability of 25.0 %" in text
    given = page_of(folder(result | {"tolerance": tolerance | {"source": "given"}})).text
    assert "oracle" not in given


def test_an_attack_that_failed_is_no_defended_attack(folder, result):
    failure = {"partition": 4, "reason": "IndexError: target = 7"}
    defence = {
        "attacked": True,
        "valid": False,
        "attack-failures": [failure],
        "malicious": [4],
        "accepted": None,
    }
    result["rounds"][-1] |= {"defence": defence, "attack-success": None}
    result["experiment"]["poisoning"] = {"attack": "pixel-backdoor(target=7)", "malicious": 1}
    text = page_of(folder(result)).text
    assert "The attack did not run as asked" in text
    assert "client 4: IndexError: target = 7" in text


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([0, 40], "All 40 test images are"),
        ([40, 0], "balanced accuracy and AUC cannot be measured"),
        ([200, 7], "The test images include only 7"),
        ([200, 70], ""),
    ],
)
def test_too_few_test_images_are_told(folder, result, counts, words):
    result["dataset"]["counts"]["test"] = counts
    text = page_of(folder(result)).text
    assert ("Too few test images" in text) == bool(words)
    assert words in text


def test_what_was_said_before_the_first_round_is_told(folder, result):
    said = "the weights in mine.keras are not used"
    assert said not in page_of(folder(result)).text
    result["remarks"] = [said]
    assert said in page_of(folder(result)).text


def test_a_client_that_took_no_part_is_not_shown_as_left_out(folder, result):
    for one, partitions in zip(result["rounds"][-2:], ([0, 1, 2], [0, 3]), strict=True):
        one["defence"] = {"accepted": [0], "malicious": [1], "partitions": partitions}
        one["clients"]["failures"] = (
            [{"partition": 2, "reason": "NaN"}] if one is result["rounds"][-1] else []
        )
    result["experiment"]["poisoning"] = {"attack": "alie", "malicious": 1}
    fates = poisoning(read(folder(result)))["fates"]
    assert fates["rows"] == [
        ("0", False, ["●", "●"]),
        ("1", True, ["–", ""]),
        ("2", False, ["–", "–"]),
        ("3", False, ["", "–"]),
    ], "also an honest client that was never accepted"
    for one in result["rounds"][-2:]:
        del one["defence"]["partitions"]
    assert poisoning(read(folder(result)))["fates"]["rows"][1] == ("1", True, ["–", "–"]), "older runs"


def compared(*gains):
    """What ``clients`` holds of a run whose clients gain so many points, each within 3."""
    figures = {"accuracy": 0.8, "balanced_accuracy": 0.7}
    return {
        "population": 40,
        "clients": [
            {
                "client": client,
                "images": 12,
                "global-model": figures,
                "personal": None,
                "local": {"accuracy": 0.8 - gain / 100, "balanced_accuracy": 0.6},
                "gain": gain / 100,
                "interval": [(gain - 3) / 100, (gain + 3) / 100],
            }
            for client, gain in enumerate(gains)
        ],
        "worse": [client for client, gain in enumerate(gains) if gain + 3 < 0],
        "better": [client for client, gain in enumerate(gains) if gain - 3 > 0],
    }


def test_whom_the_federation_makes_worse_stands_at_the_top_and_beside_all_models(folder, result):
    result["clients"] = compared(5.0, -12.5, 1.0)
    text = page_of(folder(result)).text
    told = (
        "3 clients of 40 measured: the federation makes 1 worse than training alone: client 1 by 12.5 points "
        "(−15.5 to −9.5). 1 of 3 get more of their patients right than training alone, 1 cannot be told apart"
    )
    assert text.count(told) == 2
    assert "Better off alone" in text
    table = clients(read(folder(result)))["table"]
    assert [name.text for name, _ in table.rows] == ["1", "2", "0"], "who loses most comes first"
    assert [cell.text for cell in table.rows[0][1]] == ["80.0\u202f%", "92.5\u202f%", "−12.5"]


def test_sites_that_were_held_out_have_a_table_of_their_own(folder, result):
    assert "Unseen site" not in page_of(folder(result)).text
    result["unseen"] = {"Genf": {**result["model-evaluation"]["clean"], "n": 17, "accuracy": 0.625}}
    text = page_of(folder(result)).text
    assert "Unseen site" in text
    (row,) = [
        cells for name, cells in models(read(folder(result)))["unseen"].rows if name.note == "17 images"
    ]
    assert row[0].text == "62.5\u202f%"


@pytest.mark.parametrize(
    ("gains", "end"),
    [
        (
            (5.0, 1.0),
            "1 cannot be told apart on these test images: harm to these is neither shown nor ruled out.",
        ),
        ((5.0, 6.0), "2 of 2 get more of their patients right than training alone; none is made worse."),
    ],
)
def test_where_nobody_is_made_worse_there_is_no_notice(folder, result, gains, end):
    result["clients"] = compared(*gains)
    text = page_of(folder(result)).text
    assert "Better off alone" not in text
    assert "Joining or training alone" in text
    assert end in text
    del result["clients"]
    assert "Joining or training alone" not in page_of(folder(result)).text
