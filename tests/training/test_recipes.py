"""What a recipe trains on, with a model whose gradient is known."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.training.recipes import Batch, FGSMTraining, PGDTraining, Plain
from fedrobust.training.recipes.recipe import weighted_mean

CLEAN = np.full((5, 2, 2, 1), 0.5, np.float32)
SLOPES = np.array([1.0, -1.0, 2.0, -0.5], np.float32).reshape(2, 2, 1)
EPSILON = 0.1


class Watched:
    """A batch of grey images under losses whose gradient is `SLOPES` everywhere, and what is asked of the model."""

    def __init__(self, example_weights=(1, 1, 1, 1, 1), seed=(1, 2)):
        self.inferred, self.trained = [], []
        self.batch = Batch(
            images=tf.constant(CLEAN),
            targets=tf.constant([3.0, 0.0, 1.0, 2.0, 5.0]),
            example_weights=tf.constant(example_weights, tf.float32),
            seed=tf.constant(seed, tf.int32),
            objective=lambda logits, targets: logits[:, 0] + targets,
            infer=self._infer,
            train=self._train,
        )

    def _infer(self, images):
        self.inferred.append(images.numpy())
        return tf.reduce_sum(images * SLOPES, axis=(1, 2))

    def _train(self, images):
        self.trained.append(images.numpy())
        return tf.reduce_sum(images * SLOPES, axis=(1, 2)), [tf.constant([7.0])]


def test_pgd_takes_steps_of_two_and_a_half_epsilon_over_their_number():
    watched = Watched()
    PGDTraining(epsilon=EPSILON, steps=5, random_start=False)(watched.batch)
    (images,) = watched.trained
    assert len(watched.inferred) == 5
    size = 2.5 * EPSILON / 5
    for before, after in zip(watched.inferred, [*watched.inferred[1:], images], strict=True):
        expected = np.clip(before + size * np.sign(SLOPES), CLEAN - EPSILON, CLEAN + EPSILON)
        np.testing.assert_allclose(after, expected, atol=1e-7)
    np.testing.assert_allclose(watched.inferred[1], CLEAN + size * np.sign(SLOPES), atol=1e-7)


def test_pgd_takes_the_step_that_it_is_given():
    watched = Watched()
    PGDTraining(epsilon=EPSILON, steps=3, step_size=0.01, random_start=False)(watched.batch)
    np.testing.assert_allclose(watched.trained[0], CLEAN + 0.03 * np.sign(SLOPES), atol=1e-7)


def test_pgd_of_one_step_takes_one():
    watched = Watched()
    PGDTraining(epsilon=EPSILON, steps=1, step_size=0.01, random_start=False)(watched.batch)
    assert len(watched.inferred) == 1
    np.testing.assert_allclose(watched.trained[0], CLEAN + 0.01 * np.sign(SLOPES), atol=1e-7)


@pytest.mark.parametrize(
    ("recipe", "step"),
    [
        (FGSMTraining(epsilon=EPSILON, share=1.0), 1.0),
        (FGSMTraining(epsilon=EPSILON, share=1.0, random_start=True), 1.25),
        (FGSMTraining(epsilon=EPSILON, share=1.0, random_start=True, step_size=0.03), 0.3),
        (FGSMTraining(epsilon=EPSILON, share=1.0, step_size=0.03), 0.3),
    ],
)
def test_fgsm_takes_one_step_of_its_size(recipe, step):
    watched = Watched()
    recipe(watched.batch)
    (start,), (images,) = watched.inferred, watched.trained
    moved = np.clip(start + step * EPSILON * np.sign(SLOPES), CLEAN - EPSILON, CLEAN + EPSILON)
    np.testing.assert_allclose(images, moved, atol=1e-7)
    if not recipe.random_start:
        np.testing.assert_array_equal(start, CLEAN)
    elif step == 1.25:
        # What lies more than a step behind the wall does not reach it: only so is the size seen.
        reached = np.isclose(images, CLEAN + EPSILON * np.sign(SLOPES), atol=1e-6)
        np.testing.assert_array_equal(reached, (start - CLEAN) * np.sign(SLOPES) / EPSILON > -0.25)


@pytest.mark.parametrize("recipe", [PGDTraining, FGSMTraining])
def test_random_starts_fill_the_box_and_come_from_the_seed(recipe):
    starts = []
    for seed in ((1, 2), (1, 2), (1, 3)):
        watched = Watched(seed=seed)
        recipe(epsilon=EPSILON, share=1.0, random_start=True)(watched.batch)
        starts.append(watched.inferred[0])
    np.testing.assert_array_equal(starts[0], starts[1])
    assert not np.array_equal(starts[0], starts[2])
    away = (starts[0] - CLEAN) / EPSILON
    assert np.abs(away).max() <= 1 + 1e-6
    assert away.min() < -0.6
    assert away.max() > 0.6
    assert len(np.unique(away)) == away.size, "each pixel has a start of its own"


@pytest.mark.parametrize(
    ("share", "attacked"),
    [(0.5, 3), (0.2, 1), (0.6, 3), (0.61, 4), (1.0, 5), (0.01, 1)],
)
@pytest.mark.parametrize("recipe", [PGDTraining, FGSMTraining])
def test_the_share_of_attacked_images_is_rounded_up(recipe, share, attacked):
    """The first images of the batch are attacked, and the others are the clean ones, untouched."""
    watched = Watched()
    recipe(epsilon=EPSILON, share=share, random_start=False)(watched.batch)
    (images,) = watched.trained
    np.testing.assert_allclose(images[:attacked], CLEAN[:attacked] + EPSILON * np.sign(SLOPES), atol=1e-6)
    np.testing.assert_array_equal(images[attacked:], CLEAN[attacked:])
    assert len(watched.inferred[0]) == attacked


def test_an_attack_moves_away_from_each_images_own_target():
    """Images that are attacked meet their own targets: the first of the batch, not all of them."""
    watched = Watched()
    batch = watched.batch._replace(objective=lambda logits, targets: logits[:, 0] * (targets - 2.0))
    PGDTraining(epsilon=EPSILON, steps=1, step_size=0.05, share=0.6, random_start=False)(batch)
    signs = np.sign(np.array([3.0, 0.0, 1.0]) - 2.0).reshape(3, 1, 1, 1) * np.sign(SLOPES)
    np.testing.assert_allclose(watched.trained[0][:3], CLEAN[:3] + 0.05 * signs, atol=1e-7)


@pytest.mark.parametrize("recipe", [Plain(), PGDTraining(epsilon=EPSILON, random_start=False)])
def test_the_loss_is_that_of_what_is_trained_on(recipe):
    watched = Watched(example_weights=(1, 2, 0, 1, 0.5))
    outcome = recipe(watched.batch)
    (images,) = watched.trained
    logits = (images * SLOPES).sum((1, 2))
    losses = logits[:, 0] + [3.0, 0.0, 1.0, 2.0, 5.0]
    assert float(outcome.loss) == pytest.approx(np.mean(losses * [1, 2, 0, 1, 0.5]), rel=1e-6)
    np.testing.assert_allclose(outcome.logits, logits, rtol=1e-6)
    assert [value.numpy().tolist() for value in outcome.statistics] == [[7.0]]


def test_plain_training_leaves_the_images_alone():
    watched = Watched()
    Plain()(watched.batch)
    np.testing.assert_array_equal(watched.trained[0], CLEAN)
    assert watched.inferred == []


def test_the_papers_settings_are_the_defaults():
    pgd, fgsm = PGDTraining(), FGSMTraining()
    assert (pgd.epsilon, pgd.steps, pgd.step_size, pgd.random_start, pgd.share) == (
        8 / 255,
        7,
        0.0,
        True,
        1.0,
    )
    assert (fgsm.epsilon, fgsm.steps, fgsm.step_size) == (0.001, 1, 0.001)
    assert (fgsm.random_start, fgsm.share) == (False, 0.5)
    assert FGSMTraining(random_start=True).step_size == 0.00125


def test_weighted_means_are_over_images_as_kerass_are():
    assert float(weighted_mean(tf.constant([1.0, 2.0, 3.0]), tf.constant([2.0, 0.0, 1.0]))) == pytest.approx(
        5 / 3
    )
