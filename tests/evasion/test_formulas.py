"""Losses, random numbers, threats and the ways in and out of models: each beside its formula."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import ndtri

from fedrobust.evasion import BoundModel, CompiledModel, Ensemble, Threat, attack, attack_named
from fedrobust.evasion.attacks.gradient.apgd import AutoPGDFocused
from fedrobust.evasion.contract import Attack
from fedrobust.evasion.models import model_file
from fedrobust.evasion.models.losses import LOSSES, NUMBERS, slopes
from fedrobust.evasion.models.predictor import Predictor, PredictorError
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.rng import apart, integers, keys_of, normal, signs, uniform
from fedrobust.evasion.run import Progress
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import ThreatError
from fedrobust.models.input_format import UNIT, InputFormat
from fedrobust.models.interface import Interface
from fedrobust.models.keras_file import ModelFileError

# -- Losses ----------------------------------------------------------------------------------------------------------


def odds(z, label):
    """Return the log-odds of any class but the label."""
    return np.log(np.exp(np.delete(z, label)).sum()) - z[label]


def ratio(z, label, target, floor):
    """Return a difference of logits ratio; its denominator is `floor` of the sorted logits."""
    top = np.sort(z)[::-1]
    return (z[target] - z[label]) / (top[0] - floor(top) + 1e-12)


def likeliest(z, label):
    return max((place for place in range(len(z)) if place != label), key=lambda place: z[place])


FORMULAS = {
    "cross-entropy": lambda z, label, target: np.log(np.exp(z).sum()) - z[label],
    "stable-cross-entropy": lambda z, label, target: odds(z, label),
    "margin": lambda z, label, target: z[likeliest(z, label)] - z[label],
    "dlr": lambda z, label, target: (
        z[likeliest(z, label)] - z[label]
        if len(z) < 3
        else ratio(z, label, likeliest(z, label), lambda top: top[2])
    ),
    "targeted-cross-entropy": lambda z, label, target: -odds(z, target),
    "difference": lambda z, label, target: z[target] - z[label],
    "targeted-dlr": lambda z, label, target: (
        z[target] - z[label] if len(z) < 4 else ratio(z, label, target, lambda top: (top[2] + top[3]) / 2)
    ),
    "logit": lambda z, label, target: z[target],
    "targeted-margin": lambda z, label, target: z[target] - z[likeliest(z, target)],
    "class-dlr": lambda z, label, target: (
        z[target] - z[likeliest(z, target)]
        if len(z) < 4
        else ratio(z, likeliest(z, target), target, lambda top: (top[2] + top[3]) / 2)
    ),
}


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_losses_and_their_slopes_are_the_formulas(draw, classes):
    assert list(FORMULAS) == list(LOSSES) == list(NUMBERS)
    assert list(NUMBERS.values()) == list(range(10))
    logits = draw.normal(size=(6, classes)) * 2
    labels = np.arange(6) % classes
    targets = (labels + 1 + np.arange(6) % (classes - 1)) % classes
    ints = tf.constant(labels, tf.int32), tf.constant(targets, tf.int32)
    step = 1e-6
    for name, formula in FORMULAS.items():
        given = tf.ensure_shape(tf.constant(logits), [None, classes])
        losses = LOSSES[name](given, *ints)
        expected = [formula(*row) for row in zip(logits, labels, targets, strict=True)]
        np.testing.assert_allclose(losses, expected, atol=1e-9, err_msg=name)
        values, found = slopes(tf.constant(NUMBERS[name]), given, *ints)
        np.testing.assert_allclose(values, expected, atol=1e-9, err_msg=name)
        for place in range(classes):
            moved = logits.copy()
            moved[:, place] += step
            after = [formula(*row) for row in zip(moved, labels, targets, strict=True)]
            rise = (np.array(after) - expected) / step
            np.testing.assert_allclose(found[:, place], rise, atol=1e-4, err_msg=name)


def test_slopes_are_traced_once_for_all_graphs():
    traced = []

    def loss(logits, labels, targets):
        traced.append(logits)
        return tf.reduce_sum(tf.square(logits), axis=-1)

    given = tf.constant([[1.0, 2.0]]), tf.constant([0]), tf.constant([1])
    for _ in range(2):
        graph = tf.function(lambda *given: slopes(tf.constant(0), *given, {"squares": loss}))
        values, found = graph(*given)
        assert (values.numpy().tolist(), found.numpy().tolist()) == ([5.0], [[2.0, 4.0]])
    assert len(traced) == 1


# -- Random numbers --------------------------------------------------------------------------------------------------

WORD = 2**64


def mixed(z):
    """Steele, Lea and Flood (2014): the finaliser of SplitMix64."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def word(key, counter, place):
    return mixed(mixed((key + (place + (counter << 32)) * 0x9E3779B97F4A7C15) % WORD))


