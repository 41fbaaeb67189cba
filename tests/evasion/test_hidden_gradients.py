"""Attacks that need no gradient, or not the reported one, against linear models that hide theirs.

Which images can be broken is a formula, whatever the model shows.
"""

from dataclasses import dataclass

import numpy as np
import pytest

from fedrobust.evasion import NotDifferentiableError, Threat, attack
from fedrobust.evasion.attacks.query.decision_based import Examples
from fedrobust.evasion.attacks.query.directions import random_directions
from fedrobust.evasion.attacks.query.rays import boxes, doubled, flip
from fedrobust.evasion.attacks.transfer import mixtures
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.rng import keys_of
from tests.evasion.conftest import linear_problem


@dataclass
class Decisions:
    """Answers one-hot: nothing but the class."""

    inner: object

    @property
    def shape(self):
        return self.inner.shape

    @property
    def classes(self):
        return self.inner.classes

    def logits(self, images):
        return np.eye(self.classes, dtype=np.float32)[self.inner.logits(images).argmax(axis=1)]

    def gradient(self, *_):
        raise NotDifferentiableError("decisions only")


@dataclass
class Decoy(Decisions):
    """A saturated model whose gradient is that of another one."""

    other: object

    def logits(self, images):
        logits = self.inner.logits(images)
        margin = np.tanh(1000 * (logits[:, 1] - logits[:, 0]))
        return np.stack([-margin, margin], axis=1) + np.float32(1e-12) * self.other.logits(images)

    def gradient(self, images, labels, loss, targets=None):
        return self.other.gradient(images, labels, loss, targets)._replace(logits=self.logits(images))


@dataclass
class Ripple(Decisions):
    """A model whose margin carries a wave of small amplitude and a slope far over its own."""

    amplitude: float = 0.02
    period: float = 1e-3

    @property
    def along(self):
        wave = np.random.default_rng(9).normal(size=self.shape)
        return (wave / np.linalg.norm(wave)).astype(np.float32)

    def phase(self, images):
        return np.einsum("nhwc,hwc->n", images.astype(np.float64), self.along) * 2 * np.pi / self.period

    def logits(self, images):
        wave = (self.amplitude * np.sin(self.phase(images))).astype(np.float32)
        return self.inner.logits(images) + np.stack([-wave, wave], axis=1)

    def gradient(self, images, labels, loss, targets=None):
        seen = self.inner.gradient(images, labels, loss, targets)
        steep = 2 * self.amplitude * np.cos(self.phase(images)) * 2 * np.pi / self.period
        towards = np.where(labels == 1, -steep, steep)[:, None, None, None]
        return Slopes(
            self.logits(images), seen.losses, (seen.gradients + towards * self.along).astype(np.float32)
        )


@pytest.mark.parametrize(
    ("name", "norm", "most"),
    [
        ("rays(queries=500)", "linf", 1.15),
        pytest.param("hop-skip-jump(queries=1500)", "linf", 1.25, marks=pytest.mark.slow),
        pytest.param("hop-skip-jump(queries=1500, basis='pixels')", "linf", 1.08, marks=pytest.mark.slow),
        ("hop-skip-jump(queries=1500)", "l2", 1.15),
    ],
)
def test_decisions_alone_lead_to_the_nearest_adversary(two_classes, name, norm, most):
    target = Decisions(two_classes.target)
    done = attack(target, two_classes.images, two_classes.labels, name, Threat(norm=norm), [1e-4, 100.0])
    ratio = done.distance[1] / two_classes.nearest[norm]
    assert done.success[1].all()
    assert ratio.min() >= 0.999
    assert np.median(ratio) <= most
    assert done.queries.max() <= 1500 + 1
    assert done.shared == (40, 0), "decisions on the images under attack, to start from"


@pytest.mark.parametrize("name", ["rays", "hop-skip-jump", "spsa"])
def test_an_image_is_done_once_an_adversary_is_within_epsilon(two_classes, name):
    far = float(3 * two_classes.nearest["linf"].max())
    done = attack(two_classes.target, two_classes.images, two_classes.labels, name, Threat(), [far])
    assert done.success.all()
    assert done.queries.max() < 200


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("rays(queries=400)", 15),
        pytest.param("hop-skip-jump(queries=600, basis='pixels')", 11, marks=pytest.mark.slow),
    ],
)
def test_a_decoy_gradient_hides_nothing_from_decisions(two_classes, name, least):
    """Epsilon suffices for 20 of 40 images: gradients find none of them, scores next to none."""
    target = Decoy(two_classes.target, linear_problem(seed=7).target)
    epsilon = float(np.median(two_classes.nearest["linf"]))

    def broken(attacked):
        done = attack(target, two_classes.images, two_classes.labels, attacked, Threat(), [epsilon])
        return done.success[0].sum()

    assert broken("pgd") <= 2
    assert broken("square(queries=100)") <= 4
    assert broken(name) >= least


