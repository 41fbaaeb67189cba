"""Read-outs of hidden layers: fits and gradients by formula, layers of small graphs by name."""

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.evasion import BoundModel, CompiledModel
from fedrobust.evasion.models import hidden_layers
from fedrobust.evasion.models.hidden_layers import hidden_read_outs
from fedrobust.evasion.models.protocol import Slopes
from fedrobust.evasion.models.wrappers import Averaged, StraightThrough, Tied

SHAPE = (4, 4, 1)
WEIGHTS = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)


def boxed(forward, classes=2, shape=SHAPE) -> BoundModel:
    return BoundModel(
        CompiledModel(lambda weights, images: forward(images), [], shape, classes), (), batch_size=32
    )


def flat(images):
    return tf.reshape(images, [-1, 16])


def saturated(images):
    """Decide by the sign of a hidden score; the gradient that is shown is another one's."""
    scores = tf.identity((flat(images) - 0.5) @ WEIGHTS[:, :2], name="scores")
    side = tf.sign(scores[:, :1]) + 1e-3 * scores[:, 1:]
    return tf.concat([-side, side], axis=1)


def honest(images):
    return (flat(images) - 0.5) @ WEIGHTS[:, :2]


@pytest.fixture
def images(draw):
    return draw.random((400, *SHAPE)).astype(np.float32)


# -- The read-outs ---------------------------------------------------------------------------------------------------


def test_a_head_that_saturates_is_seen_through(images, monkeypatch):
    monkeypatch.setattr(hidden_layers, "NEAREST", 7)
    target = boxed(saturated)
    found = hidden_read_outs(target, images)
    assert 1 <= len(found) <= 3
    assert len({one.name for one in found}) == len(found)
    labels = target.logits(images[:48]).argmax(axis=1).astype(np.int32)
    own = np.sign(target.gradient(images[:48], labels, "margin").gradients)
    towards = np.where(labels == 1, -1, 1)[:, None] * WEIGHTS[:, 0]
    for one in found:
        assert 0.97 <= one.agreement <= 1
        assert isinstance(one.target, StraightThrough)
        assert one.target.answers is target
        assert one.target.guide.batch_size == 32
        np.testing.assert_array_equal(one.target.logits(images[:48]), target.logits(images[:48]))
        shown = one.target.gradient(images[:48], labels, "margin").gradients
        assert -1 <= one.alike < 0.5
        assert one.alike == pytest.approx(float((own * np.sign(shown)).mean()), abs=0.1)
        rows = shown.reshape(48, 16)
        cosine = (rows * towards).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(towards, axis=1)
        assert cosine.min() > 0.8, "towards the other side of the hidden score"
    [first] = hidden_read_outs(target, images, most=1)
    assert first.name == found[0].name, "the nearest to the logits"


def test_a_model_with_variables_is_seen_through_as_one_with_constants(images):
    """A learned prediction-time defence is a network with variables in front of the model."""
    kept = tf.Variable(np.eye(16, dtype=np.float32))

    def cleaned(shown):
        return saturated(tf.reshape(flat(shown) @ kept, [-1, *SHAPE]))

    found, expected = hidden_read_outs(boxed(cleaned), images), hidden_read_outs(boxed(saturated), images)
    assert len(found) == len(expected) >= 1
    labels = boxed(saturated).logits(images[:20]).argmax(axis=1).astype(np.int32)
    seen, known = (
        one[0].target.gradient(images[:20], labels, "margin").gradients for one in (found, expected)
    )
    np.testing.assert_allclose(seen, known, rtol=1e-4, atol=1e-6)


def test_a_head_that_passes_on_its_gradients_has_no_read_out_that_differs(images):
    assert hidden_read_outs(boxed(honest), images) == []


def test_a_model_that_always_says_the_same_has_none(images):
    assert hidden_read_outs(boxed(lambda x: tf.constant([[0.0, 1.0]]) + 0 * honest(x)), images) == []


def test_a_layer_that_is_no_number_is_passed_over(images):
    def silent(images):
        scores = tf.math.log(flat(images)[:, :1] - 2.0, name="silent")  # NaN
        return tf.where(tf.math.is_nan(scores), honest(images), scores)

    assert hidden_read_outs(boxed(silent), images) == []


# -- Its parts -------------------------------------------------------------------------------------------------------