def test_random_numbers_are_those_of_splitmix64():
    keys = keys_of(7, np.array([0, 5, 1000]))
    assert keys.dtype == np.uint64
    assert len(set(keys.tolist())) == 3
    for row, key in enumerate(keys.tolist()):
        words = [word(key, 9, place) for place in range(6)]
        np.testing.assert_allclose(
            uniform(keys, 9, (2, 3))[row].ravel(), [(one >> 40) / 2**24 for one in words]
        )
        assert integers(keys, 9, 11, (6,))[row].tolist() == [one % 11 for one in words]
        assert int(integers(keys, 9, 11)[row]) == words[0] % 11
        bits = "".join(one.to_bytes(8, "little").hex() for one in words[:2])
        first = [int(digit) for digit in "".join(f"{byte:08b}" for byte in bytes.fromhex(bits))]
        assert signs(keys, 9, (5, 20))[row].ravel().tolist() == [2.0 * bit - 1 for bit in first[:100]]
        assert int(apart(keys, 3)[row]) == mixed((key + 4 * 0xBF58476D1CE4E5B9) % WORD)
    start = (int(keys_of(7, np.array([0]))[0]), int(keys_of(8, np.array([0]))[0]))
    assert start[0] != start[1]
    shape = uniform(keys, 0, (4, 2)).shape, normal(keys, 0, (4, 2)).shape, signs(keys, 0, (3, 1)).shape
    assert shape == ((3, 4, 2), (3, 4, 2), (3, 3, 1))
    many = normal(keys, 1, (20000,))
    assert abs(many.mean()) < 0.02
    assert abs(many.std() - 1) < 0.02
    words = [word(int(keys[1]), 1, place) for place in range(4)]
    np.testing.assert_allclose(many[1, :4], ndtri([((one >> 11) + 0.5) / 2**53 for one in words]), rtol=1e-6)


# -- Threats ---------------------------------------------------------------------------------------------------------

CLEAN = np.array([0.5, 0.05, 0.95, 0.4], np.float32).reshape(1, 2, 2, 1)


def image(*values):
    return np.array(values, np.float32).reshape(1, 2, 2, 1)


def test_projections_by_hand():
    far = image(0.9, -0.3, 1.3, 0.4)
    np.testing.assert_allclose(Threat().project(far, CLEAN, 0.1), image(0.6, 0, 1, 0.4), atol=1e-6)
    np.testing.assert_allclose(
        Threat().project(far, CLEAN, np.array([0.2])), image(0.7, 0, 1, 0.4), atol=1e-6
    )
    change = far - CLEAN
    half = 0.5 * float(np.sqrt((change**2).sum()))
    np.testing.assert_allclose(
        Threat(norm="l2").project(far, CLEAN, half), np.clip(CLEAN + change / 2, 0, 1), atol=1e-6
    )
    np.testing.assert_allclose(Threat(norm="l2").project(far, CLEAN, 9.0), np.clip(far, 0, 1), atol=1e-6)
    np.testing.assert_array_equal(Threat(norm="l2").project(CLEAN, CLEAN, 0.1), CLEAN)
    moved, fewest = image(0.9, 0.35, 0.8, 0.4), Threat(norm="l0")
    np.testing.assert_allclose(fewest.project(moved, CLEAN, 1), image(0.9, 0.05, 0.95, 0.4))
    np.testing.assert_allclose(fewest.project(moved, CLEAN, 2), image(0.9, 0.35, 0.95, 0.4))
    two, clean = np.concatenate([far, far]), np.concatenate([CLEAN, CLEAN])
    bounds = fewest.project(two, clean, np.array([0, 3]))
    np.testing.assert_allclose(bounds, np.concatenate([CLEAN, np.clip(far, 0, 1)]))


def test_distances_and_steps_by_hand():
    far = image(0.9, 0.05, 0.65, 0.4)
    assert [Threat(norm=norm).distance(far, CLEAN)[0] for norm in ("linf", "l2", "l0")] == pytest.approx(
        [0.4, 0.5, 2]
    )
    slope = image(3.0, 0.0, -4.0, 0.0)
    np.testing.assert_allclose(Threat().steepest(slope), image(1, 0, -1, 0))
    np.testing.assert_allclose(Threat(norm="l2").steepest(slope), image(0.6, 0, -0.8, 0), atol=1e-7)
    tiny = slope * np.float32(1e-25)
    np.testing.assert_allclose(Threat(norm="l2").steepest(tiny), image(0.6, 0, -0.8, 0), atol=1e-6)
    assert not Threat(norm="l2").steepest(0 * slope).any()


def test_files_hold_grey_levels_rounded_towards_the_clean_image():
    grey = np.rint(CLEAN * 255) / np.float32(255)
    moved = grey + image(1.9, -1.9, 3.0, 0.5) / 255
    levels = Threat(bits=8).stored(moved, grey) * 255 - grey * 255
    np.testing.assert_allclose(levels.ravel(), [1, -1, 3, 0], atol=1e-3)
    np.testing.assert_array_equal(Threat().stored(moved, grey), moved)
    assert Threat(bits=8).stored(grey + 300 / 255, grey).max() == 1
    black = np.zeros((1, 2, 2, 1), np.float32)
    levels = Threat(bits=8).stored(black + image(200.6, 128.0, 254.9, 1.0) / 255, black) * 255
    np.testing.assert_allclose(levels.ravel(), [200, 128, 254, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "text", "message"),
    [
        ({}, "linf, native", None),
        ({"norm": "l2", "bits": 8, "tied": True}, "l2, native, 8-bit, tied channels", None),
        ({"norm": "l1"}, "", "norm = 'l1': choose one of "),
        ({"space": "own"}, "", "space = 'own': choose native or prepared"),
        ({"bits": 4}, "", "bits = 4: choose 8, or 0 for floats"),
        (
            {"bits": 8, "space": "prepared"},
            "",
            "the values of a prepared image are between grey levels; choose space = ",
        ),
    ],
)
def test_threats_are_named_or_refused(settings, text, message):
    if message:
        with pytest.raises(ThreatError) as refused:
            Threat(**settings)
        assert message in str(refused.value)
    else:
        assert str(Threat(**settings)) == text