@pytest.mark.parametrize(
    ("name", "least"),
    [
        pytest.param("spsa(basis='pixels')", 17, marks=pytest.mark.slow),
        ("spsa", 13),
        ("smoothed-pgd(copies=32)", 13),
    ],
)
def test_a_ripple_hides_nothing_from_finite_differences_and_mean_gradients(two_classes, name, least):
    """Epsilon suffices for 20 of 40 images."""
    target = Ripple(two_classes.target)
    labels = target.logits(two_classes.images).argmax(axis=1).astype(np.int32)
    epsilon = float(np.median(two_classes.nearest["linf"]))

    def broken(attacked):
        return attack(target, two_classes.images, labels, attacked, Threat(), [epsilon]).success[0].sum()

    assert broken("pgd") <= 3
    assert broken(name) >= least


@pytest.mark.parametrize("name", ["rays(queries=80)", "hop-skip-jump(queries=200)"])
def test_without_an_image_of_another_decision_patterns_are_the_start(two_classes, name):
    labels = two_classes.labels
    assert (labels == labels[0]).all(), "all images are decided alike"
    done = attack(Decisions(two_classes.target), two_classes.images, labels, name, Threat(), [0.02, 1.0])
    assert done.success[1].all()


def test_spsa_without_memory_climbs_along_the_linear_models_gradient(two_classes):
    """Many differences of one step: the mean of (f(x + d v) - f(x - d v)) v is the gradient, and signs are PGD's."""
    name = "spsa(steps=1, directions=3000, memory=0.0, basis='pixels')"
    epsilon = float(np.quantile(two_classes.nearest["linf"], 0.2))
    images, labels = two_classes.images[::3], two_classes.labels[::3]
    done = attack(two_classes.target, images, labels, name, Threat(), [epsilon])
    far = two_classes.nearest["linf"][::3]
    assert (far < 0.9 * epsilon).any()
    assert done.success[0][far < 0.9 * epsilon].all()
    assert not done.success[0][far > 1.001 * epsilon].any()


def test_mixtures_are_of_images_with_different_decisions():
    images = np.arange(0, 250, 50, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)
    grey = mixtures(images, np.array([0, 0, 2, 1, 1]), 2000, seed=0)
    assert (grey == grey[:, :1, :1]).all()
    assert len(mixtures(images, np.array([0, 0, 2, 1, 1]), -3, seed=0)) == 0
    # 100 is the only image of its class: pairs of the others are (0 or 50) with (150 or 200).
    apart = mixtures(images[[0, 1, 3]], np.array([0, 0, 1]), 2000, seed=1)[:, 0, 0, 0]
    assert (apart > 50).mean() > 0.6, "0 with 50 is no pair"
    assert apart.max() <= 150
    alike = mixtures(images, np.zeros(5, int), 2000, seed=0)
    assert alike.min() < 10
    assert alike.max() > 190


def test_examples_are_the_nearest_of_another_decision():
    shades = np.array([0.1, 0.4, 0.6, 0.9], np.float32)
    images = np.ones((4, 2, 2, 1), np.float32) * shades[:, None, None, None]
    examples = Examples(images, np.array([0, 0, 1, 1]))
    found, real = examples.otherwise(images, np.array([0, 0, 1, 1]), 3)
    assert found[0, :2, 0, 0, 0].tolist() == pytest.approx([0.6, 0.9])
    assert found[3, :2, 0, 0, 0].tolist() == pytest.approx([0.4, 0.1])
    assert real.tolist() == [[True, True, False]] * 4


def test_boxes_of_a_level_cover_the_image_once():
    shape = (5, 3, 2)
    every = boxes(shape, 1000)
    covered = np.zeros(len(every), int)
    for place, box in enumerate(every):
        covered[place] = np.prod(box[:, 1] - box[:, 0])
    levels = np.cumsum(covered) / np.prod(shape)
    assert levels[-1] == int(levels[-1])
    assert covered[-1] == 1
    ones = np.ones((len(every), *shape), np.float32)
    assert ((flip(ones, every) < 0).sum(axis=(1, 2, 3)) == covered).all()
    np.testing.assert_array_equal(flip(flip(ones, every), every), ones)
    assert doubled(0.4) == [0.4, 0.8, 1.0]


def test_low_frequencies_are_smooth_and_as_large_as_signs():
    keys = keys_of(0, np.arange(50))
    for basis, rough in (("pixels", 2.0), ("dct", 0.02)):
        values = random_directions(keys, 0, (3, 16, 16, 1), basis, 0.125)
        assert values.shape == (50, 3, 16, 16, 1)
        assert (values**2).mean() == pytest.approx(1.0, abs=0.02)
        assert (np.diff(values, axis=2) ** 2).mean() == pytest.approx(rough, rel=0.1)
