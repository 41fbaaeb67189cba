"""Functions of kept graphs: the same bits as traced ones, and traced ones where a file is no good."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.evasion import BoundModel, CompiledModel
from fedrobust.graphs import function as module
from fedrobust.graphs.function import GraphFunction
from fedrobust.graphs.kept import KeptFilesNotice, kept_files
from fedrobust.graphs.library import NotKeepableError, to_bytes
from fedrobust.graphs.origin import Origin
from fedrobust.models.classifier import build_classifier
from fedrobust.models.two_batchnorms import TwoBatchNorms
from fedrobust.spec import build
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.recipes import RECIPES, Plain
from fedrobust.training.training_data import TrainingData

ORIGIN = Origin.of(test="function")
VECTOR = [tf.TensorSpec([None], tf.float32)]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path))
    monkeypatch.setenv("FEDROBUST_GRAPH_CACHE", "on")
    return kept_files()


def countdown(x):
    """A loop with a branch in it: functions within functions."""
    step = lambda i, y: (i + 1, tf.cond(tf.reduce_sum(y) > 10.0, lambda: y / 3.0, lambda: y * 2.0))  # noqa: E731
    return tf.while_loop(lambda i, y: i < 7, step, (tf.constant(0), x))


def read_again(function, signature, purpose="x"):
    """Return a function that was called and written, and the same one as it is read."""
    first, second = (GraphFunction(function, signature, ORIGIN, purpose) for _ in range(2))
    return first.rehearsed(1), second.ready()


def test_a_graph_is_traced_once_and_read_from_then_on(kept):
    traced, calls = [], np.arange(3, dtype=np.float32)

    def function(x):
        traced.append(1)
        return countdown(x)

    first, second = read_again(function, VECTOR)
    expected, found = first(calls), second(calls)
    assert len(traced) == 1
    assert [each.numpy().tobytes() for each in found] == [each.numpy().tobytes() for each in expected]
    assert isinstance(found, tuple)


def test_functions_of_two_files_do_not_get_in_each_others_way(kept):
    _, one = read_again(lambda x: countdown(x)[1], VECTOR, "one")
    _, two = read_again(lambda x: countdown(x)[1] + 1.0, VECTOR, "two")
    x = tf.constant([0.5, 1.0])
    assert (two(x).numpy() == one(x).numpy() + 1).all()


def test_arguments_that_do_not_fit_are_refused_as_by_a_traced_function(kept):
    first, second = read_again(tf.square, VECTOR)
    for function in (first, second):
        with pytest.raises((ValueError, TypeError)):
            function(tf.ones([2, 2]))


def test_a_kept_function_can_be_part_of_another_graph(kept):
    _, second = read_again(tf.square, VECTOR)
    assert tf.function(lambda x: second(x) + 1)(tf.constant([2.0])).numpy() == [5.0]


@pytest.mark.parametrize(
    "content", [b"", b"{}\nrubbish", b'{"name": "f", "results": 1, "alone": true}\n\x08\x01\xff']
)
def test_what_is_no_graph_is_said_and_traced_anew(kept, content):
    function = GraphFunction(tf.square, VECTOR, ORIGIN, "x")
    kept.write(function.name, content)
    with pytest.warns(KeptFilesNotice, match="made anew: TensorFlow cannot read it"):
        function.ready()
    assert function(tf.constant([3.0])).numpy() == [9.0]
    assert GraphFunction(lambda x: 1 / 0, VECTOR, ORIGIN, "x")(tf.constant([3.0])).numpy() == [9.0]


def test_what_holds_tensors_of_its_own_is_traced_every_time(kept):
    held = tf.constant([1.0])
    function = GraphFunction(lambda x: x + held, VECTOR, ORIGIN, "x").rehearsed(1)
    assert kept.read(function.name) is None
    with pytest.raises(NotKeepableError):
        to_bytes(function.traced.get_concrete_function(), tf.Graph().as_graph_def())


def test_what_is_not_known_is_not_kept(kept):
    GraphFunction(tf.square, VECTOR, None, "x").rehearsed(1)
    assert not kept.folder.exists()


def test_the_first_call_is_one_threads(monkeypatch):
    running, most = [], []

    def call(self, arguments):
        running.append(1)
        most.append(len(running))
        waited.wait(0.05)
        running.pop()
        return arguments

    waited = threading.Event()
    monkeypatch.setattr(module.GraphFunction, "_call", call)
    function = GraphFunction(tf.square, VECTOR)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(function, [1, 2, 3, 4]))
    assert most[0] == 1
    assert function._called


@pytest.mark.parametrize("recipe", ["awp(recipe='trades(steps=2)')", "advprop(recipe='pgd(steps=2)')"])
def test_updates_by_a_recipe_inside_of_another_are_kept_with_the_same_bits(kept, draw, recipe):
    images, labels = draw.integers(0, 256, (4, 16, 16, 1), np.uint8), np.array([0, 1] * 2, np.int32)

    def found():
        classifier = build_classifier("edge-cnn(width=4)", (16, 16, 1), classes=2, image_size=0, seed=1)
        network = TwoBatchNorms(classifier) if recipe.startswith("advprop") else classifier
        update = LocalUpdate(network, build(RECIPES, recipe), SGD()).compiled()
        batches = draw_batches(np.arange(4), 2, 4, np.random.default_rng(0))
        data = TrainingData.of(images, labels)
        return update(network.initial_weights(), data, batches, [0.01] * 2, [0, 0])[0].digest()

    traced = found()
    (file,) = kept.folder.iterdir()
    written = file.stat().st_ino
    assert found() == traced
    assert [each.stat().st_ino for each in kept.folder.iterdir()] == [written], "read, not written anew"


def test_updates_answers_and_gradients_are_the_same_bits_from_kept_graphs(kept, draw):
    images, labels = draw.integers(0, 256, (8, 16, 16, 1), np.uint8), np.array([0, 1] * 4, np.int32)

    def found():
        classifier = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0, seed=1)
        update = LocalUpdate(classifier, Plain(), Adam()).compiled()
        batches = draw_batches(np.arange(8), 2, 4, np.random.default_rng(0))
        rates = [0.01] * len(batches.sizes)
        weights, _ = update(
            classifier.initial_weights(), TrainingData.of(images, labels), batches, rates, [0, 0]
        )
        target = BoundModel.of(CompiledModel.of(classifier), weights)
        shown = images.astype(np.float32) / 255
        slopes = target.gradient(shown, labels, "cross-entropy")
        return weights.digest(), target.logits(shown).tobytes(), slopes.gradients.tobytes()

    traced = found()
    assert len(list(kept.folder.iterdir())) == 3
    assert found() == traced


def test_a_rehearsal_makes_the_first_call_with_open_sizes_as_told(monkeypatch):
    shapes = []
    function = GraphFunction(
        lambda pair, x: pair[0] + tf.reduce_sum(pair[1]) + x,
        [
            (tf.TensorSpec([3], tf.float32), tf.TensorSpec([None, 2], tf.float32)),
            tf.TensorSpec([], tf.float32),
        ],
    )
    call = function.traced
    function.traced = lambda *arguments: (
        shapes.append([tuple(each.shape) for each in tf.nest.flatten(arguments)]) or call(*arguments)
    )
    assert function.rehearsed(0) is function
    function.rehearsed(5)
    assert shapes == [[(3,), (0, 2), ()], [(3,), (5, 2), ()]]