# -- A state ----------------------------------------------------------------------------------------------------------


class Bright:
    """Calls an image bright (1) if its mean is above a half; three classes, of which the last is never the answer."""

    shape, classes = (2, 2, 1), 3

    def logits(self, images):
        score = (images.mean(axis=(1, 2, 3)) - 0.5).astype(np.float32)
        return np.stack([-score, score, 0 * score - 9], axis=1)

    def gradient(self, images, labels, loss, targets=None):
        slope = np.full_like(images, 0.25)
        slope[:, 0, 0] = np.nan
        return Slopes(self.logits(images), np.zeros(len(images)), slope)


def shades(*values):
    return np.array(values, np.float32)[:, None, None, None] * np.ones((1, 2, 2, 1), np.float32)


def state(labels=(0, 0, 0), clean=(0.2, 0.3, 0.4), **settings) -> SearchState:
    labels = np.array(labels, np.int32)
    made = SearchState(
        Bright(), Threat(), shades(*clean), labels, keys_of(0, np.arange(len(labels))), **settings
    )
    made.epsilon = 0.2
    return made


def test_a_hunt_remembers_the_first_adversary_or_the_nearest_to_one():
    made = state()
    made.query(shades(0.9, 0.25, 0.9))  # brought into the threat: 0.4, 0.25, 0.6
    assert made.broken.tolist() == [False, False, True]
    made.query(shades(0.3, 0.45, 0.55))
    np.testing.assert_allclose(made.images[:, 0, 0, 0], [0.4, 0.45, 0.6], atol=1e-6)
    np.testing.assert_allclose(made.logits[:, 1], [-0.1, -0.05, 0.1], atol=1e-6)
    np.testing.assert_allclose(made.distance, [0.2, 0.15, 0.2], atol=1e-6)
    assert made.queries.tolist() == [2, 2, 2]
    assert made.keep().tolist() == [True, True, False]
    assert len(made) == 2
    np.testing.assert_allclose(made.clean, shades(0.2, 0.3))
    np.testing.assert_array_equal(made.keys, keys_of(0, np.arange(2)))
    assert made.labels.tolist() == [0, 0]
    np.testing.assert_allclose(made.best[:, 0, 0, 0], [0.4, 0.45], atol=1e-6)
    np.testing.assert_allclose(made.answers[:, 1], [-0.1, -0.05], atol=1e-6)
    made.query(shades(0.1, 0.1))
    assert made.queries.tolist() == [3, 3, 2]
    made.at(0.25)
    assert (len(made), made.epsilon, made.restart) == (2, 0.25, False)
    made.at(0.25, restart=True)
    assert (len(made), made.restart, made.broken.any()) == (3, True, False)
    np.testing.assert_array_equal(made.images, shades(0.2, 0.3, 0.4))
    assert np.isinf(made.distance).all()


def test_the_nearest_adversary_replaces_a_further_one():
    made = state(minimize_norm=True)
    made.epsilon = np.inf
    made.query(shades(0.9, 0.4, 0.9))
    assert made.found.tolist() == [True, False, True]
    np.testing.assert_allclose(made.found_distance, [0.7, np.inf, 0.5], atol=1e-6)
    made.query(shades(0.95, 0.35, 0.6))
    np.testing.assert_allclose(made.images[:, 0, 0, 0], [0.9, 0.4, 0.6], atol=1e-6)
    assert made.keep().all(), "nobody is dropped"
    assert made.drop(made.found).tolist() == [False, True, False]
    made.begin_search()
    assert len(made) == 3


def test_a_goal_is_one_class_for_all_images_that_are_not_of_it():
    made = state(labels=(0, 1, 0), target_class=1)
    assert len(made) == 2
    np.testing.assert_allclose(
        made.margins(made.query(shades(0.3, 0.6)), made.labels), [-0.4, 0.2], atol=1e-6
    )
    assert made.broken.tolist() == [False, False, True]
    made.query_excluded()
    np.testing.assert_allclose(made.logits[1], [0.2, -0.2, -9], atol=1e-6)
    assert made.distance[1] == 0
    assert made.queries.tolist() == [1, 1, 1]


def test_patience_keeps_the_image_of_largest_margin_or_the_last():
    made = state(early_stop=False)
    made.query(shades(0.3, 0.5, 0.6))
    made.query(shades(0.2, 0.2, 0.5))
    assert made.keep().all()
    np.testing.assert_allclose(made.images[:, 0, 0, 0], [0.3, 0.5, 0.6], atol=1e-6)
    made = state(early_stop=False, last=True)
    made.query(shades(0.3, 0.5, 0.6))
    made.query(shades(0.2, 0.2, 0.5))
    assert made.keep().all()
    np.testing.assert_allclose(made.images[:, 0, 0, 0], [0.2, 0.2, 0.5], atol=1e-6)


