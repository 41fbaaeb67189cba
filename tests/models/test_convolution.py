import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models.convolution import DirectConv2D, DirectDepthwiseConv2D

CASES = [
    # side, kernel, strides, padding, direct
    (4, 1, 1, "valid", True),
    (5, 1, 2, "same", True),
    (5, 1, 2, "valid", True),
    (1, 3, 1, "same", True),
    (1, 3, 2, "same", True),
    (1, 4, 1, "same", True),
    (2, 3, 1, "same", False),
    (4, 3, 2, "valid", False),
]


def pair(ours, stock, side, **settings):
    layers = [
        cls(kernel_initializer=keras.initializers.RandomNormal(seed=3), **settings) for cls in (ours, stock)
    ]
    for layer in layers:
        layer.build((None, side, side, 6))
        if layer.use_bias:
            layer.bias.assign(np.linspace(-1, 1, layer.bias.shape[0]))
    layers[1].kernel.assign(layers[0].kernel)
    return layers


def outputs_and_gradients(layer, images):
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = layer(images)
        loss = tf.reduce_sum(tf.sin(outputs))
    return [outputs, *tape.gradient(loss, [images, layer.kernel.value])]


@pytest.mark.parametrize(("side", "kernel", "strides", "padding", "direct"), CASES)
@pytest.mark.parametrize("activation", [None, "relu"])
def test_equals_keras_with_its_gradients(draw, side, kernel, strides, padding, direct, activation):
    settings = {"filters": 5, "kernel_size": kernel, "strides": strides, "padding": padding}
    ours, stock = pair(DirectConv2D, keras.layers.Conv2D, side, activation=activation, **settings)
    images = tf.constant(draw.normal(size=(7, side, side, 6)), tf.float32)
    for found, expected in zip(
        outputs_and_gradients(ours, images), outputs_and_gradients(stock, images), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert uses(ours, images, "MatMul") is direct
    assert uses(ours, images, "Conv2D") is not direct


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("use_bias", [True, False])
def test_depthwise_equals_keras_with_its_gradients(draw, side, strides, kernel, use_bias):
    layers = [
        cls(kernel, strides=strides, padding="same", use_bias=use_bias)
        for cls in (DirectDepthwiseConv2D, keras.layers.DepthwiseConv2D)
    ]
    images = tf.constant(draw.normal(size=(7, side, side, 6)), tf.float32)
    for layer in layers:
        layer.build(images.shape)
    layers[1].kernel.assign(layers[0].kernel)
    for found, expected in zip(*(outputs_and_gradients(layer, images) for layer in layers), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert uses(layers[0], images, "DepthwiseConv2dNative") is (side > 1)
    assert uses_backwards(layers[0], images, "DepthwiseConv2dNativeBackpropFilter") is (
        side == 3 or (side == 2 and strides == 2)
    )


def test_taps_that_meet_nothing_have_a_gradient_of_exactly_zero(draw):
    layer, _ = pair(DirectConv2D, keras.layers.Conv2D, 1, filters=5, kernel_size=3, padding="same")
    images = tf.constant(draw.normal(size=(7, 1, 1, 6)), tf.float32)
    _, _, gradient = outputs_and_gradients(layer, images)
    gradient = gradient.numpy()
    assert (gradient[1, 1] != 0).all()
    gradient[1, 1] = 0
    assert (gradient == 0).all()


def test_groups_are_left_to_keras(draw):
    ours, stock = pair(DirectConv2D, keras.layers.Conv2D, 4, filters=4, kernel_size=1, groups=2)
    images = tf.constant(draw.normal(size=(2, 4, 4, 6)), tf.float32)
    np.testing.assert_allclose(ours(images), stock(images), rtol=1e-5, atol=1e-6)


def uses(layer, images, operation) -> bool:
    graph = tf.function(lambda x: layer(x)).get_concrete_function(images).graph
    return operation in {op.type for op in graph.get_operations()}


def test_a_depth_multiplier_is_left_to_keras(draw):
    ours, stock = (
        cls(3, padding="same", depth_multiplier=2)
        for cls in (DirectDepthwiseConv2D, keras.layers.DepthwiseConv2D)
    )
    images = tf.constant(draw.normal(size=(4, 1, 1, 6)), tf.float32)
    for layer in (ours, stock):
        layer.build(images.shape)
    stock.kernel.assign(ours.kernel)
    np.testing.assert_allclose(ours(images), stock(images), rtol=1e-5, atol=1e-6)
    assert uses(ours, images, "DepthwiseConv2dNative")


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_a_depthwise_kernel_that_fits_one_pixel_equals_kerass(draw, padding):
    size = 3 if padding == "same" else 1
    ours, stock = (
        cls(size, padding=padding, activation="relu")
        for cls in (DirectDepthwiseConv2D, keras.layers.DepthwiseConv2D)
    )
    images = tf.constant(draw.normal(size=(4, 1, 1, 6)), tf.float32)
    for layer in (ours, stock):
        layer.build(images.shape)
        layer.bias.assign(np.linspace(-1, 1, 6))
    stock.kernel.assign(ours.kernel)
    np.testing.assert_allclose(ours(images), stock(images), rtol=1e-5, atol=1e-6)
    assert uses(ours, images, "DepthwiseConv2dNative") is (padding == "valid")


@pytest.mark.parametrize("side", [(1, 2), (2, 1)])
def test_maps_of_more_than_one_pixel_are_convolved(draw, side):
    ours, stock = pair(DirectConv2D, keras.layers.Conv2D, 4, filters=5, kernel_size=3, padding="same")
    images = tf.constant(draw.normal(size=(2, *side, 6)), tf.float32)
    np.testing.assert_allclose(ours(images), stock(images), rtol=1e-5, atol=1e-5)
    assert uses(ours, images, "Conv2D")


def test_a_kernel_of_two_sizes_meets_one_pixel_in_its_middle(draw):
    for kernel_size in ((5, 3), (1, 4), (2, 5)):
        ours, stock = pair(
            DirectConv2D, keras.layers.Conv2D, 1, filters=5, kernel_size=kernel_size, padding="same"
        )
        images = tf.constant(draw.normal(size=(2, 1, 1, 6)), tf.float32)
        np.testing.assert_allclose(ours(images), stock(images), rtol=1e-5, atol=1e-5)


def test_strides_of_two_lengths_skip_their_own_side(draw):
    ours, stock = pair(DirectConv2D, keras.layers.Conv2D, 6, filters=5, kernel_size=1, strides=(3, 2))
    stock.bias.assign(ours.bias)
    images = tf.constant(draw.normal(size=(2, 6, 6, 6)), tf.float32)
    np.testing.assert_allclose(ours(images), stock(images), rtol=1e-5, atol=1e-5)
    assert ours(images).shape == (2, 2, 3, 5)


def uses_backwards(layer, images, operation) -> bool:
    graph = tf.function(lambda x: outputs_and_gradients(layer, x)).get_concrete_function(images).graph
    return operation in {op.type for op in graph.get_operations()}
