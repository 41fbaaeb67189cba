"""Models whose gradient is not the slope of their answers: plain Keras operations around trained networks."""

from functools import cache

import keras
import numpy as np
import pytest
from keras import ops

from fedrobust.audit import AttackCache, ModelUnderAudit, Outcome, Plan
from fedrobust.audit.checks.gradient_masking import below_the_head, substitute_gradients
from fedrobust.audit.checks.model import deterministic
from fedrobust.audit.checks.obfuscated_gradients import gradient_predicts_the_change, no_jump_at_the_boundary
from fedrobust.audit.finite_differences import explained, jumps, lengths_of, low_frequency
from fedrobust.evasion import Threat, attack
from fedrobust.evasion.models.hidden_layers import hidden_read_outs
from fedrobust.evasion.models.model_file import open_model
from fedrobust.evasion.rng import keys_of

EPSILON = 4 / 255


def margin(model, images):
    logits = model(images)
    return logits[:, 1:] - logits[:, :1]


def two(score):
    return ops.concatenate([-score / 2, score / 2], axis=1)


def wave(images, frequency):
    weights = np.sign(np.random.default_rng(7).normal(size=(28, 28, 1))).astype(np.float32)
    return ops.sin(frequency * ops.sum(images * weights, axis=(1, 2, 3)))[:, None]


KINDS = {
    # A head that saturates, and another model's gradient in what float32 does not show.
    "tanh, decoy": lambda u, d, x: two(ops.tanh(1000 * margin(u, x)) + 1e-12 * margin(d, x)),
    "sigmoid, decoy": lambda u, d, x: two(2 * ops.sigmoid(500 * margin(u, x)) - 1 + 1e-10 * margin(d, x)),
    "softmax, decoy": lambda u, d, x: ops.softmax(1000 * u(x)) + 1e-10 * d(x),
    # The decoy is to be seen in the answers: gradients predict what happens nearby.
    "tanh, visible decoy": lambda u, d, x: two(
        30 * ops.tanh(1000 * margin(u, x)) + ops.tanh(margin(d, x) / 4)
    ),
    "sign, visible decoy": lambda u, d, x: two(30 * ops.sign(margin(u, x)) + ops.tanh(margin(d, x) / 4)),
    # Gradients that are stopped, turned round, or those of something else.
    "stopped": lambda u, d, x: ops.stop_gradient(u(x)) + 1e-3 * d(x),
    "flipped": lambda u, d, x: 2 * ops.stop_gradient(u(x)) - u(x),
    # What no substitute gradient passes.
    "where, visible decoy": lambda u, d, x: two(ops.where(margin(u, x) > 0, 1.0, -1.0) + 1e-3 * margin(d, x)),
    "whole numbers": lambda u, d, x: two(
        ops.cast(ops.cast(4 * margin(u, x), "int32"), "float32") + 1e-3 * margin(d, x)
    ),
    # The right gradient, under a ripple.
    "steep ripple": lambda u, d, x: two(margin(u, x) + 1e-3 * wave(x, 1e4)),
    "slow ripple": lambda u, d, x: two(margin(u, x) + 0.3 * wave(x, 30.0)),
    # Grey levels.
    "eight levels, straight through": lambda u, d, x: u(x + ops.stop_gradient(ops.round(x * 7) / 7 - x)),
    "sixteen levels": lambda u, d, x: u(ops.round(x * 15) / 15),
}
JUMPING = {
    "tanh, decoy",
    "sigmoid, decoy",
    "softmax, decoy",
    "tanh, visible decoy",
    "sign, visible decoy",
    "where, visible decoy",
}


OFTEN = {
    "tanh, decoy",
    "flipped",
    "slow ripple",
    "sixteen levels",
    "sign, visible decoy",
    "where, visible decoy",
}