def test_gradients_are_counted_finite_and_judged_unless_told_not_to():
    made = state()
    seen = made.gradient(shades(0.9, 0.9, 0.9), "margin")
    assert seen.gradients[:, 0, 0].tolist() == [[0.0]] * 3
    assert (seen.gradients[:, 1] == 0.25).all()
    np.testing.assert_allclose(seen.logits[:, 1], [-0.1, 0, 0.1], atol=1e-6)
    assert (made.queries.tolist(), made.gradients.tolist()) == ([1, 1, 1], [1, 1, 1])
    made.gradient(shades(0.9, 0.9, 0.9), "margin", evaluate=False)
    assert (made.queries.tolist(), made.gradients.tolist()) == ([2, 2, 2], [2, 2, 2])


def test_many_candidates_are_judged_one_after_another():
    made = state()
    several = np.stack([shades(0.25, 0.35, 0.45), shades(0.35, 0.25, 0.6)], axis=1)
    margins = made.margins_of_many(several)
    np.testing.assert_allclose(margins, [[-0.5, -0.3], [-0.3, -0.5], [-0.1, 0.2]], atol=1e-6)
    np.testing.assert_allclose(made.images[:, 0, 0, 0], [0.35, 0.35, 0.6], atol=1e-6)
    assert made.queries.tolist() == [2, 2, 2]


def test_what_was_computed_once_is_asked_again_for_new_images_alone():
    made, calls = state(), []

    def compute():
        calls.append(len(made))
        return made.clean[:, 0, 0, 0]

    np.testing.assert_allclose(made.cached("shade", compute), [0.2, 0.3, 0.4])
    made.drop(np.array([True, False, False]))
    np.testing.assert_allclose(made.cached("shade", compute), [0.3, 0.4])
    assert calls == [3]
    np.testing.assert_allclose(made.cached("other", compute), [0.3, 0.4])
    made.begin_search()
    np.testing.assert_allclose(made.cached("other", compute), [0.2, 0.3, 0.4])
    assert calls == [3, 2, 3]


def test_steps_end_with_the_last_image():
    made, seen = state(), []
    for step in made.steps(5):
        seen.append(step)
        if step == 2:
            made.drop(np.ones(3, bool))
    assert seen == [0, 1, 2]
    assert list(state().steps(2)) == [0, 1]


# -- A run -----------------------------------------------------------------------------------------------------------


def test_progress_counts_passes_over_all_chunks():
    said = []
    target = Bright()
    attack(
        target,
        np.resize(shades(0.2, 0.3), (6, 2, 2, 1)),
        np.zeros(6, np.int32),
        "noise(draws=2)",
        Threat(),
        [0.01, 0.02],
        chunk=4,
        report=said.append,
    )
    # A look at the clean images, and two draws at each epsilon; five passes for each of six images.
    assert said[0] == Progress(3, 27)
    assert said[-1] == Progress(30, 0)
    done = [one.done for one in said]
    assert done == sorted(done)


@dataclass(frozen=True, kw_only=True)
class Learning(Attack):
    """Learns from all images together: what it was given is kept."""

    prepares_per_epsilon: ClassVar[bool] = True
    given: list = field(default_factory=list)
    bound: float = 0.0

    @property
    def spent(self):
        return 10, 1

    def prepared(self, *given):
        self.given.append(given)
        return replace(self, bound=given[4])

    def run(self, state):
        state.query(state.clean + self.bound)
        state.keep()


class LearningOnce(Learning):
    prepares_per_epsilon: ClassVar[bool] = False


@pytest.mark.parametrize(("kind", "times"), [(Learning, 2), (LearningOnce, 1)])
def test_what_learns_from_all_images_is_given_them_for_every_epsilon_or_once(kind, times):
    spec, images, labels = kind(), shades(0.2, 0.3, 0.4, 0.45), np.zeros(4, np.int32)
    target = Bright()
    done = attack(target, images, labels, spec, Threat(), [0.15, 0.07], seed=3)
    assert done.epsilons == (0.07, 0.15)
    assert len(spec.given) == times
    for given, epsilon in zip(spec.given, done.epsilons, strict=False):
        np.testing.assert_array_equal(given[1], images)
        np.testing.assert_array_equal(given[2], labels)
        assert (given[0], given[3:]) == (target, (Threat(), epsilon, 3))
    assert done.shared == (10 * times, times)
    assert done.success.tolist() == [[False] * 3 + [True], [False, False, times == 2, True]]
    moved = 0.15 if times == 2 else 0.07
    np.testing.assert_allclose(done.distance, [[0.07] * 4, [moved] * 3 + [0.07]], atol=1e-6)
    np.testing.assert_allclose(
        done.images[1, :, 0, 0, 0], [0.2 + moved, 0.3 + moved, 0.4 + moved, 0.52], atol=1e-6
    )
    assert (done.attack, done.threat) == (repr(spec), Threat())
    np.testing.assert_array_equal(done.labels, labels)
    assert done.queries.tolist() == [3, 3, 3, 2]
    assert done.gradients.tolist() == [0] * 4
    assert done.accuracy.tolist() == [0.75, 0.5 if times == 2 else 0.75]
    assert done.seconds > 0


