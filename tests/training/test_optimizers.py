import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.training.optimizers import SGD, Adam, Step

PAIRS = {
    "adam": (Adam(), lambda: keras.optimizers.Adam(0.01)),
    "adam, other settings": (
        Adam(beta_1=0.8, beta_2=0.99, epsilon=1e-4),
        lambda: keras.optimizers.Adam(0.01, beta_1=0.8, beta_2=0.99, epsilon=1e-4),
    ),
    "adam with decay": (Adam(weight_decay=0.1), lambda: keras.optimizers.Adam(0.01, weight_decay=0.1)),
    "sgd": (SGD(momentum=0.0), lambda: keras.optimizers.SGD(0.01)),
    "momentum": (SGD(momentum=0.9), lambda: keras.optimizers.SGD(0.01, momentum=0.9)),
    "nesterov": (
        SGD(momentum=0.9, nesterov=True),
        lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
    ),
    "momentum with decay": (
        SGD(momentum=0.9, weight_decay=0.1),
        lambda: keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=0.1),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_every_step_equals_keras(name, draw):
    ours, build = PAIRS[name]
    theirs = build()
    start = [draw.normal(size=shape).astype(np.float32) for shape in [(3, 4), (5,)]]
    variables = [keras.Variable(value) for value in start]
    weights = [tf.constant(value) for value in start]
    slots = ours.start(weights)
    for step in range(1, 21):
        gradients = [
            tf.constant(draw.normal(size=value.shape) * 10.0 ** draw.integers(-4, 2), tf.float32)
            for value in start
        ]
        theirs.apply(gradients, variables)
        weights, slots = ours.step(Step(tf.constant(step), tf.constant(0.01)), weights, gradients, slots)
        for weight, variable in zip(weights, variables, strict=True):
            np.testing.assert_allclose(weight, variable, rtol=2e-5, atol=2e-6, err_msg=f"step {step}")