def test_layers_lie_between_images_and_logits_nearest_first():
    def forward(images):
        first = tf.identity(images * 2.0, name="first")
        second = tf.reshape(first, [-1, 16], name="second")
        aside = tf.identity(tf.constant(np.ones((16, 2), np.float32)), name="aside")
        whole = tf.cast(tf.cast(second, tf.int32, name="whole"), tf.float32, name="back")
        return tf.identity(tf.matmul(whole + second, aside, name="product"), name="logits")

    graph = hidden_layers._traced(boxed(forward))
    names = [tensor.op.name.split("/")[-1] for tensor in hidden_layers._layers(graph)]
    assert names[0] == "product"
    assert names.index("back") < names.index("second") < names.index("first")
    assert not {"aside", "whole", "logits", "images"} & set(names)
    assert len(names) == len(set(names))
    assert graph.inputs[0].shape.as_list() == [None, *SHAPE]
    assert graph.inputs[0].dtype == tf.float32
    reached = hidden_layers._reached(graph.inputs[0])
    assert graph.outputs[0].ref() in reached
    aside = graph.graph.get_tensor_by_name(
        next(op.name for op in graph.graph.get_operations() if op.name.endswith("aside")) + ":0"
    )
    assert aside.ref() not in reached


def test_only_the_nearest_layers_are_looked_at(monkeypatch):
    def deep(images):
        values = flat(images)
        for number in range(10):
            values = tf.identity(values + 1.0, name=f"layer{number}")
        return values[:, :2]

    monkeypatch.setattr(hidden_layers, "NEAREST", 5)
    assert len(hidden_layers._layers(hidden_layers._traced(boxed(deep)))) == 5


@pytest.mark.parametrize("features", [4096, 15])
def test_large_layers_are_read_by_the_mean_over_their_pixels(monkeypatch, images, features):
    monkeypatch.setattr(hidden_layers, "FEATURES", features)

    def forward(images):
        map_ = tf.concat([images, 2 * images], axis=3, name="map")
        return tf.reshape(map_, [-1, 32], name="row")[:, :2]

    graph = hidden_layers._traced(boxed(forward))
    layers = {tensor.op.name.split("/")[-1]: tensor for tensor in hidden_layers._layers(graph)}
    both = np.concatenate([images, 2 * images], axis=3)
    found = {
        name: hidden_layers._features(graph, layers[name])(tf.constant(images)).numpy()
        for name in ("map", "row")
    }
    if features > 32:
        np.testing.assert_allclose(found["map"], both.reshape(400, 32), atol=1e-6)
        np.testing.assert_allclose(found["row"], both.reshape(400, 32), atol=1e-6)
    else:
        np.testing.assert_allclose(found["map"], both.mean(axis=(1, 2)), atol=1e-6)
        np.testing.assert_allclose(found["row"], both.reshape(400, 32)[:, :15], atol=1e-6)


def test_a_read_out_is_a_ridge_regression_on_standardised_features(draw):
    values = (draw.normal(size=(40, 5)) * [1, 10, 0.1, 1, 0] + [0, 5, 0, 100, 7]).astype(np.float32)
    said = (values[:, 0] > 0).astype(np.int64) + (values[:, 1] > 8)
    weights, bias = hidden_layers._fitted(values, said, 3)
    assert weights.dtype == bias.dtype == np.float32
    rows = (values[:, :4] - values[:, :4].mean(0)) / values[:, :4].std(0)
    wanted = np.eye(3)[said]
    # The normal equations of the same problem, feature by feature.
    inner = rows.T @ rows + 1e-3 * 5 * np.eye(4)
    expected = np.linalg.solve(inner, rows.T @ (wanted - wanted.mean(0)))
    scores = values @ weights + bias
    np.testing.assert_allclose(scores, rows @ expected + wanted.mean(0), atol=2e-3)
    assert not weights[4].any(), "a feature that does not vary"


def test_the_slope_of_a_read_out_is_that_of_all_other_classes_against_the_label(images):
    head = WEIGHTS, np.zeros(3, np.float32)
    labels = (np.arange(6) % 3).astype(np.int32)
    found = hidden_layers._slope(flat, head, images[:6], labels)
    expected = WEIGHTS.sum(axis=1) - 2 * WEIGHTS[:, labels].T
    np.testing.assert_allclose(found.reshape(6, 16), expected, atol=1e-5)
    cut = hidden_layers._slope(lambda x: tf.stop_gradient(flat(x)), head, images[:6], labels)
    assert cut.shape == (6, *SHAPE)
    assert not cut.any()