@pytest.mark.parametrize(
    ("spec", "threat", "epsilons", "images", "labels", "message"),
    [
        ("pgd(target=3)", Threat(), [0.1], shades(0.2), [0], "target = 3: the model has classes 0 to 2"),
        ("fgsm", Threat(), [0.1], shades(0.2), [3], "labels run from 3 to 3: the model has classes 0 to 2"),
        (
            "fgsm",
            Threat(),
            [0.1],
            shades(0.2),
            [-1],
            "labels run from -1 to -1: the model has classes 0 to 2",
        ),
        ("fgsm", Threat(), [0.1], shades(0.2), [0, 1], "labels have shape (2,): expected (1,), one an image"),
        ("fgsm", Threat(), [0.0], shades(0.2), [0], "epsilons = [0.0]: give at least one, each above 0"),
        ("fgsm", Threat(), [], shades(0.2), [0], "epsilons = []: give at least one, each above 0"),
        ("fgsm", Threat(), [0.1], shades(1.2), [0], "images run from "),
        ("fgsm", Threat(), [0.1], shades(-0.1), [0], "images run from "),
        ("fgsm", Threat(norm="l0"), [1], shades(0.2), [0], "norm = 'l0': FGSM supports linf, l2"),
        (
            "jsma",
            Threat(norm="l0"),
            [1.5],
            shades(0.2),
            [0],
            "epsilons = [1.5]: with norm l0 they count pixels; give whole numbers",
        ),
        (
            "fgsm",
            Threat(tied=True),
            [0.1],
            shades(0.2),
            [0],
            "tied = True: images have 1 channel; only colour channels can be tied",
        ),
        (
            "fgsm",
            Threat(),
            [0.1],
            np.zeros((0, 2, 2, 1)),
            [],
            "images have shape (0, 2, 2, 1): the model takes (n, 2, 2, 1), n >= 1",
        ),
    ],
)
def test_what_cannot_be_attacked_is_refused(spec, threat, epsilons, images, labels, message):
    with pytest.raises(ThreatError) as refused:
        attack(Bright(), images, np.array(labels, np.int32), spec, threat, epsilons)
    assert str(refused.value).startswith(message)


def test_one_channel_of_tied_images_is_attacked_and_distances_are_in_colour():
    class Colour(Bright):
        shape = (2, 2, 3)

    grey = np.repeat(shades(0.4, 0.45), 3, axis=3)
    with pytest.raises(ThreatError) as refused:
        attack(Colour(), grey * [1, 1, 0.9], np.zeros(2, int), "noise", Threat(tied=True), [0.1])
    assert str(refused.value) == (
        "tied = True: the channels of these images differ; only copies of one grey channel can be tied"
    )
    for norm, size in (("linf", 0.1), ("l2", 0.1 * np.sqrt(12))):
        threat = Threat(norm=norm, tied=True)
        done = attack(Colour(), grey, np.zeros(2, int), "radial-probes(radii=1)", threat, [size])
        assert done.images.shape == (1, 2, 2, 2, 3)
        assert done.success.tolist() == [[False, True]]
        assert done.distance[0].max() == pytest.approx(size, rel=1e-5)


def test_an_ensembles_parts_are_autoattacks_and_focused_restarts():
    ensemble = Ensemble(steps=7, targets=3, queries=11, restarts=2)
    many = [attack_named(name) for name in ("apgd-ce(steps=7, restarts=2)", "apgd-dlr(steps=7, restarts=2)")]
    square = attack_named("square(queries=11, restarts=2)")
    for classes, targets in ((2, 1), (3, 2), (9, 3)):
        towards = attack_named(f"apgd-t(steps=7, targets={targets}, restarts=2)")
        assert list(ensemble.parts(classes)) == [*many, towards, AutoPGDFocused(steps=7), square]
    parts = [*many, attack_named("apgd-t(steps=7, targets=3, restarts=2)"), AutoPGDFocused(steps=7), square]
    assert ensemble.passes == sum(part.passes for part in parts)


@pytest.mark.parametrize(
    ("spec", "passes"),
    [
        ("fgsm", 2),
        ("pgd(steps=7, restarts=3)", 3 * 15),
        ("smoothed-pgd(steps=7, copies=4, restarts=2)", 2 * (7 * 9 + 1)),
        ("apgd-ce(steps=7, restarts=3)", 2 * 3 * 8),
        ("apgd-t(steps=7, restarts=3, targets=5)", 2 * 5 * 3 * 8),
        ("apgd-focused(steps=7, restarts=4)", 2 * 5 * 8),
        ("square(queries=9, restarts=2)", 2 * 10),
        ("spsa(steps=3, directions=4)", 3 * 9),
        ("noise(draws=6)", 6),
        ("radial-probes(radii=3)", 24),
        ("rays(queries=8)", 8),
        ("hop-skip-jump(queries=8)", 8),
        ("one-pixel(population=8, generations=3)", 8 * 4),
        ("fmn(steps=5)", 2 * 5 + 65),
        ("sigma-zero(steps=5)", 2 * 5 + 65),
        ("deepfool(steps=5, candidates=3)", 2 * 5 * 3 + 65),
        ("fab(steps=5, targets=3)", 5 * 7 + 65),
        ("carlini-wagner(steps=5, searches=3)", 3 * 11 + 65),
        ("lbfgs(steps=5, searches=3)", 2 * 3 * 6 + 65),
        ("universal", 1),
        ("transfer", 1),
    ],
)
def test_what_an_attack_costs_is_known_before(spec, passes):
    """The way back: twice ten halvings, and three projections onto five boundaries of three passes each."""
    assert attack_named(spec).passes == passes


