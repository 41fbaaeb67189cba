"""What a card says, entry by entry: from made-up results of four images."""

from dataclasses import replace
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from fedrobust.audit import CARD_SCHEMA, CHECKS, ModelUnderAudit, Outcome, Plan, Verdict, Weight
from fedrobust.audit import card as module
from fedrobust.audit.card import audit, made, tally
from fedrobust.audit.finding import Finding
from fedrobust.audit.review import ADVICE
from fedrobust.audit.verdict import BLIND, Tally
from fedrobust.config import ConfigError
from fedrobust.evaluation.clinical import figures
from fedrobust.evaluation.intervals import wilson
from fedrobust.evaluation.metrics import measure
from fedrobust.evasion import NotDifferentiableError, Threat
from fedrobust.runs.record import to_json
from tests.audit.made_up import EPSILON, SHAPE, result, search

LABELS = np.array([0, 0, 0, 2, 2, 2, 2, 2], np.int32)
DATA = {"name": "made up", "digest": "", "labels": ["benign", "other"], "disease": [2]}


def logits(answers) -> np.ndarray:
    return 2.0 * np.eye(3)[np.asarray(answers)]


@pytest.fixture
def searched():
    """A search on eight images of two classes of three: seven are right, three of them stand."""
    single = result(0, 3, n=8, name="fgsm", epsilons=(0.05, EPSILON), queries=2.0, gradients=1.0)
    curve = result(1, 4, n=8, name="pgd", epsilons=(0.05, EPSILON), queries=7.4, gradients=3.4)
    blind = result([], n=8, rows=[5, 6], name="noise", queries=30.0, gradients=0.0)
    clean = logits([0, 0, 0, 2, 2, 2, 2, 1])
    right = clean.argmax(axis=1) == LABELS
    made = search(
        labels=LABELS,
        classes=3,
        clean=clean,
        data=DATA,
        plan=Plan(epsilon=EPSILON, curve=(0.05, EPSILON), seed=5),
        single_step=single,
        curve=curve,
        attacks=[single, curve, blind],
        broken_by=np.array(["fgsm", "fgsm", "fgsm", "pgd", *["standing"] * 3, "clean"]),
        worst_logits=logits([1, 1, 1, 0, 2, 2, 2, 1]),
    )
    made.standing = made.broken_by == "standing"
    made.cache.right = right
    made.cache.results = [single, curve, blind, result([], n=8, rows=[], name="elsewhere", queries=0.0)]
    return made


def finding(check="made up", outcome=Outcome.PASSED, weight=Weight.NOT_PROVEN, **texts) -> Finding:
    given = {"figure": "a figure", "rule": "a rule", "sentence": "A sentence.", "source": "a source"} | texts
    return Finding(check, outcome, weight, **{"details": {}, **given})


def test_a_card_says_of_what_it_is_and_how_it_was_made(searched):
    card = made(searched, [finding()], environment={"os": "none"})
    content = card.content
    jsonschema.validate(content, CARD_SCHEMA)
    absent = ("detector", "privacy")  # this audit has neither
    assert list(content) == [key for key in CARD_SCHEMA["properties"] if key not in absent]
    assert content["schema"] == 3
    assert content["model"] == {"name": "model", "digest": "digest", "output": "logits"}
    assert content["data"] == {**DATA, "split": "test", "official": None, "n": 8}
    assert content["threat"] == {
        "norm": "linf",
        "epsilon": EPSILON,
        "epsilon-value": EPSILON,
        "space": "native",
        "bits": 0,
        "tied": False,
    }
    assert content["settings"] == {"effort": "standard", "seed": 5, "steps": 50, "queries": 1000}
    assert content["environment"] == {"os": "none"}
    assert content["checks"] == [to_json(finding().record())]
    assert card.findings == (finding(),)
    assert content["verdict"] == {"word": "robust", "sentence": card.verdict.sentence, "deciding": []}
    assert card.verdict == Verdict.of([finding()], tally(searched))
    assert card.verdict.word == "robust"


def test_a_card_names_an_epsilon_as_it_was_written(searched):
    searched.cache.plan = Plan(
        epsilon="4/255",
        curve=("1/255", "4/255"),
        threat=Threat(norm="l2", bits=8, tied=True),
        effort="full",
    )
    content = made(searched, []).content
    assert content["threat"] == {
        "norm": "l2",
        "epsilon": "4/255",
        "epsilon-value": 4 / 255,
        "space": "native",
        "bits": 8,
        "tied": True,
    }
    assert content["settings"]["effort"] == "full"
    assert {attack: list(curve) for attack, curve in content["robust"].items()} == {
        "fgsm": ["1/255", "4/255"],
        "pgd": ["1/255", "4/255"],
    }


