"""Is a gradient the slope of the answers? Asked of models whose logits and gradients are formulas."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.audit import Outcome, Plan, Weight, finite_differences
from fedrobust.audit.attack_cache import SAMPLE
from fedrobust.audit.checks import obfuscated_gradients
from fedrobust.audit.checks.obfuscated_gradients import PAIRS
from fedrobust.audit.finite_differences import explained, jumps, lengths_of, low_frequency
from fedrobust.evasion import Threat
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.rng import keys_of, normal
from tests.audit.made_up import told

SHAPE = (6, 5, 1)
SIZE = 30
PASSED, FAILED, NOT_APPLICABLE = Outcome.PASSED, Outcome.FAILED, Outcome.NOT_APPLICABLE


class Formula:
    """Two logits, minus and plus half of `score(images)`, whose shown gradient is `lie` times `slope(images)`."""

    shape, classes = SHAPE, 2

    def __init__(self, score, slope, lie=1.0):
        self.score, self.slope, self.lie = score, slope, lie

    def logits(self, images):
        score = self.score(images.astype(np.float64))
        return np.stack([-score / 2, score / 2], axis=1)

    def gradient(self, images, labels, loss, targets=None):
        assert loss == "margin"
        up = np.where(labels == 1, -1.0, 1.0)[:, None, None, None]
        shown = (up * self.lie * self.slope(images.astype(np.float64))).astype(np.float32)
        return Slopes(self.logits(images), np.zeros(len(images)), shown)


WEIGHTS = np.random.default_rng(4).normal(size=SHAPE)


def linear(lie=1.0) -> Formula:
    return Formula(lambda x: ((x - 0.5) * WEIGHTS).sum(axis=(1, 2, 3)), lambda x: WEIGHTS + 0 * x, lie)


def images(n=20, seed=1) -> np.ndarray:
    return (0.3 + 0.4 * np.random.default_rng(seed).random((n, *SHAPE))).astype(np.float32)


def seen(model, threat=None, epsilon=0.02, labels=None, shown=None, seed=0):
    shown = images() if shown is None else shown
    labels = np.arange(len(shown), dtype=np.int32) % 2 if labels is None else labels
    return explained(model, shown, labels, threat or Threat(), epsilon, seed)


# -- Finite differences ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    ("lie", "along", "elsewhere"),
    [
        (1.0, True, True),
        (1.49, True, True),  # within a half
        (1.51, False, False),
        (0.51, True, True),
        (0.49, False, False),
        (-1.0, False, False),
        (0.0, False, False),
    ],
)
def test_a_gradient_of_the_wrong_size_or_sign_is_none(norm, lie, along, elsewhere):
    found = seen(linear(lie), Threat(norm=norm))
    assert found.along.shape == (3, 20)
    assert found.white.shape == found.low.shape == found.nearby.shape == (20,)
    assert (found.along == along).all()
    assert (found.white == elsewhere).all()
    assert (found.low == elsewhere).all()
    assert (found.nearby == (along and elsewhere)).all()


def test_a_change_across_the_gradient_is_seen_along_random_directions_alone():
    """Half of the pixels' slopes are kept from view: along what is shown everything is as predicted in l2."""
    hidden = WEIGHTS.copy()
    hidden[:3] = 0
    model = Formula(linear().score, lambda x: hidden + 0 * x)
    found = seen(model, Threat(norm="l2"))
    assert found.along.all()
    assert not found.white.all()
    assert not found.nearby.all()
    assert (found.nearby == (found.along[0] & found.white & found.low)).all()


def test_a_slope_of_low_frequency_that_is_hidden_is_seen_along_low_frequencies():
    """White directions hardly see one wave among as many as there are pixels."""
    row = np.cos(np.pi * (np.arange(28) + 0.5) / 28)[:, None, None]
    wave = 0.6 * np.broadcast_to(row, (28, 28, 1))
    rest = np.random.default_rng(0).normal(size=(28, 28, 1))
    rest -= wave * (rest * wave).sum() / (wave**2).sum()
    model = Formula(lambda x: ((x - 0.5) * (wave + rest)).sum(axis=(1, 2, 3)), lambda x: rest + 0 * x)
    shown = np.full((8, 28, 28, 1), 0.5, np.float32)
    found = seen(model, Threat(norm="l2"), 0.1, shown=shown)
    assert found.white.mean() > 0.5
    assert not found.low.any()