# -- Into models and out of them -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "native", "expected"),
    [
        ((8, 6, 1), (8, 6, 1), ((8, 6, 1), False)),
        ((1, 8, 6), (8, 6, 1), ((8, 6, 1), True)),
        ((3, 8, 6), (8, 6, 1), ((8, 6, 3), True)),
        ((None, None, 1), (8, 6, 1), ((8, 6, 1), False)),
        ((None, 9, None), (8, 6, 1), ((8, 9, 1), False)),
        ((3, 9, 3), (8, 6, 3), ((3, 9, 3), False)),
        ((8, 6, 3), (8, 6, 1), ((8, 6, 3), False)),
    ],
)
def test_the_images_that_a_model_takes(shape, native, expected):
    model = SimpleNamespace(inputs=[SimpleNamespace(shape=(None, *shape))])
    assert model_file.image_shape(model, native, "net") == expected


@pytest.mark.parametrize(("channels", "native"), [(1, 3), (4, 3), (2, 1)])
def test_colour_is_not_made_grey(channels, native):
    model = SimpleNamespace(inputs=[SimpleNamespace(shape=(None, 8, 8, channels))])
    with pytest.raises(ModelFileError) as refused:
        model_file.image_shape(model, (8, 8, native), "net")
    assert str(refused.value) == (
        f"net: its input has {channels} channels, the data have {native}: grey images can be copied to colour, colour "
        "images cannot be made grey"
    )


@pytest.mark.parametrize(
    ("outputs", "classes", "message"),
    [
        ((None, 3), 3, None),
        ((None, 1), 2, None),
        ((None, 2), 2, None),
        (
            (None, 1),
            3,
            "net: it has 1 outputs, the data have 3 classes; name the data that it was trained on",
        ),
        (
            (None, 3),
            2,
            "net: it has 3 outputs, the data have 2 classes; name the data that it was trained on",
        ),
        (
            (None, 3, 3),
            3,
            "net: its output has shape (None, 3, 3); a classifier's is (n, classes): a row of logits or "
            "probabilities an image",
        ),
        ((None, None), 3, "net: its output has shape (None, None)"),
        ([(None, 3)], 3, "net: its output has shape [(None, 3)]"),
    ],
)
def test_a_model_answers_with_a_number_a_class(outputs, classes, message):
    model = SimpleNamespace(output_shape=outputs)
    if message is None:
        model_file.check_outputs(model, classes, "net")
        return
    with pytest.raises(ModelFileError) as refused:
        model_file.check_outputs(model, classes, "net")
    assert str(refused.value).startswith(message)


def test_probes_are_noise_plain_images_and_halves_of_both():
    found = model_file.probes((16, 6, 2))
    assert found.shape == (32, 16, 6, 2)
    assert found.dtype == np.float32
    noise, plain, halves = found[:16], found[16:24], found[24:]
    np.testing.assert_array_equal(noise, np.random.default_rng(0).random((16, 16, 6, 2)).astype(np.float32))
    np.testing.assert_allclose(plain, np.linspace(0, 1, 8)[:, None, None, None] * np.ones((1, 16, 6, 2)))
    for rows, source in ((slice(0, 4), noise[:8]), (slice(4, 8), plain), (slice(8, 12), noise[:8])):
        np.testing.assert_array_equal(halves[:, rows], source[:, rows])
    np.testing.assert_array_equal(halves[:, 12:], plain[:, 12:])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([[0.2, 0.8], [1, 0]], True),
        ([[0.2, 0.8005], [1, 0]], True),
        ([[0.2, 0.802], [1, 0]], False),
        ([[-0.1, 1.1], [1, 0]], False),
        ([[0.3], [1.0]], True),
        ([[0.3], [1.1]], False),
        ([[0.3, 0.3], [0.5, 0.5]], False),
    ],
)
def test_probabilities_are_known_by_their_sums(answers, expected):
    assert model_file.looks_like_probabilities(np.array(answers, np.float32)) is expected


