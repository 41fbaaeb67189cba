"""Networks as users write them, right and wrong; found by dotted paths."""

import keras


def build(height, width, channels):
    """Three layers, with names that Keras takes and TensorFlow's graphs do not."""
    x = inputs = keras.Input((height, width, channels))
    x = keras.layers.Conv2D(6, 3, strides=2, name="stem conv:1")(x)
    x = keras.layers.BatchNormalization(name="Ä norm")(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


def of_a_tuple(shape):
    return build(*shape)


def of_a_tuple_with_settings(shape, filters=6, depth=2):
    return build(*shape)


def of_anything(*sides):
    return build(*sides)


def of_three_with_defaults(height=28, width=28, channels=1):
    return build(height, width, channels)


class Builder:
    @staticmethod
    def build(height, width, channels):
        return build(height, width, channels)


def fixed_batch(height, width, channels):
    inputs = keras.Input(batch_shape=(8, height, width, channels))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs)))


def sigmoid_features(height, width, channels):
    base = build(height, width, channels)
    return keras.Model(base.inputs, keras.layers.Dense(8, activation="sigmoid")(base.outputs[0]))


def softmax(height, width, channels):
    base = build(height, width, channels)
    return keras.Model(base.inputs, keras.layers.Dense(2, activation="softmax")(base.outputs[0]))


def softmax_layer(height, width, channels):
    base = build(height, width, channels)
    return keras.Model(base.inputs, keras.layers.Softmax()(keras.layers.Dense(2)(base.outputs[0])))


def softmax_activation(height, width, channels):
    base = build(height, width, channels)
    logits = keras.layers.Dense(3)(base.outputs[0])
    return keras.Model(base.inputs, keras.layers.Activation("softmax")(logits))


def softmax_inside(height, width, channels):
    inputs = keras.Input((height, width, channels))
    return keras.Model(inputs, softmax(height, width, channels)(inputs))


def one_sigmoid(height, width, channels):
    base = build(height, width, channels)
    return keras.Model(base.inputs, keras.layers.Dense(1, activation="sigmoid")(base.outputs[0]))


def maps(height, width, channels):
    inputs = keras.Input((height, width, channels))
    return keras.Model(inputs, keras.layers.Conv2D(3, 3)(inputs))


def two_outputs(height, width, channels):
    base = build(height, width, channels)
    return keras.Model(base.inputs, [base.outputs[0], base.outputs[0] * 2])


def other_images(height, width, channels):
    return build(height + 4, width, channels)


def nothing(height, width, channels):
    """Forgets to return the model."""


def crashes(height, width, channels):
    raise KeyError("blocks")


def exits(height, width, channels):
    raise SystemExit(3)


def two_sides(height, width):
    return build(height, width, 1)


def dropout(height, width, channels):
    base = build(height, width, channels)
    return keras.Model(base.inputs, keras.layers.Dropout(0.5)(base.outputs[0]))


def random_flip(height, width, channels):
    base = build(height, width, channels)
    flipped = keras.layers.RandomFlip()(base.inputs[0])
    return keras.Model(base.inputs, base(flipped))


def not_for_devices(height, width, channels):
    inputs = keras.Input((height, width, channels))
    return keras.Model(inputs, keras.ops.erfinv(keras.layers.Flatten()(inputs) / 3))


number = 3


def with_its_own_scale(height, width, channels):
    """Pixels from 0 to 255, as most of Keras' applications take them."""
    x = inputs = keras.Input((height, width, channels))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 127.5, -1.0)(x))
    return keras.Model(inputs, x)


def of_whole_numbers(height, width, channels):
    x = inputs = keras.Input((height, width, channels), dtype="uint8")
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(x)))


def _smooth(height, width, channels, norm):
    x = inputs = keras.Input((height, width, channels))
    x = norm(keras.layers.Conv2D(4, 3, padding="same", use_bias=False)(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(keras.layers.Activation("softplus")(x)))


def smooth_batch(height, width, channels):
    return _smooth(height, width, channels, keras.layers.BatchNormalization())


def smooth_group(height, width, channels):
    return _smooth(height, width, channels, keras.layers.GroupNormalization(2))


def smooth_layer(height, width, channels):
    return _smooth(height, width, channels, keras.layers.LayerNormalization(axis=[1, 3]))


def smooth_inside(height, width, channels):
    block = keras.Sequential(
        [
            keras.Input((height, width, 4)),
            keras.layers.GroupNormalization(1, name="inner"),
            keras.layers.Dense(4),
        ]
    )
    return _smooth(height, width, channels, block)