def test_a_ripple_is_seen_over_the_step_that_is_as_long_as_it():
    """A slope of 1 and a wave of the same slope: it has averaged out over the long step, not over the short one."""

    def rippled(period):
        place = 2 * np.pi / period
        return Formula(
            lambda x: x.mean(axis=(1, 2, 3)) - 0.5 + np.sin(place * x.mean(axis=(1, 2, 3))) / place * 3,
            lambda x: (1 + 3 * np.cos(place * x.mean(axis=(1, 2, 3))))[:, None, None, None] / SIZE + 0 * x,
        )

    grey = np.full((4, *SHAPE), 0.5, np.float32) + np.arange(4, dtype=np.float32)[:, None, None, None] * 1e-6
    labels = np.zeros(4, np.int32)
    longest = 2 / 255
    fast = seen(rippled(longest / 8), epsilon=longest, labels=labels, shown=grey)
    assert fast.along[0].all()
    assert not fast.along[2].any()
    slow = seen(rippled(longest * 64), epsilon=longest, labels=labels, shown=grey)
    assert slow.along.all()


def test_a_gradient_that_is_no_number_predicts_nothing_and_does_no_harm():
    shown = np.full(SHAPE, np.nan)
    shown[1:] = np.inf
    found = seen(Formula(linear().score, lambda x: shown + 0 * x))
    assert not found.white.any()
    assert not found.nearby.any()
    # Of a few pixels that are none, the others tell.
    some = np.where(np.arange(SIZE).reshape(SHAPE) == 7, np.nan, WEIGHTS)
    assert seen(Formula(linear().score, lambda x: some + 0 * x)).white.mean() > 0.8


def test_answers_that_do_not_change_are_not_predicted():
    flat = Formula(lambda x: 0 * x.sum(axis=(1, 2, 3)) + 1, lambda x: 0 * x)
    found = seen(flat)
    assert not found.along.any()
    assert not found.white.any()


def test_what_is_cut_off_at_black_and_white_is_not_predicted_either():
    """On a white image half of every step is cut off; what is left is compared."""
    for shade in (0.0, 1.0):
        found = seen(linear(), shown=np.full((6, *SHAPE), shade, np.float32))
        assert found.nearby.all()
        assert found.along.all()


def test_directions_are_drawn_with_the_seed_for_each_image_by_itself():
    asked = []

    class Noted(Formula):
        def logits(self, images):
            asked.append(images)
            return super().logits(images)

    def moves(seed):
        asked.clear()
        model = Noted(linear().score, linear().slope)
        seen(model, shown=np.full((4, *SHAPE), 0.5, np.float32), seed=seed)
        return np.stack([each - 0.5 for each in asked])

    first, again, other = moves(0), moves(0), moves(1)
    np.testing.assert_array_equal(first, again)
    assert len(first) == 2 + 3 + 6 + 6, "gradient, image; three along it, six of each kind at random"
    random = first[5:]
    assert len(np.unique(random.reshape(12 * 4, -1), axis=0)) == 12 * 4, "every direction is another"
    assert not np.array_equal(random, other[5:])
    sizes = np.abs(first[2:]).max(axis=(1, 2, 3, 4))
    short, middle, longest = lengths_of(0.02, Threat(), SIZE)
    np.testing.assert_allclose(sizes, [short, middle, longest, *[short] * 12], rtol=1e-3)


@pytest.mark.parametrize(
    ("epsilon", "norm", "expected"),
    [
        (8 / 255, "linf", (1e-4, 0.5 / 255, 2 / 255)),
        (2 / 255, "linf", (1e-4, 0.5 / 255, 2 / 255)),
        (0.001, "linf", (0.001 / 16, 0.00025, 0.001)),
        (10.0, "l2", (1e-4 * 10, 0.5 / 255 * 10, 2 / 255 * 10)),
        (0.01, "l2", (0.01 / 16, 0.0025, 0.01)),
    ],
)
def test_steps_are_at_most_two_grey_levels_and_never_beyond_epsilon(epsilon, norm, expected):
    assert lengths_of(epsilon, Threat(norm=norm), 100) == pytest.approx(expected)


