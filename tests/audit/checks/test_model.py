"""What a model gives away, judged from made-up answers and gradients: figures, outcomes and weights."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.audit.checks.model import batchnorm_gap, deterministic, gradient_health, outputs_are_logits
from fedrobust.audit.finding import Finding, Outcome, Weight, share
from fedrobust.audit.review import ADVICE
from fedrobust.runs.record import to_json

LABELS = np.array([0, 1] * 20)


def logits(answers, sure=2.0) -> np.ndarray:
    """Return logits of which the given class is the largest."""
    return sure * np.eye(2, dtype=np.float32)[np.asarray(answers)] - 1


def said(output, answers) -> Finding:
    return outputs_are_logits(SimpleNamespace(audited=SimpleNamespace(output=output), raw_logits=answers))


@pytest.mark.parametrize(
    ("output", "answers", "outcome", "sentence"),
    [
        ("logits", logits(LABELS), Outcome.PASSED, "The attacks use the model's logits."),
        (
            "unwrapped",
            logits(LABELS),
            Outcome.PASSED,
            "The file ends in a softmax or sigmoid; it was removed, so that the attacks use logits.",
        ),
        (
            "probabilities",
            logits(LABELS),
            Outcome.FAILED,
            "The model returns probabilities alone: at high confidence their gradient is zero, and gradient "
            "attacks are weaker than they could be.",
        ),
        ("logits", np.array([[0.25, 0.75], [1.0, 0.0]]), Outcome.FAILED, None),
        ("logits", np.array([[0.25, 0.7509], [1.0, 0.0]]), Outcome.FAILED, None),
        ("logits", np.array([[0.25, 0.76], [1.0, 0.0]]), Outcome.PASSED, None),
        ("logits", np.array([[1.5, -0.5], [1.0, 0.0]]), Outcome.PASSED, None),
        ("logits", np.array([[-0.5, 1.5], [1.0, 0.0]]), Outcome.PASSED, None),
    ],
)
def test_rows_that_are_probabilities_hide_the_logits(output, answers, outcome, sentence):
    found = said(output, answers)
    assert (found.outcome, found.weight) == (outcome, Weight.NOT_PROVEN)
    assert (found.figure, found.details) == (output, {"output": output})
    assert found.rule == "finite rows that do not lie in [0, 1] with sum 1"
    assert found.source == "Croce and Hein (2020), AutoAttack's flags"
    assert found.check in ADVICE
    if sentence:
        assert found.sentence == sentence


def test_answers_without_a_number_are_counted():
    answers = logits(LABELS).copy()
    answers[3, 0], answers[5, 1] = np.nan, np.inf
    found = said("logits", answers)
    assert (found.outcome, found.weight) == (Outcome.FAILED, Weight.NOT_PROVEN)
    assert found.figure == "not finite for 2 of 40 (5.0 %)"
    assert found.details == {"output": "logits", "silent": 2}
    assert (
        found.sentence
        == "The model returns NaN or infinity for some clean images; they count as misclassified."
    )
    assert found.check == said("logits", logits(LABELS)).check


@pytest.mark.parametrize(
    ("clean", "moved", "failed"), [(0, 0, False), (1, 0, True), (0, 1, True), (8, 10, True)]
)
def test_answers_that_differ_are_a_stochastic_defence(clean, moved, failed):
    evidence = SimpleNamespace(
        varying={"clean": clean, "moved": moved},
        sampled=np.zeros(20),
        plan=SimpleNamespace(draws=8),
        confirmed=256,
    )
    found = deterministic(evidence)
    assert (found.failed, found.weight) == (failed, Weight.NOT_PROVEN)
    assert found.figure == (
        f"outputs differ on {share(clean, 20)} clean, on {share(moved, 20)} perturbed images"
    )
    assert found.details == {"clean": clean, "moved": moved, "n": 20}
    assert found.sentence == (
        "The model is stochastic: its outputs for one image differ. All attacks used the mean of 8 outputs and "
        "gradients (EOT), and an image counts as misclassified if the mean of 256 new outputs is wrong: chance breaks "
        "few images, those whose mean output is close to undecided. An attacker who averages more gradients may break "
        "more."
        if failed
        else "The model is deterministic."
    )
    assert found.check in ADVICE


def health(of_cross_entropy, of_margin, n=200, differentiable=True) -> Finding:
    """Judge a model whose first images have no gradient, every second of them one of NaN, by the loss."""
    asked = []

    def gradient(images, labels, loss):
        asked.append((images, labels, loss))
        gradients = np.ones((n, 2, 2, 1), np.float32)
        count = {"cross-entropy": of_cross_entropy, "margin": of_margin}[loss]
        gradients[:count] = 0
        gradients[:count:2, 0, 0] = np.nan
        gradients[-1, 1] = 0  # a part alone
        return SimpleNamespace(gradients=gradients)

    audited = SimpleNamespace(images="images", labels=np.zeros(n, int))
    evidence = SimpleNamespace(
        differentiable=differentiable, audited=audited, target=SimpleNamespace(gradient=gradient)
    )
    found = gradient_health(evidence)
    assert [(images, loss) for images, _, loss in asked] == (
        [("images", "cross-entropy"), ("images", "margin")] if differentiable else []
    )
    return found


@pytest.mark.parametrize(
    ("counts", "failed"),
    [((0, 0), False), ((2, 2), False), ((3, 0), True), ((0, 3), True), ((200, 200), True)],
)
def test_more_than_one_image_in_a_hundred_without_a_gradient_is_a_failure(counts, failed):
    found = health(*counts)
    assert (found.failed, found.weight) == (failed, Weight.NOT_PROVEN)
    assert found.figure == (
        f"no gradient on {share(counts[0], 200)} for cross-entropy and {share(counts[1], 200)} for margin"
    )
    assert found.details == {"cross-entropy": counts[0], "margin": counts[1], "n": 200}
    assert found.sentence == (
        "The gradients vanish or are not finite: gradient attacks fail on this model, other attacks may not."
        if failed
        else "The gradients can guide an attack."
    )


def test_a_model_without_any_gradient_fails():
    found = health(0, 0, differentiable=False)
    assert (found.outcome, found.weight) == (Outcome.FAILED, Weight.NOT_PROVEN)
    assert (found.figure, found.details) == ("no gradient at all", {})
    assert found.sentence == (
        "The model contains an operation without a gradient: only black-box attacks could be run, which break "
        "fewer images."
    )
    assert found.check == health(0, 0).check
    assert found.rule == health(0, 0).rule


def gap(in_training, here, collapsed=False, n=40) -> Finding:
    """Judge a model that is right on so many of n images in either mode."""
    right = np.arange(n) < here
    answers = np.where(right, LABELS[:n], 1 - LABELS[:n])
    training = logits(np.where(np.arange(n) < in_training, LABELS[:n], 1 - LABELS[:n]))
    audited = SimpleNamespace(labels=LABELS[:n], in_training_mode=lambda: training)
    clean = logits(np.zeros(n, int) if collapsed else answers)
    return batchnorm_gap(SimpleNamespace(audited=audited, right=right, clean=clean))


@pytest.mark.parametrize(
    ("in_training", "here", "failed"),
    [(40, 40, False), (40, 38, False), (40, 37, True), (20, 40, False), (38, 30, True)],
)
def test_a_model_that_is_better_in_training_mode_has_stale_statistics(in_training, here, failed):
    found = gap(in_training, here)
    assert (found.failed, found.weight) == (failed, Weight.REPORT)
    assert found.figure == (
        f"{share(in_training, 40)} right in training mode, {share(here, 40)} in inference mode"
    )
    assert found.details == {"training": in_training, "inference": here, "n": 40}
    assert found.rule == "accuracy in training mode and in inference mode differ by at most 5 points"
    assert found.sentence == (
        "The BatchNorm statistics are stale: in inference mode the model is worse than in training mode. "
        "Recalibrate the statistics, or lower the momentum."
        if failed
        else "The BatchNorm statistics fit the weights."
    )


def test_a_model_that_answers_like_a_constant_one_is_degenerate_for_it():
    found = gap(40, 20, collapsed=True)
    assert (found.outcome, found.weight) == (Outcome.FAILED, Weight.DEGENERATE)


def test_only_the_first_images_are_run_in_training_mode():
    right = np.arange(40) < 30
    audited = SimpleNamespace(labels=LABELS, in_training_mode=lambda: logits(LABELS[:10]))
    found = batchnorm_gap(SimpleNamespace(audited=audited, right=right, clean=logits(LABELS)))
    assert found.details == {"training": 10, "inference": 10, "n": 10}


def test_where_there_is_no_training_mode_nothing_is_compared():
    found = batchnorm_gap(SimpleNamespace(audited=SimpleNamespace(in_training_mode=None)))
    assert (found.outcome, found.weight) == (Outcome.NOT_APPLICABLE, Weight.DEGENERATE)
    assert (found.figure, found.details) == ("-", {})
    assert found.sentence == "The model cannot be run in training mode."
    assert found.check == gap(40, 40).check


def test_a_finding_has_advice_only_where_it_failed():
    passed, failed = gap(40, 40), gap(40, 30)
    plain = to_json(passed.record())
    assert list(plain) == ["check", "outcome", "weight", "figure", "rule", "sentence", "source", "details"]
    assert (plain["check"], plain["outcome"], plain["weight"]) == (passed.check, "passed", "report")
    advice, found = ADVICE[failed.check], failed.record()
    assert (found.outcome, found.called, found.next) == ("failed", advice.called, advice.next)
    assert found.details == {"training": 40, "inference": 30, "n": 40}
    assert (found.check, found.figure, found.rule) == (failed.check, failed.figure, failed.rule)
    assert (found.sentence, found.source) == (failed.sentence, failed.source)
    assert not passed.open
    assert Finding("x", Outcome.NOT_MADE, Weight.REPORT, "", "", "", "", {}).open