def test_costs_are_those_of_every_attack_on_the_model(searched):
    content = made(searched, []).content
    # 8 * 2.0 + 8 * 7.4 + 2 * 30; 8 * 1.0 + 8 * 3.4
    assert content["cost"] == {"queries": 135, "gradients": 35, "seconds": 4.0}
    assert [attack["name"] for attack in content["attacks"]] == ["fgsm", "pgd", "noise", "elsewhere"]
    assert content["attacks"][1] == {
        "name": "pgd",
        "epsilons": [0.05, EPSILON],
        "n": 8,
        "broken": [1, 4],
        "queries": 7.4,
        "gradients": 3.4,
        "seconds": 1.0,
    }
    assert content["attacks"][2]["n"] == 2


def test_images_are_put_down_to_what_broke_them(searched):
    content = made(searched, []).content
    assert content["broken-by"] == {"fgsm": 3, "standing": 3, "clean": 1, "pgd": 1}
    assert list(content["broken-by"])[:2] == ["fgsm", "standing"], "the most frequent first"
    assert tally(searched) == Tally(n=8, right=7, standing=3, queries=135, gradients=35, strongest="fgsm")
    searched.broken_by = np.array(["clean"] * 3 + ["standing"] * 5)
    assert tally(searched).strongest == ""


def test_classes_are_those_of_the_images_by_name(searched):
    assert made(searched, []).content["classes"] == [
        {"label": 0, "name": "benign", "disease": False, "n": 3, "right": 3, "standing": 0},
        {"label": 2, "name": "class 2", "disease": True, "n": 5, "right": 4, "standing": 3},
    ]
    for name, label, expected in ((["a", "b"], 1, "b"), (["a", "b"], 2, "class 2"), ([5, 6], 0, "5")):
        assert module._label_name({"labels": name}, label) == expected
    assert module._label_name({}, 0) == "class 0"