def test_images_are_run_in_parts_of_a_batch():
    target = boxed(honest)
    sizes = [[len(part) for part in hidden_layers._parts(np.zeros((n, 1)), target)] for n in (1, 32, 33, 70)]
    assert sizes == [[1], [32], [17, 16], [24, 23, 23]]


# -- Targets made of other targets -----------------------------------------------------------------------------------


class Drawn:
    """Answers and slopes that are another multiple of the images in every call."""

    shape, classes = (2, 2, 3), 12

    def __init__(self):
        self.calls, self.given = 0, []

    def logits(self, images):
        self.calls += 1
        return self.calls * images.reshape(len(images), 12)

    def gradient(self, images, labels, loss, targets=None):
        self.given.append((labels, loss, targets))
        logits = self.logits(images)
        return Slopes(logits, logits[:, 0] + 1, 10 * self.calls * images)


def test_the_mean_of_several_answers_is_attacked(draw):
    images = draw.random((5, 2, 2, 3)).astype(np.float32)
    mean = Averaged(Drawn(), 4)
    assert (mean.shape, mean.classes) == ((2, 2, 3), 12)
    np.testing.assert_allclose(mean.logits(images), 2.5 * images.reshape(5, 12), rtol=1e-6)
    mean = Averaged(Drawn(), 3)
    seen = mean.gradient(images, "labels", "margin", "targets")
    np.testing.assert_allclose(seen.logits, 2 * images.reshape(5, 12), rtol=1e-6)
    np.testing.assert_allclose(seen.losses, 2 * images[:, 0, 0, 0] + 1, rtol=1e-6)
    np.testing.assert_allclose(seen.gradients, 20 * images, rtol=1e-6)
    assert {one.dtype for one in seen} == {np.dtype(np.float32)}
    assert mean.target.given == [("labels", "margin", "targets")] * 3
    assert Averaged(Drawn()).draws == 8


def test_a_twin_guides_and_the_model_answers(draw):
    images = draw.random((5, 2, 2, 3)).astype(np.float32)
    model, twin = Drawn(), Drawn()
    model.calls = 6
    through = StraightThrough(model, twin)
    assert (through.shape, through.classes) == (model.shape, 12)
    seen = through.gradient(images, "labels", "dlr", "targets")
    np.testing.assert_allclose(seen.logits, 7 * images.reshape(5, 12))
    np.testing.assert_allclose(seen.gradients, 10 * images)
    np.testing.assert_allclose(seen.losses, images[:, 0, 0, 0] + 1)
    assert twin.given == [("labels", "dlr", "targets")]
    np.testing.assert_allclose(through.logits(images), 8 * images.reshape(5, 12))


def test_a_grey_channel_is_shown_three_times_and_has_the_sum_of_their_slopes(draw):
    grey = draw.random((5, 2, 2, 1)).astype(np.float32)
    tied = Tied(Drawn())
    assert (tied.shape, tied.classes) == ((2, 2, 1), 12)
    np.testing.assert_allclose(tied.logits(grey), np.repeat(grey, 3, axis=3).reshape(5, 12))
    seen = tied.gradient(grey, "labels", "dlr", "targets")
    np.testing.assert_allclose(seen.gradients, 3 * 20 * grey, rtol=1e-6)
    np.testing.assert_allclose(seen.losses, 2 * grey[:, 0, 0, 0] + 1, rtol=1e-6)
    assert tied.target.given == [("labels", "dlr", "targets")]


def test_layers_behind_an_operation_with_a_custom_gradient_have_their_gradients(images, monkeypatch):
    """The gradient function of such an operation uses tensors of the graph that it was traced in."""

    @tf.custom_gradient
    def doubled(values):
        return 2 * values, lambda upstream: upstream * (2 + 0 * values)

    def behind(given):
        return saturated(doubled(given) / 2)

    monkeypatch.setattr(hidden_layers, "NEAREST", 7)
    [found], [plain] = (hidden_read_outs(boxed(each), images, most=1) for each in (behind, saturated))
    labels = np.zeros(48, np.int32)
    np.testing.assert_allclose(
        found.target.gradient(images[:48], labels, "margin").gradients,
        plain.target.gradient(images[:48], labels, "margin").gradients,
        rtol=1e-4,
    )
