"""Models that answer at random: none is broken by chance, what is broken stays broken, every pass is counted."""

import numpy as np
import pytest

from fedrobust.audit import AttackCache, ModelUnderAudit, Plan, audit
from fedrobust.evasion import Threat, attack
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.models.wrappers import Averaged, Tied

SHAPE = (6, 6, 1)


class Noisy:
    """Answers by the mean grey level; each pass adds noise to the margin, of standard deviation `noise`."""

    shape, classes = SHAPE, 2

    def __init__(self, noise):
        self.noise, self.draw, self.passes = noise, np.random.default_rng(0), 0

    def logits(self, images):
        self.passes += len(images)
        margin = 10 * (images.mean(axis=(1, 2, 3)) - 0.5) + self.noise * self.draw.standard_normal(
            len(images)
        )
        return np.stack([-margin / 2, margin / 2], axis=1).astype(np.float32)

    def gradient(self, images, labels, loss, targets=None):
        logits = self.logits(images)
        away = np.where(labels == 1, -1.0, 1.0).astype(np.float32)
        slopes = away[:, None, None, None] * np.ones_like(images) * np.float32(10 / 36)
        return Slopes(logits, away * (logits[:, 1] - logits[:, 0]), slopes)


def images_of(n=40, apart=0.3):
    """Return images that are darker or brighter than grey by `apart`, and their labels."""
    labels = (np.arange(n) % 2).astype(np.int32)
    levels = np.where(labels == 1, 0.5 + apart, 0.5 - apart)[:, None, None, None]
    return (np.rint(255 * levels) / 255 * np.ones((n, *SHAPE))).astype(np.float32), labels


def audited(noise, apart, epsilon):
    images, labels = images_of(apart=apart)
    model = ModelUnderAudit("noisy", Noisy(noise), images, labels, "", {"name": "made up", "digest": ""})
    return audit(AttackCache(model, Plan(epsilon=epsilon, effort="quick", curve=(epsilon,))))


@pytest.mark.parametrize("noise", [1.8, 3.6])
def test_noise_that_no_perturbation_decides_breaks_no_image(noise):
    """A pass is right in 95 and in 80 of 100 cases, wherever the image is within epsilon."""
    card = audited(noise, 0.3, 1e-6)
    assert card.verdict.word == "not proven"
    assert card.record.broken_by.get("standing", 0) >= 39
    assert card.record.robust["fgsm"]["1e-06"].correct >= 39
    assert any("the mean of 256 new answers is wrong" in note for note in card.record.notes)


def test_a_noisy_model_that_is_broken_stays_broken():
    """At 0.1 the margin of every image can be turned from 0.5 to -0.5; a pass is right in 61 of 100 cases before."""
    card = audited(1.8, 0.05, 0.1)
    assert card.verdict.word == "not robust"
    assert card.record.broken_by.get("standing", 0) == 0


@pytest.mark.parametrize("spec", ["noise(draws=50)", "square(queries=60)", "deepfool", "pgd(steps=20)"])
def test_attacks_believe_no_lucky_mean_and_count_every_pass(spec):
    images, labels = images_of()
    model = Noisy(3.6)
    found = attack(Averaged(model, 4), images, labels, spec, Threat(), [1e-6, 2e-6], chunk=len(images))
    assert found.success.sum() <= 1
    assert found.queries.sum() == model.passes


@pytest.mark.parametrize(
    ("spec", "share"), [("pgd(steps=20)", 0.95), ("deepfool", 0.95), ("square(queries=60)", 0.6)]
)
def test_attacks_go_on_after_a_lucky_mean_until_the_image_is_broken(spec, share):
    """Noise hinders searches that compare answers, or that stop at the boundary: they break fewer images."""
    images, labels = images_of(apart=0.05)
    found = attack(Averaged(Noisy(1.8), 4), images, labels, spec, Threat(), [0.3])
    assert found.success.mean() > share
    if spec != "deepfool":  # the smallest perturbation ends where the mean of the answers is undecided
        wrong = Averaged(Noisy(1.8), 400).logits(found.images[0]).argmax(axis=1) != labels
        assert wrong[found.success[0]].mean() > 0.85


def test_what_is_rejected_at_one_epsilon_is_attacked_at_the_next():
    found = attack(Averaged(Noisy(1.8), 2), *images_of(apart=0.05), "pgd", Threat(), [1e-6, 0.3])
    assert found.success[0].mean() < 0.5
    assert found.success[1].mean() > 0.9


@pytest.mark.parametrize("spec", ["fgsm(target='second')", "apgd-t(steps=2)", "transfer-to-itself"])
@pytest.mark.parametrize("nested", [True, False])
def test_passes_of_clean_images_and_of_gradients_are_counted(spec, nested):
    if spec == "transfer-to-itself":
        spec = "hop-skip-jump(queries=20)"
    images, labels = images_of()
    model = Noisy(0.0)
    found = attack(model, images, labels, spec, Threat(norm="linf"), [0.01, 0.02], nested=nested)
    assert found.queries.sum() + found.shared[0] == model.passes


def test_a_tied_target_makes_the_passes_of_its_colour_model():
    assert Tied(Averaged(Noisy(1.0), 5)).passes_per_call == 5
    assert Tied(Averaged(Averaged(Noisy(1.0), 5), 2)).passes_per_call == 10
    assert Tied(Noisy(1.0)).passes_per_call == 1


@pytest.mark.parametrize("spec", ["square(queries=60)", "pgd(steps=10)", "noise(draws=20)"])
def test_images_without_an_adversary_are_searched_once_whatever_becomes_of_others(spec):
    """One of 40 images can be broken; the others take as many passes in one chunk as alone."""
    images, labels = images_of(apart=0.3)
    images[0] = np.float32(0.49)
    runs = [
        attack(Averaged(Noisy(1e-3), 2), images, labels, spec, Threat(), [0.05], chunk=n) for n in (1, 40)
    ]
    for found in runs:
        assert found.success[0].sum() == 1
    np.testing.assert_array_equal(runs[0].queries[1:], runs[1].queries[1:])
    assert runs[0].queries[1:].max() < 2 * (60 + 2 + 2 * 128 + 1)


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("apart", [-0.1, 0.1])
def test_one_step_is_judged_as_the_clean_image_is(nested, apart):
    """A step of 1e-6 changes nothing: images wrong, or right, on average by half a deviation stay so."""
    images, labels = images_of(apart=apart)
    found = attack(Averaged(Noisy(2.0), 2), images, labels, "fgsm", Threat(), [1e-6], nested=nested, chunk=1)
    assert found.success.mean() == (apart < 0)


@pytest.mark.parametrize(
    ("spec", "share"), [("deepfool", 0.95), ("fmn(steps=50)", 0.95), ("fab(steps=20)", 0.75)]
)
def test_a_minimum_norm_attack_moves_rejected_adversaries_outwards(spec, share):
    """The smallest adversary is that of the luckiest mean; at 0.3 the mean may be wrong by 2.5."""
    images, labels = images_of(n=30, apart=0.05)
    found = attack(Averaged(Noisy(2.0), 2), images, labels, spec, Threat(), [0.3])
    assert found.success.mean() > share
    assert (found.distance[found.success] <= 0.3).all()


def test_progress_of_a_stochastic_model_is_at_its_end_at_the_end():
    seen = []
    images, labels = images_of(apart=0.05)
    attack(
        Averaged(Noisy(2.0), 2), images, labels, "square(queries=60)", Threat(), [1e-6], report=seen.append
    )
    assert seen[-1].left == 0
    assert all(one.left for one in seen[:-1])