def test_figures_are_those_of_the_clean_and_of_the_worst_answers(searched):
    record = made(searched, []).record
    for part, answers in ((record.clean, searched.cache.clean), (record.attacked, searched.worst_logits)):
        found, scores = figures(LABELS, answers, (2,)), measure(LABELS, answers)
        assert (part.correct, part.n) == found["accuracy"].counts
        assert (part.accuracy, part.interval.accuracy) == (
            found["accuracy"].value,
            found["accuracy"].interval,
        )
        assert part.constant("accuracy") == part.majority_rate == found["accuracy"].constant
        assert part.balanced_accuracy == found["balanced accuracy"].value
        assert part.constant("balanced_accuracy") == found["balanced accuracy"].constant == 1 / 2
        assert (part.auc, part.interval.auc) == (found["auc"].value, found["auc"].interval)
        assert (part.recall, part.interval.recall) == (scores.recall, scores.interval["recall"])
        assert (part.predicted, part.loss) == (scores.predicted, scores.loss)
        assert part.recall[1] is None, "no image is of class 1"
        few = {"accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "auc": "auc"}
        few |= {name: name for name in found if name.startswith("recall")}
        assert part.too_few == {few[name]: found[name].few for name in few if found[name].few}
        assert set(part.figures) == set(found) - set(few)
        for name, figure in part.figures.items():
            assert figure.value == found[name].value
            assert (figure.interval, figure.counts) == (found[name].interval, found[name].counts)
            assert (figure.constant, figure.method) == (found[name].constant, found[name].method)
            assert figure.too_few == found[name].few
    assert "disease missed" in record.clean.figures
    standing = record.standing
    assert (standing.correct, standing.n, standing.accuracy) == (3, 8, 3 / 8)
    assert (standing.interval.accuracy, standing.majority_rate) == (wilson(3, 8), 5 / 8)


def test_the_curve_is_that_of_one_step_and_of_many(searched):
    robust = made(searched, []).record.robust
    assert {
        attack: {name: one.correct for name, one in curve.items()} for attack, curve in robust.items()
    } == {
        "fgsm": {"0.05": 8, str(EPSILON): 5},
        "pgd": {"0.05": 7, str(EPSILON): 4},
    }
    one = robust["fgsm"][str(EPSILON)]
    assert (one.n, one.accuracy, one.interval.accuracy) == (8, 5 / 8, wilson(5, 8))
    searched.cache.differentiable = False
    assert made(searched, []).record.robust == {}


def test_notes_say_what_attacks_saw_in_the_models_place(searched):
    searched.cache.audited = replace(searched.cache.audited, notes=("read as 0..255",))
    assert made(searched, []).content["notes"] == ["read as 0..255"]
    searched.cache.target, searched.cache.confirmed = object(), 256
    searched.cache.substituted = (None, ("Round", "Floor"))
    assert made(searched, []).content["notes"] == [
        "read as 0..255",
        "the model answers at random: attacks see the mean of 8 answers and gradients (EOT), and an image counts as "
        "misclassified if the mean of 256 new answers is wrong",
        "gradients of Round, Floor are also replaced by substitutes (BPDA)",
    ]


# -- All checks ------------------------------------------------------------------------------------------------------


class Other:
    """A companion; without a gradient if told so."""

    def __init__(self, shape=SHAPE, classes=2, differentiable=True):
        self.shape, self.classes, self.differentiable, self.asked = shape, classes, differentiable, []

    def gradient(self, images, labels, loss):
        self.asked.append((images.shape, labels.shape, loss))
        if not self.differentiable:
            raise NotDifferentiableError("answers only")


def evidence(threat=None, **companions):
    images, labels = np.zeros((6, *SHAPE), np.float32), np.zeros(6, np.int32)
    audited = ModelUnderAudit("model", Other(), images, labels, "", {}, **companions)
    return SimpleNamespace(audited=audited, plan=Plan(epsilon=1, threat=threat or Threat(norm="l2")))


def test_every_check_is_made_once_and_noted_in_order(monkeypatch):
    found, seen = [finding("one"), finding("two")], []
    searches = []

    def check(one):
        return lambda search: (searches.append(search), one)[1]

    monkeypatch.setattr(module, "CHECKS", tuple(map(check, found)))
    monkeypatch.setattr(module, "made", lambda *parts: parts)
    given = evidence()
    search, findings, environment = audit(given, seen.append, {"os": "none"})
    assert findings == seen == found
    assert environment == {"os": "none"}
    assert searches == [search, search]
    assert search.cache is given
    _, findings, _ = audit(given)
    assert findings == found


def test_a_check_of_the_model_is_given_the_evidence():
    assert module.of_model(lambda evidence: evidence)(SimpleNamespace(cache=3)) == 3
    assert len(set(CHECKS)) == len(CHECKS) == 30


def test_an_audit_in_l0_is_refused():
    with pytest.raises(ConfigError) as refused:
        audit(evidence(Threat(norm="l0")))
    assert str(refused.value) == (
        'norm = "l0": an audit is made in linf or l2; run attacks on few pixels with `fedrobust attack`'
    )


@pytest.mark.parametrize("what", ["control", "teacher", "edge"])
@pytest.mark.parametrize("other", [Other(shape=(3, 2, 1)), Other(classes=3)])
def test_a_companion_of_other_images_or_classes_is_refused(what, other):
    with pytest.raises(ConfigError) as refused:
        audit(evidence(**{what: ("twin", other)}))
    assert str(refused.value) == (
        f"{what} = 'twin': it takes images of {other.shape} and knows {other.classes} classes, the model under audit "
        "(2, 2, 1) and 2: leave it out, or audit in the space that both share"
    )


@pytest.mark.parametrize("what", ["control", "teacher"])
def test_a_companion_without_a_gradient_is_refused_but_an_exported_file(monkeypatch, what):
    blind = Other(differentiable=False)
    with pytest.raises(ConfigError) as refused:
        audit(evidence(**{what: ("twin", blind)}))
    assert str(refused.value) == (
        f"{what} = 'twin': it has no gradient (answers only); give a model that has one, or leave it out"
    )
    assert blind.asked == [((1, *SHAPE), (1,), "margin")]
    monkeypatch.setattr(module, "CHECKS", ())
    monkeypatch.setattr(module, "made", lambda *parts: "made")
    assert audit(evidence(edge=("twin", blind), **{what: ("twin", Other())})) == "made"
    assert len(blind.asked) == 1


# -- The verdict's sentences -----------------------------------------------------------------------------------------

NUMBERS = Tally(n=1000, right=900, standing=720, queries=1234567, gradients=89012, strongest="pgd(steps=20)")
STAND = "720 of 1000 (72.0 %) images are robust to every attack that was made, 900 are classified correctly without one"
RESTS = "The attacks took 1,234,567 queries and 89,012 gradients."
SMOOTHED = "obfuscated gradients: smoothing breaks more"
LEAD = "robust accuracy: lead over the constant classifier lost"


def failed(check, weight=Weight.NOT_PROVEN, **texts):
    return finding(check, Outcome.FAILED, weight, **texts)


def test_a_clean_bill_has_its_numbers():
    verdict = Verdict.of([finding(), failed("reported", Weight.REPORT)], NUMBERS)
    assert vars(verdict) == {
        "word": "robust",
        "sentence": f"Not broken, and every check passed: {STAND}. {RESTS}",
        "deciding": (),
    }


def test_what_was_left_out_is_not_proven():
    left = [finding("first", Outcome.NOT_MADE), finding(), finding("second", Outcome.NOT_MADE)]
    assert vars(Verdict.of(left, NUMBERS)) == {
        "word": "not proven",
        "sentence": (
            f"Not broken by the quick effort: {STAND}. Gradient masking was not tested: run the audit with "
            f"--effort standard. {RESTS}"
        ),
        "deciding": ("first", "second"),
    }


def test_what_does_nothing_says_its_figure():
    empty = failed("empty", Weight.DEGENERATE, figure="always class 0", details={"shown": True})
    verdict = Verdict.of([empty, failed("x")], NUMBERS)
    assert verdict.word == "degenerate"
    assert verdict.sentence == (
        "The model does not solve its task, so that its robustness has no meaning: always class 0."
    )
    assert verdict.deciding == ("empty",)


def test_few_images_do_not_show_that_a_model_is_no_better_than_a_constant_one():
    few = failed("few", Weight.DEGENERATE, figure="47.7 to 74.7 %", details={"shown": False})
    verdict = Verdict.of([few], NUMBERS)
    assert verdict.word == "degenerate"
    assert verdict.sentence == (
        f"On {NUMBERS.n} images the model cannot be told from a constant classifier, so that its robustness has no "
        "meaning: 47.7 to 74.7 %."
    )


def test_what_is_broken_says_how_much_by_what_and_what_of_the_lead_is_left():
    broken = failed("collapsed classifier: under attack", Weight.NOT_ROBUST)
    lead = failed(LEAD, Weight.NOT_ROBUST, figure="a tenth of the lead is kept")
    share = "Broken: 180 of 900 (20.0 %) of the correctly classified images are misclassified within the threat model"
    verdict = Verdict.of([broken, failed("x")], NUMBERS)
    assert verdict.word == "not robust"
    assert verdict.sentence == f"{share}, most of them by pgd(steps=20). {RESTS}"
    blind = failed(SMOOTHED)
    verdict = Verdict.of([broken, lead, blind], NUMBERS)
    assert verdict.deciding == (broken.check, LEAD)
    assert verdict.sentence == (
        f"{share}, most of them by pgd(steps=20). A tenth of the lead is kept. The attacks may understate it "
        f"(obfuscated gradients). {RESTS}"
    )
    whole = Verdict.of([broken, lead, blind], replace(NUMBERS, standing=0))
    assert "understate" not in whole.sentence  # nothing is left that better attacks could break
    nobody = Verdict.of([lead], replace(NUMBERS, right=0, standing=0, strongest=""))
    assert nobody.sentence == (
        "Broken: 0 of 1 (0.0 %) of the correctly classified images are misclassified within the threat model. A "
        "tenth of the lead is kept. " + RESTS
    )


def test_what_is_not_proven_says_why_or_that_attacks_could_not_see():
    unsure = failed("too few images", sentence="Too few.")
    verdict = Verdict.of([unsure], NUMBERS)
    assert (verdict.word, verdict.deciding) == ("not proven", ("too few images",))
    assert verdict.sentence == f"Not proven: Too few. {STAND}. {RESTS}"
    blind = [
        failed(SMOOTHED),
        failed("obfuscated gradients: finite differences disagree"),
        failed("label leaking: attacked beats clean"),
    ]
    assert Verdict.of([unsure, *blind], NUMBERS).sentence == (
        f"Not broken, but the attacks are not reliable (obfuscated gradients, label leaking): {STAND}. {RESTS}"
    )


def test_a_check_that_passed_blinds_nobody():
    passed = finding(SMOOTHED)
    assert "not reliable" not in Verdict.of([passed, failed("too few images")], NUMBERS).sentence
    assert set(ADVICE) >= BLIND