def test_logits_of_what_models_answer():
    two = tf.constant([[0.25, 0.75], [0.0, 1.0]])
    np.testing.assert_array_equal(model_file.as_logits(two, "logits", False), two)
    one = tf.constant([[0.75], [1.0], [0.0]])
    np.testing.assert_array_equal(model_file.as_logits(one, "unwrapped", True), [[0, 0.75], [0, 1], [0, 0]])
    found = model_file.as_logits(two, "probabilities", False).numpy()
    np.testing.assert_allclose(found[0], np.log([0.25, 0.75]), rtol=1e-6)
    smallest = np.log(np.finfo(np.float32).tiny)
    np.testing.assert_allclose(found[1], [smallest, 0], rtol=1e-5)
    found = model_file.as_logits(one, "probabilities", True).numpy()
    np.testing.assert_allclose(found[0], np.log([0.25, 0.75]), rtol=1e-6)
    np.testing.assert_allclose(found[1], [np.log(2.0**-24), 0], rtol=1e-5)
    np.testing.assert_allclose(found[2], [0, smallest], rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(model_file.ordered(two, ()), two)
    np.testing.assert_array_equal(
        model_file.ordered(tf.constant([[10.0, 11.0, 12.0]]), (2, 0, 1)), [[11, 12, 10]]
    )


BYTES = InputFormat(0.0, 255.0)
WHOLE = InputFormat(0.0, 255.0, whole=True)


@pytest.mark.parametrize(
    ("told", "shown", "is_first", "format", "note"),
    [
        (None, None, False, UNIT, None),
        (None, BYTES, False, BYTES, "as its first layers show"),
        (BYTES, None, False, BYTES, "as given"),
        (BYTES, InputFormat(-1.0, 1.0), False, BYTES, "as given"),
        (None, None, True, InputFormat(channels_first=True), "as its first layers show"),
        (BYTES, None, True, InputFormat(0.0, 255.0, channels_first=True), "as given"),
        (None, WHOLE, False, WHOLE, "as its first layers show"),
        (BYTES, WHOLE, False, WHOLE, "as given"),
    ],
)
def test_the_range_is_told_or_shown_and_it_is_said_which(monkeypatch, told, shown, is_first, format, note):
    monkeypatch.setattr(model_file, "recognised_range", lambda model: shown)
    found, notes = model_file._format(None, Interface(input=told), is_first, (8, 8, 1), "net")
    assert found == format
    expected = [f"input format {format}: {note}"] if note else []
    if format.whole:
        expected.append(
            "images are rounded to whole numbers before the model; the rounding has the gradient of the identity "
            "(BPDA)"
        )
    assert list(notes) == expected


def test_what_is_assumed_is_neither_told_nor_shown(monkeypatch):
    monkeypatch.setattr(model_file, "recognised_range", lambda model: None)
    found, notes = model_file._format(None, Interface(assumed=BYTES), False, (8, 8, 1), "net")
    assert found == BYTES
    assert notes == ("input format 0..255: as given",)


@pytest.mark.parametrize("told", [UNIT, InputFormat(0.0, 255.0, mean=(3.0,), std=(2.0,))])
def test_whole_numbers_are_in_no_other_range(monkeypatch, told):
    monkeypatch.setattr(model_file, "recognised_range", lambda model: WHOLE)
    model = SimpleNamespace(inputs=[SimpleNamespace(dtype="uint8")])
    with pytest.raises(ModelFileError) as refused:
        model_file._format(model, Interface(input=told), False, (8, 8, 1), "net")
    assert str(refused.value) == (
        f"net: its input is uint8, whole numbers from 0 to 255, which contradicts input = {str(told)!r}; leave input "
        "out"
    )


# -- Functions -------------------------------------------------------------------------------------------------------

SHAPE = (3, 2, 1)


def plain(images):
    score = images.reshape(len(images), -1).sum(axis=1) - 3
    return np.stack([-score, score], axis=1)


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (
            lambda x: np.zeros((len(x), 3)),
            "lambda>: predict returned an array of shape (32, 3) for 32 images; wanted",
        ),
        (
            lambda x: np.full((len(x), 2), np.inf),
            "predict returned 64 of 64 numbers that are NaN or infinite",
        ),
        (
            lambda x: np.array([["a", "b"]] * len(x)),
            "predict returned ndarray of <U1; return an array of floats",
        ),
        (
            lambda x: 1 / 0,
            "predict raised ZeroDivisionError for images of (32, 3, 2, 1) float32: division by zero",
        ),
    ],
)
def test_what_a_function_does_wrong_is_said(predict, message):
    with pytest.raises(PredictorError) as refused:
        Predictor.of(predict, SHAPE, 2)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("gradient", "message"),
    [
        (lambda x, v: 1 / 0, "plain: gradient raised ZeroDivisionError for images of (2, 3, 2, 1) float32: "),
        (
            lambda x, v: v,
            "plain: gradient returned an array of shape (2, 2); wanted: that of the images, (2, 3, 2, 1)",
        ),
        (lambda x, v: np.nan * x, "plain: gradient returned 12 of 12 numbers that are NaN or infinite"),
        (lambda x, v: "no", "plain: gradient returned str of <U2; return an array of floats, such as "),
    ],
)
def test_what_a_gradient_does_wrong_is_said(gradient, message):
    with pytest.raises(PredictorError) as refused:
        Predictor.of(plain, SHAPE, 2, gradient, batch_size=2)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(("format", "width"), [(UNIT, 1), (BYTES, 255), (InputFormat(-1.0, 1.0), 2)])
