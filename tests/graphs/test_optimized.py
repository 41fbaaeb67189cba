"""Optimised graphs as functions: arguments that are not used, operations with many outputs, calls that are left."""

import threading

import numpy as np
import pytest
import tensorflow as tf

from fedrobust.graphs.library import from_bytes, to_bytes
from fedrobust.graphs.optimized import _paired, first_call


def unused(x, y, z):
    return z - x


def listed(x, y, z):
    parts = tf.split(x, 3)
    values, places = tf.math.top_k(y, 2)
    return parts[2], values, tf.cast(places, tf.float32) + parts[0][:2], z


def calling(x, y, z):
    return tf.map_fn(lambda each: tf.reduce_sum(each * y), tf.reshape(z, [3, 2]))


@pytest.mark.parametrize("function", [unused, listed, calling])
def test_an_optimised_graph_answers_as_its_function_does(function, draw):
    arguments = [tf.constant(draw.normal(size=6), tf.float32) for _ in range(3)]
    if function is calling:
        arguments[1] = arguments[1][:2]
    traced = tf.function(function).get_concrete_function(*arguments)
    found, graph = first_call(traced, lambda: traced(*arguments))
    again = from_bytes(to_bytes(traced, graph))(arguments)
    assert [each.numpy().tobytes() for each in tf.nest.flatten(again)] == [
        each.numpy().tobytes() for each in tf.nest.flatten(found)
    ]


def test_of_several_graphs_of_a_call_the_functions_own_is_found():
    other = tf.function(lambda x: tf.exp(x) + 1.0).get_concrete_function(tf.TensorSpec([], tf.float32))
    traced = tf.function(lambda x: tf.tanh(x) * 3.0).get_concrete_function(tf.TensorSpec([], tf.float32))
    x = tf.constant(0.5)
    _, graph = first_call(traced, lambda: (other(x), traced(x)))
    assert {"Tanh", "Mul"} <= {node.op for node in graph.node}
    assert "Exp" not in {node.op for node in graph.node}


def test_what_was_called_before_has_no_graph_to_show():
    traced = tf.function(lambda x: tf.tanh(x) * 5.0).get_concrete_function(tf.TensorSpec([], tf.float32))
    x = tf.constant(0.5)
    expected = traced(x)
    found, graph = first_call(traced, lambda: traced(x))
    assert (found.numpy(), graph) == (expected.numpy(), None)


def test_first_calls_of_threads_do_not_take_each_others_graphs():
    functions = [
        tf.function(lambda x, factor=factor: tf.tanh(x) * factor).get_concrete_function(
            tf.TensorSpec([], tf.float32)
        )
        for factor in (2.0, 3.0, 5.0, 7.0)
    ]
    graphs, x = {}, tf.constant(0.5)

    def ask(place):
        graphs[place] = first_call(functions[place], lambda: functions[place](x))[1]

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    answers = [from_bytes(to_bytes(functions[place], graphs[place]))([x]).numpy() for place in range(4)]
    assert answers == [function(x).numpy() for function in functions]


def pooled(gradient="MaxPoolGrad", pool="_MklNativeMaxPool", workspace=True):
    graph = tf.Graph().as_graph_def()
    graph.node.add(name="pool", op=pool, input=["x"]).attr["workspace_enabled"].b = workspace
    graph.node[0].attr["_kernel"].s = b"MklNameChangeOp"
    graph.node.add(name="slope", op=gradient, input=["x", "pool", "above", "^before"])
    return graph


def test_a_pooling_of_onednn_has_its_gradient_of_onednn():
    slope = _paired(pooled()).node[1]
    assert (slope.op, list(slope.input)) == (
        "_MklNativeMaxPoolGrad",
        ["x", "pool", "above", "pool:1", "^before"],
    )
    assert (slope.attr["_kernel"].s, slope.attr["workspace_enabled"].b) == (b"MklNameChangeOp", True)


@pytest.mark.parametrize(
    "settings", [{"pool": "MaxPool"}, {"workspace": False}, {"gradient": "_MklNativeMaxPoolGrad"}]
)
def test_other_poolings_stay_as_they_are(settings):
    assert _paired(pooled(**settings)) == pooled(**settings)


def test_the_gradient_of_a_pooling_in_a_loop_is_the_same_from_a_kept_graph(draw):
    x = tf.constant(np.round(draw.normal(size=(2, 8, 8, 3)), 1), tf.float32)  # with ties

    def body(step, x):
        y = tf.nn.max_pool2d(x, 2, 2, "VALID")
        return step + 1, x - tf.gradients(y * y, x)[0]

    def function(x):
        return tf.while_loop(lambda step, _: step < 3, body, (0, x))[1]

    traced = tf.function(function, autograph=False).get_concrete_function(x)
    found, graph = first_call(traced, lambda: traced(x))
    assert from_bytes(to_bytes(traced, graph))([x]).numpy().tobytes() == found.numpy().tobytes()
