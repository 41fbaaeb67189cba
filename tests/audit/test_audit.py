import json
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from fedrobust.audit import CARD_SCHEMA, CHECKS, AttackCache, ModelUnderAudit, Outcome, Plan, Verdict, Weight
from fedrobust.audit.checks.behaviour import collapse_attacked
from fedrobust.audit.collapse import signs_of_collapse
from fedrobust.audit.finding import Finding
from fedrobust.audit.mcnemar import mcnemar
from fedrobust.audit.result import Result
from fedrobust.audit.verdict import Tally
from fedrobust.config import ConfigError
from fedrobust.evasion import NotDifferentiableError
from fedrobust.evasion.models.model_file import open_model


@pytest.fixture(scope="session")
def of_undefended(audited, undefended):
    return audited(undefended)


@pytest.fixture(scope="session")
def kept_of_defended(tmp_path_factory):
    """Where the attacks on the defended model are kept, so that they are run once."""
    return tmp_path_factory.mktemp("defended")


@pytest.fixture(scope="session")
def of_broken(audited, broken):
    return cache(lambda name: audited(broken[name]))


@pytest.fixture(scope="session")
def of_defended(audited, defended, undefended, phantom, kept_of_defended):
    control = open_model(undefended, phantom.image_shape, phantom.classes).target
    return audited(defended, kept_of_defended, control=("undefended", control), trained_on=("pgd",))


@pytest.fixture(scope="session")
def under_audit(undefended, phantom):
    """The undefended model and the images that it is audited on."""
    opened = open_model(undefended, phantom.image_shape, phantom.classes)
    images = phantom.test.images[:120].astype(np.float32) / np.float32(255)
    return ModelUnderAudit("model", opened.target, images, phantom.test.labels[:120], "digest", {})


@pytest.fixture(scope="session")
def asked(under_audit):
    """The undefended model as one that answers and shows nothing else."""

    class Asked:
        shape, classes = under_audit.target.shape, under_audit.target.classes

        def logits(self, images):
            return under_audit.target.logits(images)

        def gradient(self, *_):
            raise NotDifferentiableError("answers only")

    return Asked()


def test_an_undefended_model_is_not_robust(of_undefended):
    assert of_undefended.word == "not robust"
    assert "robust accuracy: lead over the constant classifier lost" in of_undefended.failed
    assert of_undefended.card.content["broken-by"].get("standing", 0) < 84


def test_a_quick_look_breaks_no_model_trained_at_a_larger_epsilon_and_does_not_call_it_robust(of_defended):
    assert not of_defended.failed
    assert of_defended.word == "not proven"
    assert of_defended.card.verdict.deciding == (
        "gradient masking: hidden layers break more",
        "obfuscated gradients: smoothing breaks more",
        "black-box attacks: not made",
    )
    assert "--effort standard" in of_defended.card.verdict.sentence
    assert of_defended.checks["control: no better than the undefended model"].outcome is Outcome.PASSED
    assert of_defended.checks["unseen attack: only the training attack was made"].details["unseen"]
    standing = of_defended.card.record.standing
    assert standing.interval.accuracy[0] > standing.majority_rate + 0.05


