import numpy as np
import pytest

from fedrobust.edge.rescaling import convolve_rescalings


@pytest.mark.parametrize(("scale", "offset"), [(2.0, -1.0), ([4.4, 4.5, 4.6], [-2.1, -2.0, -1.8])])
def test_the_convolution_computes_the_rescaling(scale, offset):
    import keras

    images = np.random.default_rng(0).random((2, 5, 4, 3)).astype(np.float32)
    inputs = keras.Input((5, 4, 3))
    model = convolve_rescalings(
        keras.Model(inputs, keras.layers.Rescaling(scale, offset, name="scale")(inputs))
    )
    assert isinstance(model.get_layer("scale"), keras.layers.Lambda)
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in model.layers)
    np.testing.assert_allclose(
        model(images), images * np.array(scale) + np.array(offset), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({}, (5, 4, 3)), ({"axis": None}, (5, 4, 3)), ({"axis": (1, 3)}, (5, 4, 3)), ({"invert": True}, (3,))],
)
def test_a_normalization_is_computed_with_what_it_was_adapted_to(settings, shape):
    """Among layers with weights, which a copy has to get in their order."""
    import keras

    images = np.random.default_rng(0).normal(3, 2, (40, *shape)).astype(np.float32)
    layer = keras.layers.Normalization(**settings)
    layer.adapt(images)
    inputs = keras.Input(shape)
    x = keras.layers.Dense(3)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.BatchNormalization()(layer(x))))
    found = convolve_rescalings(model)
    assert not any(isinstance(each, keras.layers.Normalization) for each in found.layers)
    np.testing.assert_allclose(found(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_scaling_of_logits_has_no_convolution():
    import keras

    inputs = keras.Input((4,))
    model = convolve_rescalings(keras.Model(inputs, keras.layers.Rescaling(0.5)(inputs)))
    np.testing.assert_allclose(model(np.full((2, 4), 3.0, np.float32)), np.full((2, 4), 1.5))


def test_a_rescaling_inside_a_nested_model_is_found_and_the_weights_are_kept(study):
    import keras

    inputs = keras.Input((28, 28, 1))
    nested = convolve_rescalings(keras.Model(inputs, study.model(inputs)))
    np.testing.assert_allclose(nested(study.images[:50], training=False), study.logits[:50], atol=1e-4)
    assert not any(isinstance(layer, keras.layers.Rescaling) for layer in nested._flatten_layers())


def test_a_model_without_rescaling_is_passed_on():
    import keras

    inputs = keras.Input((5, 4, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(inputs))
    assert convolve_rescalings(model) is model
