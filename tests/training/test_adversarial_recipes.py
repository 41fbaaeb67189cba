"""TRADES, MART, logit pairing, gradient penalty, gradient alignment, AWP: against literal transcriptions in NumPy."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.spec import SpecError, build
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import BalancedSoftmax, CrossEntropy
from fedrobust.training.losses.contract import adjusted, without_shares
from fedrobust.training.losses.tempered_cross_entropy import TemperedCrossEntropy
from fedrobust.training.optimizers import SGD
from fedrobust.training.perturbation import in_range, project
from fedrobust.training.recipes import RECIPES, AdversarialRecipe, Batch
from fedrobust.training.recipes.adversarial import NEAR
from fedrobust.training.recipes.awp import AWP
from fedrobust.training.recipes.grad_align import GradAlign
from fedrobust.training.recipes.gradient_penalty import GradientPenalty
from fedrobust.training.recipes.logit_pairing import LogitPairing
from fedrobust.training.recipes.mart import MART
from fedrobust.training.recipes.recipe import carries
from fedrobust.training.recipes.trades import TRADES
from fedrobust.training.training_data import TrainingData

N, SIDE, CLASSES, EPSILON = 6, 3, 3, 0.1


def softmax(logits):
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def cross_entropy(logits, labels):
    return -np.log(softmax(logits)[np.arange(len(labels)), labels])


def kl(reference, logits):
    p, q = softmax(reference), softmax(logits)
    return (p * (np.log(p) - np.log(q))).sum(1)


class Linear:
    """A linear softmax classifier; what the recipe asks of it is noted."""

    def __init__(self, draw, example_weights=None):
        self.kernel = draw.normal(size=(SIDE * SIDE, CLASSES)).astype(np.float32)
        self.images = draw.uniform(0.3, 0.7, (N, SIDE, SIDE, 1)).astype(np.float32)
        self.labels = (np.arange(N) % CLASSES).astype(np.int32)
        self.weights = np.ones(N, np.float32) if example_weights is None else example_weights
        self.trained = []
        self.variable = tf.constant(self.kernel)
        self.carried = ()
        self.received = draw.normal(size=self.kernel.shape).astype(np.float32)

    def batch(self, kernel=None) -> Batch:
        kernel = self.variable if kernel is None else kernel

        first = tf.constant(self.images)

        def infer(images):
            return tf.reshape(images, (-1, SIDE * SIDE)) @ kernel

        def train(images):
            self.trained.append(images.numpy())
            return infer(images), [tf.constant([7.0 if images is first else 9.0])]

        return Batch(
            images=first,
            targets=tf.constant(self.labels),
            example_weights=tf.constant(self.weights),
            seed=tf.constant([1, 2], tf.int32),
            objective=lambda logits, targets: tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits),
            infer=infer,
            train=train,
            weights=[kernel],
            at=lambda arrays: self.batch(arrays[0]),
            carried=self.carried,
            auxiliary=lambda statistics: self.batch(kernel),
            start=lambda images: tf.reshape(images, (-1, SIDE * SIDE)) @ self.received,
        )

    def logits(self, images, kernel=None):
        return images.reshape(len(images), -1) @ (self.kernel if kernel is None else kernel)

    def halves(self):
        """Return the clean and the crafted images of the last two training passes."""
        return self.trained[-2:]


@pytest.fixture
def linear(draw):
    return Linear(draw, np.array([1, 2, 1, 0.5, 1, 1], np.float32))


def test_trades_is_the_loss_plus_beta_times_the_divergence(linear):
    outcome = TRADES(epsilon=EPSILON, beta=4.0)(linear.batch())
    clean, crafted = linear.halves()
    np.testing.assert_array_equal(clean, linear.images)
    nat, adv = linear.logits(clean), linear.logits(crafted)
    expected = (linear.weights * (cross_entropy(nat, linear.labels) + 4 * kl(nat, adv))).mean()
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(outcome.logits, nat, rtol=1e-5)
    assert outcome.statistics[0].numpy().tolist() == [8.0], "the mean of both batches' statistics"


def test_trades_compares_the_predictions_that_the_loss_fits_to_the_clients_images(linear):
    """Class 2 has no images at the client: whatever its logit, predictions of classes 0 and 1 diverge as they do."""
    loss, shares = BalancedSoftmax(), tf.constant([0.7, 0.3, 0.0])
    batch, labels = linear.batch(), linear.labels % 2

    def loss_with(logit):
        def infer(images):
            return tf.concat([batch.infer(images)[:, :2], tf.fill([len(images), 1], logit)], -1)

        recipe = TRADES(epsilon=EPSILON, beta=4.0)
        known = batch._replace(
            targets=tf.constant(labels),
            infer=infer,
            train=lambda images: (infer(images), batch.train(images)[1]),
            objective=lambda logits, targets: loss(logits, targets, shares),
            adjusted=lambda logits: adjusted(loss, logits, shares),
        )
        return float(recipe(known).loss)

    one, high = loss_with(0.0), loss_with(8.0)
    nat, adv = (linear.logits(images)[:, :2] + np.log([0.7, 0.3]) for images in linear.halves())
    expected = (linear.weights * (cross_entropy(nat, labels) + 4 * kl(nat, adv))).mean()
    assert one == pytest.approx(expected, rel=1e-4)
    # The divergence of the logits themselves is nearly 0 there: every image is one of class 2.
    assert high == pytest.approx(one, rel=1e-3)


def test_trades_moves_towards_other_predictions_and_stays_in_the_ball(linear):
    TRADES(epsilon=EPSILON, steps=10)(linear.batch())
    clean, crafted = linear.halves()
    moved = np.abs(crafted - clean)
    assert moved.max() <= EPSILON + 1e-6
    assert np.isclose(moved, EPSILON, atol=1e-6).mean() > 0.9, "2.5 times the radius reaches the wall"
    noise = clean + NEAR * np.random.default_rng(0).normal(size=clean.shape)
    corner = clean + EPSILON * np.sign(np.random.default_rng(1).normal(size=clean.shape))
    nat = linear.logits(clean)
    assert (kl(nat, linear.logits(crafted)) > kl(nat, linear.logits(noise))).all()
    assert (kl(nat, linear.logits(crafted)) >= kl(nat, linear.logits(corner))).mean() > 0.8


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("name", ["pgd", "trades", "mart", "logit-pairing", "dbfat", "fedrbn"])
def test_a_recipe_with_few_steps_still_crosses_its_ball(linear, name, steps):
    """Else a comparison of recipes with equal steps would be one of their reach."""
    crafted = build(RECIPES, f"{name}(epsilon={EPSILON}, steps={steps})").crafted(linear.batch())
    images = crafted[0] if isinstance(crafted, tuple) else crafted
    moved = np.abs(images - linear.images)
    assert moved.max() <= EPSILON + 1e-6
    assert moved.mean() > (0.9 if steps > 1 else 0.7) * EPSILON


def test_mart_is_the_published_code_line_by_line(linear):
    outcome = MART(epsilon=EPSILON, beta=5.0)(linear.batch())
    clean, crafted = linear.halves()
    nat, adv = softmax(linear.logits(clean)), softmax(linear.logits(crafted))
    order = np.argsort(adv, axis=1)[:, -2:]
    wrong = np.where(order[:, -1] == linear.labels, order[:, -2], order[:, -1])
    rows = np.arange(N)
    boosted = -np.log(adv[rows, linear.labels]) - np.log(1.0 - adv[rows, wrong])
    unsure = 1.0 - nat[rows, linear.labels]
    robust = (nat * (np.log(nat) - np.log(adv))).sum(1) * unsure
    assert float(outcome.loss) == pytest.approx((linear.weights * (boosted + 5 * robust)).mean(), rel=1e-5)


def test_mart_compares_the_predictions_that_the_loss_fits_to_the_clients_images(linear):
    shares = np.array([0.5, 0.4, 0.1], np.float32)
    batch = linear.batch()._replace(adjusted=lambda logits: logits + np.log(shares))
    one, other = (float(MART(epsilon=EPSILON, beta=beta)(batch).loss) for beta in (1.0, 3.0))
    clean, crafted = (linear.logits(images) for images in linear.halves())
    unsure = 1.0 - softmax(clean)[np.arange(N), linear.labels]
    apart = kl(clean + np.log(shares), crafted + np.log(shares))
    assert other - one == pytest.approx(2 * (linear.weights * apart * unsure).mean(), rel=1e-3)


def test_mart_of_a_certain_wrong_answer_is_finite():
    linear = Linear(np.random.default_rng(3))
    linear.variable = tf.constant(1000 * linear.kernel)
    with tf.GradientTape() as tape:
        tape.watch(linear.variable)
        loss = MART(epsilon=EPSILON)(linear.batch()).loss
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, linear.variable)).all()


def test_logit_pairing_is_the_mean_loss_plus_the_squared_difference(linear):
    outcome = LogitPairing(epsilon=EPSILON, weight=0.7, steps=3)(linear.batch())
    clean, crafted = linear.halves()
    nat, adv = linear.logits(clean), linear.logits(crafted)
    losses = 0.5 * (cross_entropy(nat, linear.labels) + cross_entropy(adv, linear.labels))
    expected = (linear.weights * (losses + 0.7 * ((nat - adv) ** 2).mean(1))).mean()
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-5)


def test_the_gradient_penalty_is_the_squared_norm_in_closed_form(linear):
    """The input gradient of softmax cross-entropy of x K is K (p - y)."""
    outcome = GradientPenalty(weight=3.0)(linear.batch())
    logits = linear.logits(linear.images)
    away = softmax(logits) - np.eye(CLASSES)[linear.labels]
    squared = ((away @ linear.kernel.T) ** 2).sum(1)
    expected = (linear.weights * (cross_entropy(logits, linear.labels) + 3 * squared)).mean()
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(linear.trained[0], linear.images)


def test_the_penalty_s_own_gradient_is_that_of_differences(linear):
    recipe = GradientPenalty(weight=2.0)
    with tf.GradientTape() as tape:
        tape.watch(linear.variable)
        loss = recipe(linear.batch()).loss
    gradient = tape.gradient(loss, linear.variable).numpy()
    step = np.zeros_like(linear.kernel)
    step[4, 1] = 1e-2
    ends = [float(recipe(linear.batch(tf.constant(linear.kernel + sign * step))).loss) for sign in (1, -1)]
    assert gradient[4, 1] == pytest.approx((ends[0] - ends[1]) / 2e-2, rel=1e-2)


def test_gradients_of_two_classes_are_aligned_already():
    """With two classes the input gradient is (p - y) (k1 - k0): its direction is the same everywhere."""
    linear = Linear(np.random.default_rng(0))
    linear.variable = tf.constant(
        linear.kernel * np.array([1, 1, 0], np.float32) - np.array([0, 0, 50], np.float32)
    )
    linear.labels = (np.arange(N) % 2).astype(np.int32)
    with_penalty, without = (
        float(GradAlign(epsilon=EPSILON, weight=weight)(linear.batch()).loss) for weight in (10.0, 0.0)
    )
    assert with_penalty == pytest.approx(without, abs=1e-4)


def test_alignment_adds_one_less_the_cosine_of_two_input_gradients(linear):
    recipe = GradAlign(epsilon=0.3, weight=5.0)
    added = float(recipe(linear.batch()).loss) - float(
        dataclasses.replace(recipe, weight=0.0)(linear.batch()).loss
    )
    noise = tf.random.stateless_uniform(
        linear.images.shape, tf.random.fold_in(tf.constant([1, 2]), 0), -1.0, 1.0
    ).numpy()
    gradients = []
    for images in (linear.images, np.clip(linear.images + 0.3 * noise, 0, 1)):
        away = softmax(linear.logits(images)) - np.eye(CLASSES)[linear.labels]
        gradients.append(away @ linear.kernel.T)
    norms = np.prod([np.linalg.norm(each, axis=1) for each in gradients], axis=0)
    cosines = (gradients[0] * gradients[1]).sum(1) / norms
    assert added == pytest.approx(5 * (1 - cosines).mean(), rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    "inner", ["pgd(epsilon=0.1)", "trades(epsilon=0.1)", "mart(epsilon=0.1)", "fgsm(epsilon=0.1)"]
)
def test_awp_takes_the_gradient_where_the_weights_moved_along_the_first(linear, inner):
    recipe = AWP(recipe=inner, gamma=0.1)
    with tf.GradientTape() as tape:
        tape.watch(linear.variable)
        loss = recipe(linear.batch()).loss
    found = tape.gradient(loss, linear.variable).numpy()
    crafted = recipe.inner.crafted(linear.batch())

    def gradient_at(kernel):
        kernel = tf.constant(kernel)
        with tf.GradientTape() as tape:
            tape.watch(kernel)
            loss = recipe.inner.loss(linear.batch(kernel), crafted).loss
        return tape.gradient(loss, kernel).numpy()

    first = gradient_at(linear.kernel)
    moved = linear.kernel + 0.1 * np.linalg.norm(linear.kernel) * first / np.linalg.norm(first)
    np.testing.assert_allclose(found, gradient_at(moved), rtol=1e-3, atol=1e-5)
    assert not np.allclose(found, first, rtol=1e-2)
    assert recipe.epsilon == 0.1
    assert recipe.attacks == recipe.inner.attacks


@pytest.mark.parametrize("inner", ["plain", "gradient-penalty", "awp"])
def test_awp_needs_an_adversarial_recipe(inner):
    with pytest.raises(SpecError, match="choose an adversarial recipe, such as pgd, trades or mart"):
        build(RECIPES, f"awp(recipe='{inner}')")


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_starts_from_the_seed(name, draw):
    recipe, linear = build(RECIPES, name), Linear(draw)
    if carries(recipe):
        linear.carried = recipe.carry(N, (SIDE, SIDE, 1), tf.constant([0, 0]))
    first, second = (float(recipe(linear.batch()).loss) for _ in range(2))
    assert first == second
    assert np.isfinite(first)
    passes = len(linear.trained) // 2
    for before, after in zip(linear.trained[:passes], linear.trained[passes:], strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    "name", [name for name in sorted(RECIPES) if isinstance(build(RECIPES, name), AdversarialRecipe)]
)
def test_no_gradient_flows_through_the_crafted_images(name, draw):
    linear = Linear(draw)
    with tf.GradientTape() as tape:
        tape.watch(linear.variable)
        crafted = build(RECIPES, name).crafted(linear.batch())
    total = tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(crafted)])
    assert tape.gradient(total, linear.variable) is None


TEMPERATURE = 20.0


@pytest.mark.parametrize("name", [*sorted(RECIPES), "awp(recipe='trades')", "advprop(recipe='mart')"])
def test_at_a_temperature_a_recipe_trains_a_network_of_larger_logits_as_without_one_of_smaller(name):
    """softmax(T z / T) is softmax(z): as a function of z loss and gradients are equal."""

    def trained(scale, loss):
        linear = Linear(np.random.default_rng(2))
        for kernel in ("kernel", "received"):
            setattr(linear, kernel, scale * getattr(linear, kernel))
        linear.variable, recipe = tf.constant(linear.kernel), build(RECIPES, name)
        if carries(recipe):
            linear.carried = recipe.carry(N, (SIDE, SIDE, 1), tf.constant([0, 0]))
        changes = {
            "objective": lambda logits, targets: loss(logits, targets, None),
            "adjusted": lambda logits: adjusted(loss, logits, None),
            "without_shares": lambda logits: without_shares(loss, logits, None),
        }

        def bound(kernel):
            batch = linear.batch(kernel)._replace(**changes)
            return batch._replace(
                at=lambda arrays: bound(arrays[0]), auxiliary=lambda statistics: bound(kernel)
            )

        with tf.GradientTape() as tape:
            tape.watch([linear.variable, *linear.carried])
            total = recipe(bound(linear.variable)).loss
        moved = tape.gradient(total, [linear.variable, *linear.carried], unconnected_gradients="zero")
        return float(total), scale * moved[0], moved[1:]

    total, slope, carried = trained(1.0, CrossEntropy())
    tempered, slope_there, carried_there = trained(TEMPERATURE, TemperedCrossEntropy(temperature=TEMPERATURE))
    assert tempered == pytest.approx(total, rel=1e-4)
    np.testing.assert_allclose(slope_there, slope, rtol=1e-3, atol=1e-5)
    for one, other in zip(carried, carried_there, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["trades", "mart", "logit-pairing", "dbfat"])
def test_a_local_update_tells_its_recipe_of_the_temperature(name, linear_classifier, draw):
    data = TrainingData.of(
        draw.integers(60, 190, (4, 4, 4, 1)).astype(np.uint8), np.array([0, 1, 1, 0], np.int32)
    )
    batches = Batches(np.arange(4, dtype=np.int32)[None], np.array([4], np.int32))
    start, recipe = linear_classifier.initial_weights(), build(RECIPES, f"{name}(steps=2)")

    def loss(scale, loss):
        given = dataclasses.replace(start, trainable=np.float32(scale) * start.trainable)
        update = LocalUpdate(linear_classifier, recipe, SGD(), loss)
        return update(given, data, batches, [0.0], [0, 0])[1]["loss"]

    tempered = loss(TEMPERATURE, TemperedCrossEntropy(temperature=TEMPERATURE))
    assert tempered == pytest.approx(loss(1.0, CrossEntropy()), rel=1e-4)


ATTACKING = [name for name in sorted(RECIPES) if getattr(build(RECIPES, name), "attacks", ())]


@pytest.mark.parametrize("name", ATTACKING)
def test_unclipped_noise_stays_and_is_perturbed_by_epsilon_at_most(name, draw):
    """Centres from -0.6 to 1.6, as `noise(clip=False)` makes them: clipped to [0, 1] they would move by 0.6."""
    linear = Linear(draw)
    linear.images = draw.uniform(-0.6, 1.6, linear.images.shape).astype(np.float32)
    inner = "pgd(epsilon=0.1, steps=3)"
    recipe = build(
        RECIPES, f'{name}(recipe="{inner}")' if name in ("awp", "advprop") else f"{name}(epsilon=0.1)"
    )
    if carries(recipe):
        linear.carried = recipe.carry(N, (SIDE, SIDE, 1), tf.constant([0, 0]))
    if name == "free":
        signs = draw.choice([-1.0, 1.0], linear.images.shape).astype(np.float32)
        linear.carried = [tf.constant(EPSILON * signs)]
    recipe(linear.batch())
    moved = linear.trained[-1] - linear.images
    assert 0.5 * EPSILON < np.abs(moved).max() <= EPSILON + 1e-6
    below, above = linear.images < 0, linear.images > 1
    assert (moved[below] >= 0).all()
    assert (moved[above] <= 0).all()
    assert moved[below].any() or moved[above].any()


@pytest.mark.parametrize("epsilon", [1 / 255, 0.1])
def test_around_images_in_the_range_the_projection_is_that_onto_the_range(epsilon, draw):
    clean = np.concatenate([np.arange(256) / 255, draw.random(10_000), [0.0, 1.0]]).astype(np.float32)
    moved = (clean + draw.normal(0, 0.2, clean.shape)).astype(np.float32)
    inside = tf.clip_by_value(moved, clean - epsilon, clean + epsilon)
    for expected, found in (
        (tf.clip_by_value(inside, 0.0, 1.0), project(moved, tf.constant(clean), epsilon)),
        (tf.clip_by_value(moved, 0.0, 1.0), in_range(moved, tf.constant(clean))),
    ):
        assert expected.numpy().tobytes() == found.numpy().tobytes()


def test_a_step_size_is_a_number_or_a_fraction_of_the_pixel_range(linear):
    one, other = (
        build(RECIPES, f"pgd(epsilon=0.1, steps=2, step_size={size})").crafted(linear.batch())
        for size in ("0.2", "'51/255'")
    )
    np.testing.assert_array_equal(one, other)
    for size in ("-0.1", "'3/2'", "'half'"):
        with pytest.raises(SpecError, match=r"step_size = .*choose a number from 0 to 1, or a fraction"):
            build(RECIPES, f"pgd(step_size={size})")


@pytest.mark.parametrize("name", ["fgsm", "grad-align"])
def test_one_step_recipes_refuse_more_whose_every_step_would_cross_the_ball(name):
    with pytest.raises(SpecError, match=r"steps = 3: one step crosses the ball; choose pgd\(steps=3\)"):
        build(RECIPES, f"{name}(steps=3)")
    assert build(RECIPES, f"{name}(steps=1)") == build(RECIPES, name)
