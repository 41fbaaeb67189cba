"""Attacks on findings, on a linear model: each logit's change under a signed step is a formula."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.data.label_sets import packed, unpacked
from fedrobust.evasion import ATTACKS, BoundModel, CompiledModel, Threat, ThreatError, attack
from fedrobust.evasion.models.multilabel_losses import MULTILABEL_LOSSES
from fedrobust.evasion.multilabel import attacked_findings, fault

FINDINGS, SHAPE, ALL = 3, (5, 5, 1), 0b111


@pytest.fixture(scope="module")
def linear():
    draw = np.random.default_rng(0)
    kernel = draw.normal(size=(25, FINDINGS)).astype(np.float32)
    bias = -kernel.sum(0) / 2
    compiled = CompiledModel(
        lambda weights, images: tf.reshape(images, [-1, 25]) @ weights[0] + weights[1],
        [tf.TensorSpec(kernel.shape), tf.TensorSpec(bias.shape)],
        SHAPE,
        FINDINGS,
        multilabel=True,
    )
    images = (0.3 + 0.4 * draw.random((30, *SHAPE))).astype(np.float32)
    logits = images.reshape(30, 25) @ kernel + bias
    return BoundModel(compiled, (tf.constant(kernel), tf.constant(bias))), images, logits, kernel


@pytest.mark.parametrize("finding", range(FINDINGS))
@pytest.mark.parametrize("loss", MULTILABEL_LOSSES)
def test_fgsm_on_one_finding_moves_its_logit_by_epsilon_times_the_norm_of_its_weights(linear, finding, loss):
    target, images, logits, kernel = linear
    done = attack(
        target,
        images,
        packed(logits > 0),
        f'fgsm(loss="{loss}")',
        Threat(),
        [0.02],
        nested=False,
        findings=1 << finding,
    )
    moved = 0.02 * np.abs(kernel[:, finding]).sum()
    expected = logits[:, finding] - np.sign(logits[:, finding]) * moved
    np.testing.assert_allclose(done.logits[0][:, finding], expected, atol=1e-4)
    np.testing.assert_array_equal(done.success[0], np.abs(logits[:, finding]) < moved)


def test_fgsm_on_all_findings_steps_along_the_sign_of_the_sum_of_their_gradients(linear):
    target, images, logits, kernel = linear
    done = attack(target, images, packed(logits > 0), "fgsm", Threat(), [0.02], nested=False, findings=ALL)
    step = np.sign(-np.sign(logits) @ kernel.T)
    np.testing.assert_allclose(done.logits[0], logits + 0.02 * step @ kernel, atol=1e-4)


@pytest.mark.parametrize(
    "spec", ["pgd(steps=10)", "bim(steps=10)", "mi-fgsm(steps=10)", "square(queries=100)", "noise"]
)
def test_searches_keep_the_image_with_most_wrong_answers(linear, spec):
    target, images, logits, _ = linear
    sets = packed(logits > 0)
    done = attack(target, images, sets, spec, Threat(), [0.01, 0.03, 0.1], findings=ALL)
    wrong = ((done.logits > 0) != unpacked(sets, FINDINGS)).sum(2)
    assert (np.diff(wrong, axis=0) >= 0).all(), "an adversary is within larger epsilon, too"
    np.testing.assert_array_equal(done.success, wrong == FINDINGS)
    assert wrong[-1].sum() > 0
    np.testing.assert_allclose(
        np.stack([target.logits(images) for images in done.images]), done.logits, atol=1e-4
    )


def test_images_with_a_wrong_answer_are_attacked_on_their_other_findings(linear):
    target, images, logits, _ = linear
    truth = logits > 0
    truth[:, 0] ^= True
    done = attack(target, images, packed(truth), "pgd(steps=10)", Threat(), [0.1], findings=ALL)
    assert ((done.logits[0] > 0) != truth)[:, 1:].any(axis=1).mean() > 0.5


def test_the_loss_margin_pushes_only_answers_that_are_right(linear):
    target, images, logits, _ = linear
    wrong = packed(logits <= 0)
    all_wrong = target.gradient(images, wrong, "margin", np.full(30, ALL, np.int32))
    assert not all_wrong.gradients.any()


def test_rows_without_numbers_count_as_wrong():
    silent = CompiledModel(
        lambda weights, images: (
            tf.reduce_sum(images) * weights[0] + np.nan * tf.ones([tf.shape(images)[0], 2])
        ),
        [tf.TensorSpec([2])],
        SHAPE,
        2,
        multilabel=True,
    )
    target = BoundModel(silent, (tf.zeros(2),))
    done = attack(
        target, np.full((2, *SHAPE), 0.5), np.array([0, 3]), "noise(draws=1)", Threat(), [0.1], findings=3
    )
    assert done.success.all()


def test_attacks_that_need_classes_are_refused(linear):
    target, images, logits, _ = linear
    for name, member in ATTACKS.members.items():
        if name == "transfer":
            continue
        assert bool(fault(member())) != member.multilabel, name
    with pytest.raises(
        ThreatError, match=r"deepfool: it needs classes .*: bim, fgsm, mi-fgsm, noise, pgd, .*square"
    ):
        attack(target, images, packed(logits > 0), "deepfool", Threat(), [0.1], findings=ALL)
    for spec, message in (
        ("pgd(target=1)", "target = 1: findings have no"),
        ('fgsm(loss="dlr")', "loss = dlr"),
    ):
        with pytest.raises(ThreatError, match=message):
            attack(target, images, packed(logits > 0), spec, Threat(), [0.1], findings=ALL)


def test_a_finding_is_chosen_by_name_or_number():
    names = ("mass", "nodule", "0")
    assert attacked_findings("nodule", names) == attacked_findings("1", names) == 0b10
    assert attacked_findings("0", names) == 0b100, "a name goes before a number"
    with pytest.raises(ValueError, match="no such finding; allowed: any, mass, nodule, 0"):
        attacked_findings("effusion", names)