@pytest.mark.parametrize(
    ("name", "words", "reasons"),
    [
        (
            "temperature",
            {"not robust", "not proven"},
            {"vanishing gradient: zero or not finite", "gradient masking: another loss breaks more"},
        ),
        pytest.param(
            "step activation",
            {"not robust", "not proven"},
            {"vanishing gradient: zero or not finite"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "jpeg",
            {"not robust", "not proven"},
            {"vanishing gradient: zero or not finite"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "constant", {"degenerate"}, {"collapsed classifier: clean images"}, marks=pytest.mark.slow
        ),
        pytest.param(
            "random logits",
            {"degenerate"},
            {"stochastic defence: answers vary", "collapsed classifier: clean images"},
            marks=pytest.mark.slow,
        ),
        pytest.param("batchnorm", {"degenerate"}, {"BatchNorm: stale statistics"}, marks=pytest.mark.slow),
        pytest.param(
            "noise",
            {"not robust", "not proven"},
            {"stochastic defence: answers vary"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_only_looks_robust_is_found_out_for_its_reason(of_broken, name, words, reasons):
    found = of_broken(name)
    assert found.word in words, found.card.verdict
    assert reasons <= found.failed, found.failed


def test_a_stronger_look_at_the_temperature_sees_through_it(of_broken, of_undefended):
    """The textbook gradient is gone; the attacks that count do not need it."""
    found = of_broken("temperature")
    hidden = found.card.content["broken-by"].get("standing", 0)
    plain = of_undefended.card.content["broken-by"].get("standing", 0)
    assert abs(hidden - plain) <= 4


def test_the_card_says_everything(of_undefended):
    content = of_undefended.card.content
    jsonschema.validate(content, CARD_SCHEMA)
    assert content["cost"]["queries"] > content["cost"]["gradients"] > 120
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert len(content["checks"]) == len(CHECKS)
    assert sum(content["broken-by"].values()) == content["data"]["n"] == 120
    assert content["clean"]["n"] == 120
    for kind in ("clean", "attacked"):
        confusion = np.array(content["predictions"][kind]["confusion"])
        assert (confusion.sum(), confusion.trace()) == (120, content[kind]["correct"])
        assert sum(group["n"] for group in content["predictions"][kind]["reliability"]) == 120
    assert content["standing"]["correct"] == content["broken-by"].get("standing", 0)
    assert set(content["robust"]) == {"fgsm", "pgd"}
    for check in content["checks"]:
        assert check["sentence"].endswith(".")
        assert check["rule"]
        assert check["source"]
    for one in content["classes"]:
        assert one["standing"] <= one["right"] <= one["n"]


@pytest.mark.slow
def test_an_interrupted_audit_goes_on_where_it_was(audited, undefended, of_undefended, tmp_path):
    class StoppedError(Exception):
        pass

    calls = []

    def stopping(function, items):
        calls.append(1)
        if len(calls) == 6:
            raise StoppedError
        return map(function, items)

    with pytest.raises(StoppedError):
        audited(undefended, folder=tmp_path, map=stopping)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npz")}
    assert len(written) == 5
    calls.clear()

    def counting(function, items):
        calls.append(1)
        return map(function, items)

    again = audited(undefended, folder=tmp_path, map=counting)
    total = len(list(tmp_path.glob("*.npz")))
    assert len(calls) == total - 5
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert again.card.content["broken-by"] == of_undefended.card.content["broken-by"]


def test_part_of_an_official_set_proves_nothing(audited, defended, kept_of_defended):
    data = {"name": "breastmnist", "digest": "", "labels": ["a", "b"], "disease": (0,), "official": 500}
    found = audited(defended, kept_of_defended, data=data)
    assert found.word == "not proven"
    assert found.card.verdict.deciding == ("selected test data: not the whole official split",)


def test_images_of_training_prove_nothing(audited, defended, kept_of_defended):
    data = {
        "name": "own",
        "digest": "",
        "labels": ["a", "b"],
        "disease": (0,),
        "split": "train",
        "official": None,
    }
    found = audited(defended, kept_of_defended, data=data)
    assert found.card.verdict.deciding == ("selected test data: not the whole official split",)
    assert "training" in found.checks["selected test data: not the whole official split"].sentence


def test_other_images_do_not_find_what_attacks_found(under_audit, tmp_path):
    def run(images, labels):
        audited = replace(under_audit, images=images, labels=labels)
        AttackCache(audited, Plan(epsilon="4/255", effort="quick"), tmp_path).run("fgsm")
        return len(list(tmp_path.glob("*.npz")))

    images, labels = under_audit.images, under_audit.labels
    assert run(images[:50], labels[:50]) == 1
    assert run(images[:50], labels[:50]) == 1, "the same again: it is kept"
    assert run(images[50:100], labels[50:100]) == 2, "as many others, of the same model"
    assert run(images[:50], 1 - labels[:50]) == 3


def test_companions_that_cannot_be_compared_are_refused_before_any_attack(audited, undefended, asked):
    small = SimpleNamespace(shape=(14, 14, 1), classes=2)
    for what, one, message in (
        ("control", asked, "has no gradient"),
        ("teacher", asked, "has no gradient"),
        ("control", small, r"images of \(14, 14, 1\)"),
        ("edge", small, r"images of \(14, 14, 1\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            audited(undefended, **{what: ("it", one)})


@pytest.mark.slow
def test_an_image_that_gets_no_number_counts_as_wrong(audited, undefended, under_audit):
    images, labels = under_audit.images[:40], under_audit.labels[:40]
    silent = np.arange(40) % 10 == 0
    quiet = {image.tobytes() for image in images[silent]}

    class Silent:
        shape, classes = under_audit.target.shape, 2

        def hushed(self, images, logits):
            mute = [image.tobytes() in quiet for image in images]
            return np.where(np.array(mute, bool)[:, None], np.float32(np.nan), logits)

        def logits(self, images):
            return self.hushed(images, under_audit.target.logits(images))

        def gradient(self, images, *rest):
            seen = under_audit.target.gradient(images, *rest)
            return seen._replace(logits=self.hushed(images, seen.logits))

    found = audited(undefended, count=40, target=Silent())
    assert found.checks["vanishing gradient: softmax hides the logits"].details["silent"] == 4
    assert {
        "vanishing gradient: softmax hides the logits",
        "stochastic defence: answers vary",
    } <= found.failed
    right = under_audit.target.logits(images).argmax(1) == labels
    assert (found.card.record.clean.correct, found.card.record.clean.n) == (int((right & ~silent).sum()), 40)


def test_what_falls_at_a_smaller_epsilon_falls():
    success = np.array([[True, False, False], [False, True, False], [False, False, True]])
    result = Result("x", (0.1, 0.2, 0.3), np.array([0, 2, 3]), success, np.zeros((3, 3, 2)), 0.0, 0.0, 0.0)
    assert result.broken(0.2, 5).tolist() == [True, False, True, False, False]


def test_an_accuracy_that_was_low_before_is_not_the_attacks_doing():
    """All answers right but those of the frequent class: no better than the majority rate, and no constant."""
    labels = np.repeat([0, 1], [30, 170])
    logits = np.eye(2)[labels] * 4.0
    logits[30:90] = logits[30:90, ::-1]

    def under(worst):
        right, standing = (each.argmax(axis=1) == labels for each in (logits, worst))
        evidence = SimpleNamespace(clean=logits, audited=SimpleNamespace(labels=labels), right=right)
        return collapse_attacked(
            SimpleNamespace(cache=evidence, worst_logits=worst, standing=right & standing)
        )

    assert signs_of_collapse(labels, logits)[0].startswith("accuracy")
    assert under(logits).outcome is Outcome.PASSED
    assert under(-logits).outcome is Outcome.FAILED


def test_a_fall_in_training_is_remembered(audited, defended, kept_of_defended):
    found = audited(defended, kept_of_defended, history=(0.8, 0.85, 0.5, 0.6))
    assert found.word == "not proven"
    assert found.card.verdict.deciding == (
        "catastrophic overfitting: single step survives, iterations do not",
    )


def test_the_gravest_failure_decides():
    def failed(name, weight):
        return Finding(name, Outcome.FAILED, weight, "", "", "", "", {})

    def verdict(*findings):
        return Verdict.of(
            findings, Tally(n=100, right=90, standing=70, queries=5, gradients=4, strongest="pgd")
        )

    masked, broken_, empty = (
        failed("masked", Weight.NOT_PROVEN),
        failed("broken", Weight.NOT_ROBUST),
        failed("empty", Weight.DEGENERATE),
    )
    reported = failed("reported", Weight.REPORT)
    open_ = replace(failed("left out", Weight.NOT_PROVEN), outcome=Outcome.NOT_MADE)
    assert verdict(reported).word == "robust"
    assert verdict(reported, open_).word == "not proven"
    assert verdict(reported, open_).deciding == ("left out",)
    assert verdict(masked, open_, reported).deciding == ("masked",)
    assert verdict(masked, broken_).word == "not robust"
    assert "20 of 90 (22.2 %)" in verdict(broken_).sentence
    assert "most of them by pgd" in verdict(broken_).sentence
    assert verdict(masked, broken_, empty).deciding == ("empty",)
    blind = replace(masked, check="vanishing gradient: zero or not finite")
    assert "not reliable (vanishing gradient)" in verdict(blind).sentence


def test_mcnemar_is_the_sign_test():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(8, 0) == pytest.approx(0.5**8)
    assert mcnemar(5, 5) > 0.5


def test_probabilities_are_unwrapped_or_fail_loudly(phantom, undefended, audited):
    import keras

    inputs = keras.Input((28, 28, 1))
    logits = undefended(inputs)
    images = phantom.test.images[:20].astype(np.float32) / np.float32(255)
    expected = np.asarray(undefended(images))
    softmax = keras.Model(inputs, keras.layers.Softmax()(logits))
    opened = open_model(softmax, phantom.image_shape, 2)
    assert opened.output == "unwrapped"
    np.testing.assert_allclose(opened.target.logits(images), expected, atol=1e-4)
    hidden = keras.Model(inputs, keras.layers.Lambda(lambda z: keras.ops.softmax(z))(logits))
    opened = open_model(hidden, phantom.image_shape, 2)
    assert opened.output == "probabilities"
    found = audited(hidden, count=40)
    assert "vanishing gradient: softmax hides the logits" in found.failed
    assert found.word != "robust"


@pytest.mark.slow
def test_a_black_box_is_audited_by_asking(audited, undefended, asked, under_audit):
    found = audited(undefended, count=40, target=asked, control=("undefended", under_audit.target))
    assert "vanishing gradient: zero or not finite" in found.failed
    assert found.checks["gradient masking: another loss breaks more"].outcome is Outcome.NOT_APPLICABLE
    assert found.checks["control: no better than the undefended model"].outcome is Outcome.NOT_APPLICABLE
    assert (
        "the same attack cannot be run on both"
        in found.checks["control: no better than the undefended model"].sentence
    )
    assert found.word in ("not robust", "not proven")