def test_low_frequencies_are_mixtures_of_the_sixteen_slowest_waves():
    keys = keys_of(3, np.arange(5))
    found = low_frequency(np.zeros((5, 8, 6, 2), np.float32), keys, 9)
    assert found.shape == (5, 8, 6, 2)
    assert found.dtype == np.float32
    weights = normal(keys, 1009, (4, 4, 2))
    place = (np.arange(8) + 0.5) / 8, (np.arange(6) + 0.5) / 6
    expected = sum(
        weights[:, u, v][:, None, None]
        * np.cos(np.pi * u * place[0])[None, :, None, None]
        * np.cos(np.pi * v * place[1])[None, None, :, None]
        for u in range(4)
        for v in range(4)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert low_frequency(np.zeros((5, 2, 3, 1), np.float32), keys, 0).shape == (5, 2, 3, 1)


# -- The boundary between two images ---------------------------------------------------------------------------------


def ends(n=6) -> tuple[np.ndarray, np.ndarray]:
    """Return dark images and bright ones, whose means lie between 0.2 and 0.3, and between 0.6 and 0.9."""
    dark = np.linspace(0.2, 0.3, n, dtype=np.float32)[:, None, None, None] * np.ones((1, *SHAPE), np.float32)
    bright = np.linspace(0.6, 0.9, n, dtype=np.float32)[:, None, None, None] * np.ones(
        (1, *SHAPE), np.float32
    )
    return dark, bright


def mean(x) -> np.ndarray:
    return x.mean(axis=(1, 2, 3)) - 0.5


def test_a_straight_margin_loses_at_the_boundary_what_two_steps_are_of_the_way():
    dark, bright = ends()
    way = (bright - dark)[:, 0, 0, 0]
    model = Formula(mean, None)
    for norm, size in (("linf", 1.0), ("l2", np.sqrt(SIZE))):
        lost = jumps(model, dark, bright, Threat(norm=norm), 0.01)
        np.testing.assert_allclose(lost, 0.02 / size / way, rtol=1e-3)
        np.testing.assert_allclose(jumps(model, bright, dark, Threat(norm=norm), 0.01), lost, rtol=1e-3)


def test_a_step_at_the_boundary_is_all_of_the_margin():
    dark, bright = ends()
    lost = jumps(Formula(lambda x: np.sign(mean(x)), None), dark, bright, Threat(), 0.001)
    np.testing.assert_allclose(lost, 1.0, atol=1e-6)
    # Three quarters of it jump, a quarter is straight.
    partly = Formula(lambda x: 3 * np.sign(mean(x)) + mean(x) / np.abs(bright[0, 0, 0, 0] - 0.5), None)
    lost = jumps(partly, 1 - bright[:1], bright[:1], Threat(), 0.001)
    np.testing.assert_allclose(lost, (6 + 0.02) / 8, rtol=1e-3)


def test_beyond_the_images_there_is_no_margin():
    dark, bright = ends()
    lost = jumps(Formula(mean, None), dark, bright, Threat(), 5.0)
    np.testing.assert_allclose(lost, 1.0, rtol=1e-5)


# -- The two findings ------------------------------------------------------------------------------------------------


def evidence(model, shown, labels, right=None, differentiable=True, epsilon=2 / 255, norm="linf", raw=None):
    audited = SimpleNamespace(images=shown, labels=labels, target=raw or model)
    right = np.ones(len(labels), bool) if right is None else right
    plan = Plan(epsilon=epsilon, threat=Threat(norm=norm), seed=3)
    return SimpleNamespace(
        audited=audited, plan=plan, right=right, target=model, differentiable=differentiable
    )


def labelled(n=40):
    shown = images(n)
    return shown, linear().logits(shown).argmax(axis=1).astype(np.int32)


CHECK = "obfuscated gradients: finite differences disagree"


@pytest.mark.parametrize(("lie", "failed"), [(1.0, False), (-1.0, True)])
def test_a_gradient_that_predicts_the_change_passes(lie, failed):
    found = obfuscated_gradients.gradient_predicts_the_change(evidence(linear(lie), *labelled()))
    figure, sentence = told(found, FAILED if failed else PASSED)
    part = 0 if failed else 100
    assert figure == (
        f"the gradient predicts the change for {part:.1f} % of 40 images nearby, for {part} and {part} % along "
        "itself further away"
    )
    assert sentence == (
        "The gradient does not predict the change of the logits over a small step: it is not that of the model, "
        "or is useless for steps of this size, and misleads gradient attacks."
        if failed
        else "The gradient predicts the change of the logits."
    )
    share = {
        "everywhere": part / 100,
        "along the gradient": [part / 100] * 3,
        "along random directions": part / 100,
        "along low frequencies": part / 100,
    }
    assert found.details == {
        "n": 40,
        "steps": [1e-4, pytest.approx(0.5 / 255), 2 / 255],
        "clean": share,
        "in the ball": share,
    }


def partly(bad, over=0, inside=False, n=40):
    """Return the finding of a model whose gradient is wrong for so many images, over one step or over all.

    The images' first pixel is a mark that says which they are; the model does not look at it.
    """
    shown, labels = labelled(n)
    marks = np.linspace(0.1, 0.9, n, dtype=np.float32)
    shown[:, 0, 0, 0] = marks
    weights = WEIGHTS.copy()
    weights[0, 0] = 0
    model = Formula(lambda x: ((x - 0.5) * weights).sum(axis=(1, 2, 3)), lambda x: weights + 0 * x)
    labels = model.logits(shown).argmax(axis=1).astype(np.int32)
    real, calls = finite_differences.explained, []

    def some(target, at, labels, threat, epsilon, seed):
        calls.append(at)
        found = real(target, at, labels, threat, epsilon, seed)
        if (len(calls) == 2) == inside:
            found.along[over, :bad] = False
        return found

    made = evidence(model, shown, labels)
    return made, some, calls


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(
    ("over", "bad", "failed"),
    [(0, 2, False), (0, 3, True), (1, 20, False), (1, 21, True), (2, 32, False), (2, 33, True)],
)
def test_shares_of_the_images_decide_at_either_place(monkeypatch, over, bad, failed, inside):
    made, some, calls = partly(bad, over, inside)
    monkeypatch.setattr(obfuscated_gradients, "explained", some)
    found = obfuscated_gradients.gradient_predicts_the_change(made)
    assert found.failed == failed
    figures = [100.0, 100.0, 100.0]
    figures[over] -= 100 * bad / 40
    assert found.figure == (
        f"the gradient predicts the change for {figures[0]:.1f} % of 40 images nearby, for {figures[1]:.0f} and "
        f"{figures[2]:.0f} % along itself further away"
    )
    clean, ball = calls
    np.testing.assert_array_equal(clean, made.audited.images)
    moved = np.abs(ball - clean)
    assert moved.max() <= 2 / 255 + 1e-6
    assert np.quantile(moved, 0.25) > 0.3 / 255
    assert -0.1 < np.sign(ball - clean).mean() < 0.1


def test_at_most_so_many_images_that_are_right_are_asked():
    shown, labels = labelled(300)
    right = np.arange(300) >= 20
    made = evidence(linear(), shown, labels, right)
    found = obfuscated_gradients.gradient_predicts_the_change(made)
    assert found.details["n"] == SAMPLE == 256
    few = obfuscated_gradients.gradient_predicts_the_change(
        evidence(linear(), shown, labels, np.arange(300) < 7)
    )
    assert few.details["n"] == 7


def test_without_a_gradient_or_a_right_image_there_is_nothing_to_follow():
    shown, labels = labelled()
    blind = obfuscated_gradients.gradient_predicts_the_change(
        evidence(None, shown, labels, differentiable=False)
    )
    sentence = "The model has no gradient: see vanishing gradient."
    assert told(blind, NOT_APPLICABLE) == ("-", sentence)
    wrong = obfuscated_gradients.gradient_predicts_the_change(
        evidence(linear(), shown, labels, np.zeros(40, bool))
    )
    assert told(wrong, NOT_APPLICABLE) == (
        "-",
        "No image is classified correctly: there is no margin to follow.",
    )
    good = obfuscated_gradients.gradient_predicts_the_change(evidence(linear(), shown, labels))
    for found in (blind, wrong, good):
        assert found.check == CHECK
        assert found.source == (
            "finite differences; Athalye et al. (2018), arXiv:1802.00420; Carlini et al. (2019), arXiv:1902.06705"
        )
        assert found.rule == (
            "clean and at a random point of the ball, the gradient predicts the change of the margin within a half: "
            "over a step of 0.0001 for at least 95 % of the images, along itself and along random directions, white "
            "and of low frequency; along itself over a quarter of epsilon (at most half a grey level) for 50 %, over "
            "all of it (at most two) for 20 %"
        )
    assert blind.details == wrong.details == {}


def bright_and_dark(n=40):
    dark, bright = ends(n // 2)
    return np.concatenate([dark, bright]), np.repeat([0, 1], n // 2).astype(np.int32)


@pytest.mark.parametrize("saturated", [False, True])
def test_a_saturated_head_jumps_at_the_boundary(saturated):
    model = Formula((lambda x: np.tanh(1e4 * mean(x))) if saturated else mean, None)
    made = evidence(None, *bright_and_dark(), raw=model)
    found = obfuscated_gradients.no_jump_at_the_boundary(made)
    figure, sentence = told(found, FAILED if saturated else PASSED)
    n = found.details["n"]
    assert n == PAIRS == 128
    assert found.details["jumping"] == (n if saturated else 0)
    first, second = obfuscated_gradients._pairs(made)
    lost = jumps(model, made.audited.images[first], made.audited.images[second], Threat(), 2 / 255 / 16)
    median = float(np.median(lost))
    assert found.details["median"] == median
    assert figure == (
        f"{n if saturated else 0} of 128 ({100 if saturated else 0:.1f} %) pairs jump; the median pair loses "
        f"{100 * median:.1f} % there"
    )
    assert sentence == (
        "The margin jumps at the decision boundary and is flat elsewhere: the outputs are saturated, and "
        "gradient attacks get no direction."
        if saturated
        else "The margin falls gradually towards the decision boundary: its gradient can guide an attack."
    )


@pytest.mark.parametrize(
    ("bad", "value", "failed"),
    [(6, 0.21, False), (7, 0.21, True), (7, 0.2, False), (7, np.nan, True)],
)
def test_one_pair_in_twenty_may_jump(monkeypatch, bad, value, failed):
    def lost(target, first, second, threat, step):
        assert step == 2 / 255 / 16
        return np.where(np.arange(len(first)) < bad, value, 0.1)

    monkeypatch.setattr(obfuscated_gradients, "jumps", lost)
    found = obfuscated_gradients.no_jump_at_the_boundary(evidence(None, *bright_and_dark(), raw=object()))
    assert found.failed == failed
    assert found.details["jumping"] == (bad if value != 0.2 else 0)


def test_pairs_are_of_two_classes_and_right():
    labels = np.arange(60, dtype=np.int32) % 3
    right = np.arange(60) >= 10
    first, second = obfuscated_gradients._pairs(evidence(None, None, labels, right))
    assert len(first) == len(second) == PAIRS
    assert (labels[first] != labels[second]).all()
    assert min(first.min(), second.min()) >= 10
    assert len(np.unique(first)) > 40
    pairs = {(one, other) for one, other in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(pairs) == PAIRS, "none twice"
    again, _ = obfuscated_gradients._pairs(evidence(None, None, labels, right))
    np.testing.assert_array_equal(first, again)


def test_without_two_classes_there_is_no_boundary():
    shown, _ = labelled()
    one_class = obfuscated_gradients.no_jump_at_the_boundary(
        evidence(None, shown, np.zeros(40, np.int32), raw=object())
    )
    sentence = "There are no two correctly classified images of different classes."
    assert told(one_class, NOT_APPLICABLE) == ("-", sentence)
    assert one_class.details == {}
    both = obfuscated_gradients.no_jump_at_the_boundary(
        evidence(None, *bright_and_dark(), raw=Formula(mean, None))
    )
    for found in (one_class, both):
        assert found.weight is Weight.NOT_PROVEN
        assert found.check == "obfuscated gradients: saturated at the class boundary"
        assert found.source == (
            "this project; on saturated outputs: Carlini and Wagner (2016), arXiv:1608.04644"
        )
        assert found.rule == (
            "between two images of different classes at most 20 % of the change of the margin happens within a "
            "sixteenth of epsilon of the boundary, for at least 95 % of the pairs"
        )