@pytest.mark.parametrize("order", [(), (1, 0)])
def test_a_functions_gradient_is_by_the_images_in_unit_range(format, width, order):
    """The score of class 1 is the sum of what the function is given: each pixel's margin rises by twice the range."""

    def back(images, vectors):
        return (vectors[:, 1] - vectors[:, 0])[:, None, None, None] * np.ones_like(images)

    target = Predictor.of(plain, SHAPE, 2, back, Interface(input=format, labels=order), batch_size=2)
    images = np.random.default_rng(0).random((5, *SHAPE)).astype(np.float32)
    labels = np.array([0, 1, 0, 1, 1], np.int32)
    seen = target.gradient(images, labels, "margin")
    own = labels if not order else 1 - labels
    towards = np.where(own == 0, 2.0 * width, -2.0 * width)[:, None, None, None]
    np.testing.assert_allclose(seen.gradients, towards * np.ones_like(images), rtol=1e-5)
    np.testing.assert_allclose(seen.logits, target.logits(images), rtol=1e-5)
    gaps = seen.logits[np.arange(5), 1 - labels] - seen.logits[np.arange(5), labels]
    np.testing.assert_allclose(seen.losses, gaps, rtol=1e-5)


def test_rounding_has_a_substitute_gradient():
    """The logits are rounded: their own gradient is zero, the substitute's that of what is rounded."""
    weights = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    compiled = CompiledModel(lambda held, x: tf.round(8 * (tf.reshape(x, [-1, 6]) @ weights)), [], SHAPE, 2)
    target, images = BoundModel(compiled, ()), np.full((3, *SHAPE), 0.4, np.float32)
    labels = np.array([0, 1, 0], np.int32)
    assert compiled.replaceable == ("Round",)
    assert not target.gradient(images, labels, "margin").gradients.any()
    other = target.substituted()
    seen = other.gradient(images, labels, "margin")
    np.testing.assert_array_equal(seen.logits, target.logits(images))
    towards = np.where(labels == 1, -1, 1)[:, None] * 8 * (weights[:, 1] - weights[:, 0])
    np.testing.assert_allclose(seen.gradients.reshape(3, 6), towards, rtol=1e-5)
    none = target.gradient(images[:0], labels[:0], "margin")
    assert [part.shape for part in none] == [(0, 2), (0,), (0, *SHAPE)]
    assert target.logits(images[:0]).shape == (0, 2)


def test_soft_rounding_has_the_slope_of_its_formula():
    weights = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
    compiled = CompiledModel(lambda held, x: tf.round(tf.reshape(x, [-1, 6]) @ weights), [], SHAPE, 2)
    images = np.random.default_rng(1).random((3, *SHAPE)).astype(np.float32)
    labels = np.array([0, 1, 0], np.int32)
    seen = BoundModel(compiled, ()).substituted("soft").gradient(images, labels, "margin")
    slopes = weights * (1 - 0.9 * np.cos(2 * np.pi * (images.reshape(3, 6) @ weights)))[:, None]
    towards = np.where(labels == 1, -1, 1)[:, None] * (slopes[..., 1] - slopes[..., 0])
    np.testing.assert_allclose(seen.gradients.reshape(3, 6), towards, rtol=1e-3, atol=1e-4)


def test_a_function_is_called_in_batches_with_copies_and_in_its_format():
    given = []

    def predict(images):
        given.append(images.copy())
        images[:] = 0
        return plain(given[-1] / 255)

    target = Predictor.of(predict, SHAPE, 2, interface=Interface(input=BYTES, labels=(1, 0)), batch_size=4)
    assert target.notes == (
        "input format 0..255: as given",
        "class order 1, 0: as given",
    )
    given.clear()
    images = np.random.default_rng(0).random((10, *SHAPE)).astype(np.float32)
    before = images.copy()
    found = target.logits(images)
    np.testing.assert_allclose(found, plain(images)[:, ::-1], atol=1e-4)
    np.testing.assert_array_equal(images, before)
    assert [len(part) for part in given] == [4, 4, 2]
    np.testing.assert_allclose(np.concatenate(given), 255 * images, atol=1e-3)
    np.testing.assert_allclose(target.raw(images, BYTES), plain(images), atol=1e-4)
    np.testing.assert_allclose(target.raw(images, UNIT), plain(images / 255), atol=1e-4)
    np.testing.assert_array_equal(
        target.images(np.full((1, *SHAPE), 51, np.uint8)), np.full((1, *SHAPE), 0.2, "f4")
    )
    assert target.logits(images[:0]).shape == (0, 2)
    assert target.target is target


def test_a_function_of_one_number_is_the_score_of_class_one():
    for single in (lambda x: plain(x)[:, 1], lambda x: plain(x)[:, 1:]):
        target = Predictor.of(single, SHAPE, 2)
        images = np.random.default_rng(0).random((5, *SHAPE)).astype(np.float32)
        assert (target.single, target.output) == (True, "logits")
        np.testing.assert_allclose(target.logits(images)[:, 1], plain(images)[:, 1], atol=1e-5)
        assert not target.logits(images)[:, 0].any()
        assert target.logits(images[:0]).shape == (0, 2)


def test_a_function_has_one_output():
    with pytest.raises(PredictorError) as refused:
        Predictor.of(plain, SHAPE, 2, interface=Interface(head="second"))
    assert str(refused.value) == ("plain: head = 'second': a function has one output; let it return that one")