def kinds(*names):
    """Every kind has to be traced: most are tried at night."""
    return [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(scope="session")
def masked(undefended, defended):
    inside = keras.Model(undefended.inputs, undefended.outputs[0], name="inside")
    decoy = keras.Model(defended.inputs, defended.outputs[0], name="decoy")

    @cache
    def masked(kind):
        inputs = keras.Input((28, 28, 1))
        return keras.Model(inputs, KINDS[kind](inside, decoy, inputs))

    return masked


@pytest.fixture(scope="session")
def evidence_of(phantom):
    images = phantom.test.images[:120].astype(np.float32) / np.float32(255)

    @cache
    def evidence_of(model, effort="quick"):
        target = open_model(model, phantom.image_shape, phantom.classes).target
        return AttackCache(
            ModelUnderAudit("model", target, images, phantom.test.labels[:120], "", {}),
            Plan(epsilon="4/255", effort=effort),
        )

    return evidence_of


@pytest.mark.parametrize("kind", kinds(*(kind for kind in KINDS if "visible" not in kind)))
def test_a_gradient_that_is_not_the_slope_is_found_out(masked, evidence_of, kind):
    found = gradient_predicts_the_change(evidence_of(masked(kind)))
    assert found.failed, found.figure


@pytest.mark.parametrize("kind", kinds(*sorted(JUMPING)))
def test_outputs_that_turn_over_at_the_boundary_are_found_out(masked, evidence_of, kind):
    assert no_jump_at_the_boundary(evidence_of(masked(kind))).failed


@pytest.mark.parametrize("which", ["undefended", "defended"])
def test_a_network_that_hides_nothing_passes_both(evidence_of, request, which):
    evidence = evidence_of(request.getfixturevalue(which))
    for check in (gradient_predicts_the_change, no_jump_at_the_boundary):
        assert check(evidence).outcome is Outcome.PASSED, check(evidence).figure
    assert evidence.substituted is None


def broken(target, evidence):
    rows = np.flatnonzero(evidence.right)[:60]
    images, labels = evidence.audited.images[rows], evidence.audited.labels[rows]
    found = attack(
        target, images, labels, "pgd(steps=10, loss='margin')", Threat(), [EPSILON], keep_images=False
    )
    return int(found.success.sum())


@pytest.mark.parametrize(
    "kind",
    kinds("tanh, decoy", "softmax, decoy", "sign, visible decoy", "stopped", "flipped", "sixteen levels"),
)
def test_substitute_gradients_break_what_the_model_inside_does_not_stand(
    masked, evidence_of, undefended, kind
):
    evidence = evidence_of(masked(kind))
    target, kinds = evidence.substituted
    inside = broken(evidence_of(undefended).target, evidence)
    assert kinds
    assert inside >= 20, "the model inside is broken, or this test says nothing"
    assert broken(target, evidence) >= 0.8 * inside


@pytest.mark.parametrize("kind", kinds("tanh, visible decoy", "where, visible decoy", "whole numbers"))
def test_read_outs_of_hidden_layers_break_what_the_model_inside_does_not_stand(
    masked, evidence_of, undefended, kind
):
    evidence = evidence_of(masked(kind))
    found = hidden_read_outs(evidence.target, evidence.audited.images)
    inside = broken(evidence_of(undefended).target, evidence)
    assert all(one.agreement >= 0.97 and one.alike < 0.5 for one in found)
    assert max(broken(one.target, evidence) for one in found) >= 0.85 * inside
    # Answers are the model's own.
    images = evidence.audited.images[:5]
    np.testing.assert_array_equal(found[0].target.logits(images), evidence.target.logits(images))


def test_a_model_that_gives_one_answer_has_no_read_out(evidence_of):
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(
        inputs,
        keras.layers.Dense(2, bias_initializer=keras.initializers.Constant(0.0))(
            keras.layers.Flatten()(0.0 * inputs)
        ),
    )
    evidence = evidence_of(model)
    assert hidden_read_outs(evidence.target, evidence.audited.images) == []


def test_the_checks_say_what_they_did_not_do(evidence_of, undefended):
    class AttackSuite:
        cache = evidence_of(undefended)

    assert substitute_gradients(AttackSuite).outcome is Outcome.NOT_APPLICABLE
    left = below_the_head(AttackSuite)
    assert left.outcome is Outcome.NOT_MADE
    assert left.open
    assert not left.failed
    assert left.record().called is None
    assert "--effort standard" in left.sentence


def between_levels(images):
    """How far every value is from its grey level, in grey levels."""
    return ops.abs(255 * images - ops.round(255 * images))


class NoiseBetweenLevels(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(3)

    def call(self, images):
        moved = ops.cast(ops.max(between_levels(images), axis=(1, 2, 3), keepdims=True) > 0.01, "float32")
        return images + moved * keras.random.normal(ops.shape(images), stddev=0.1, seed=self.generator)


def test_noise_between_grey_levels_is_found_and_averaged(defended, evidence_of):
    inputs = keras.Input((28, 28, 1))
    evidence = evidence_of(keras.Model(inputs, defended(NoiseBetweenLevels()(inputs))))
    assert evidence.varying["clean"] == 0
    assert evidence.varying["moved"] > 60
    found = deterministic(evidence)
    assert found.failed
    assert found.record().called == "stochastic defence"
    # The mean of two answers is nearer to the mean of many than one answer is.
    images = evidence.audited.images + np.float32(0.3 / 255)
    images = np.clip(images, 0, 1)
    mean = np.mean([evidence.audited.target.logits(images) for _ in range(60)], axis=0)
    one, two = (
        np.abs(target.logits(images) - mean).mean() for target in (evidence.audited.target, evidence.target)
    )
    assert two < 0.95 * one
    assert evidence.target.gradient(images, evidence.audited.labels, "margin").gradients.shape == images.shape


def pinhole(model, images):
    """The model turned round where most values lie a little beside their grey level."""
    gap = between_levels(images)
    inside = ops.logical_and(gap > 0.02, gap < 0.1)
    share = ops.mean(ops.cast(inside, "float32"), axis=(1, 2, 3))
    return model(images) * (1 - 2 * ops.cast(share > 0.5, "float32"))[:, None]


@pytest.mark.slow
def test_a_pinhole_inside_of_the_ball_breaks_every_image(defended, audited):
    inputs = keras.Input((28, 28, 1))
    found = audited(keras.Model(inputs, pinhole(defended, inputs)))
    assert found.word == "not robust"
    assert found.card.content["broken-by"].get("standing", 0) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tanh, visible decoy", "steep ripple", "slow ripple", "whole numbers"])
def test_no_standard_audit_calls_a_masked_model_robust_and_it_breaks_what_breaks_inside(
    masked, audited, undefended, kind
):
    found = audited(masked(kind), effort="standard")
    inside = audited(undefended)
    assert found.word == "not robust"
    stand, really = (one.card.content["broken-by"].get("standing", 0) for one in (found, inside))
    assert stand <= really + 10


@pytest.mark.slow
def test_a_standard_audit_calls_an_honest_model_robust(audited, defended, undefended, phantom):
    control = open_model(undefended, phantom.image_shape, phantom.classes).target
    found = audited(defended, effort="standard", control=("undefended", control), trained_on=("pgd",))
    assert found.word == "robust", found.card.verdict
    assert found.checks["black-box attacks: not made"].details["queries"]
    assert "every check passed" in found.card.verdict.sentence


class Line:
    """A linear score of two classes; `lie` is added to the gradient, `steep` saturates the score."""

    shape, classes = (4, 4, 1), 2

    def __init__(self, lie=0.0, steep=0.0):
        self.weights = np.random.default_rng(0).normal(size=self.shape).astype(np.float32)
        self.lie, self.steep = lie, steep

    def logits(self, images):
        score = ((images - 0.5) * self.weights).sum(axis=(1, 2, 3))
        score = np.tanh(self.steep * score) if self.steep else score
        return np.stack([np.zeros_like(score), score], axis=1)

    def gradient(self, images, labels, loss, targets=None):
        from fedrobust.evasion.models.protocol import Slopes

        other = np.random.default_rng(1).normal(size=self.shape).astype(np.float32)
        slope = (self.weights + self.lie * other) * np.where(labels == 1, -1, 1)[:, None, None, None]
        return Slopes(self.logits(images), np.zeros(len(images)), slope.astype(np.float32))


def test_a_linear_score_is_predicted_and_a_wrong_gradient_is_not():
    images = np.random.default_rng(2).uniform(0.3, 0.7, size=(20, 4, 4, 1)).astype(np.float32)
    labels = np.arange(20) % 2
    for threat in (Threat(), Threat(norm="l2")):
        right = explained(Line(), images, labels, threat, 0.1)
        assert right.nearby.all()
        assert right.along.all()
        assert not explained(Line(lie=2.0), images, labels, threat, 0.1).nearby.any()


def test_a_linear_score_falls_evenly_and_a_saturated_one_jumps():
    first = np.full((1, 4, 4, 1), 0.5, np.float32) + 0.4 * np.sign(Line().weights)
    second = np.full((1, 4, 4, 1), 0.5, np.float32) - 0.4 * np.sign(Line().weights)
    # Two steps of 0.01 on a way of 0.8.
    np.testing.assert_allclose(jumps(Line(), first, second, Threat(), 0.01), [0.025], rtol=1e-3)
    assert jumps(Line(steep=1000.0), first, second, Threat(), 0.01) == pytest.approx(1.0)


def test_steps_are_shares_of_epsilon_and_no_longer_than_two_grey_levels():
    assert lengths_of(0.001, Threat(), 784) == pytest.approx((0.001 / 16, 0.00025, 0.001))
    assert lengths_of(0.5, Threat(), 784) == pytest.approx((1e-4, 0.5 / 255, 2 / 255))
    assert lengths_of(0.5, Threat(norm="l2"), 784) == pytest.approx((28e-4, 28 * 0.5 / 255, 28 * 2 / 255))


def test_low_frequencies_are_the_slow_ones():
    images = np.zeros((3, 28, 28, 3), np.float32)
    drawn = low_frequency(images, keys_of(0, np.arange(3)), 1)
    assert drawn.shape == images.shape
    spectrum = np.abs(np.fft.rfft2(drawn[..., 0]))
    assert (spectrum[:, :4, :4].sum() / spectrum[:, :15].sum()) > 0.5
    assert not np.allclose(drawn[0], drawn[1])
