"""Networks in Keras files: the same results as the file's, and refusals that say what to do."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.config import ConfigError, Experiment
from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.models.dropout import StatelessDropout
from fedrobust.models.file_network import file_remarks
from fedrobust.models.head import Head
from fedrobust.models.keras_file import ModelFileError
from fedrobust.models.network_file import file_digest, pinned, pinned_parts
from fedrobust.models.remembered import Remembered, remembered_classifier

L = keras.layers
IMAGES = np.random.default_rng(0).random((5, 12, 12, 1), np.float32)


def network(outputs=2, activation="softmax", side=12, channels=1, inside=(), end=None):
    """Return a network of images in 0 to 255: a model within it, differing momenta, Dropout, names used twice."""
    keras.utils.set_random_seed(3)
    base = keras.Sequential(
        [
            keras.Input((side, side, channels)),
            L.Conv2D(4, 3, strides=2, name="conv a"),
            L.BatchNormalization(momentum=0.99, name="norm"),
            L.ReLU(),
            L.SpatialDropout2D(0.1),
        ],
        name="base",
    )
    inputs = keras.Input((side, side, channels))
    x = base(L.Rescaling(1 / 127.5, -1)(inputs), training=False)
    for layer in inside:
        x = layer(x)
    x = L.BatchNormalization(momentum=0.5, name="norm", trainable=False)(x)
    x = L.Dropout(0.3)(L.GlobalAveragePooling2D()(x))
    x = L.Dense(6, activation="relu")(x)
    x = L.Dense(outputs, activation=activation)(x) if outputs else x
    made = keras.Model(inputs, end(x) if end else x)
    draw = np.random.default_rng(5)
    made.set_weights([draw.uniform(0.5, 1.5, weight.shape) for weight in made.get_weights()])
    return made


@pytest.fixture
def saved(tmp_path):
    def save(model, name="mine.keras"):
        model.save(tmp_path / name)
        return str(tmp_path / name)

    return save


def built(name, native=(12, 12, 1), classes=2, **settings):
    return build_classifier(name, native, classes, image_size=0, **{"weights": "file", **settings})


def probabilities(classifier, images=IMAGES):
    return keras.ops.softmax(classifier.deployable(classifier.initial_weights())(images)).numpy()


@pytest.mark.parametrize(
    ("activation", "end", "ending"),
    [
        ("softmax", None, ".keras"),
        (None, L.Softmax(), ".keras"),
        (None, L.Activation("softmax"), ".h5"),
        ("softmax", L.Activation("linear"), ".keras"),
    ],
)
def test_a_network_begins_as_the_file_has_it(saved, activation, end, ending):
    model = network(activation=activation, end=end)
    classifier = built(pinned(saved(model, f"mine{ending}")))
    np.testing.assert_allclose(probabilities(classifier), model(255 * IMAGES), rtol=1e-4, atol=1e-6)
    assert classifier.facts.momenta == (0.9,), "of all BatchNorm layers, as model.batchnorm-momentum says"
    assert classifier.layout.statistics == 2 * 4 * 2, "those of two BatchNorm layers: nothing else is a state"
    assert classifier.deployable(classifier.initial_weights()).name == "mine_classifier"


def test_one_output_with_a_sigmoid_becomes_two_logits_of_the_same_probability(saved):
    model = network(1, "sigmoid")
    expected = model(255 * IMAGES)[:, 0]
    np.testing.assert_allclose(probabilities(built(saved(model)))[:, 1], expected, rtol=1e-4)


def test_logits_of_several_classes_are_kept_and_other_classes_need_a_new_last_layer(saved):
    name = saved(network(5, None))
    logits = keras.models.load_model(name)(255 * IMAGES)
    kept = built(name, classes=5)
    np.testing.assert_allclose(kept.deployable(kept.initial_weights())(IMAGES), logits, rtol=1e-4)
    with pytest.raises(ModelError, match=r'has 5 outputs, the data 2 classes; set model.head = "new"'):
        built(name)
    new = built(name, head="new", seed=1)
    assert new.classes == 2
    features = [classifier.initial_weights().trainable[:-14] for classifier in (new, kept)]
    np.testing.assert_array_equal(features[0], features[1][: len(features[0])])


def test_findings_that_occur_together_are_no_classes(saved):
    with pytest.raises(ModelError, match="which tell findings apart that may occur together"):
        built(saved(network(2, "sigmoid")))


def test_classes_that_no_dense_layer_computes_need_a_new_last_layer(saved):
    inputs = keras.Input((12, 12, 1))
    x = L.GlobalAveragePooling2D()(L.Conv2D(2, 3)(inputs))
    name = saved(keras.Model(inputs, L.Softmax()(x)))
    with pytest.raises(ModelError, match=r'ends in softmax, but not in a Dense layer.*model.head = "new"'):
        built(name)
    assert built(name, head="new", classes=3).classes == 3
    assert file_remarks(name, (12, 12, 1), 3, "file", "new", "unit") == [
        'model.head = "new": a new last layer of 3 classes follows what mine.keras ends in'
    ]


def test_features_get_a_last_layer(saved):
    name = saved(network(outputs=0))
    assert built(name, classes=3).classes == 3
    (said,) = file_remarks(name, (12, 12, 1), 3, "file", "keep")
    assert said == "mine.keras ends in features: a new last layer of 3 classes follows them"


def test_a_pixel_range_that_is_assumed_is_said(saved):
    inputs = keras.Input((12, 12, 1))
    name = saved(keras.Model(inputs, L.Dense(2)(L.Flatten()(inputs))))
    (said,) = file_remarks(name, (12, 12, 1), 2, "file", "keep")
    assert "its first layers show no pixel range, 0..1 is assumed; model.scaling declares another" in said
    assert file_remarks(name, (12, 12, 1), 2, "file", "keep", scaling="0..255") == []


def test_what_of_a_file_is_not_used_is_said(saved):
    name = saved(network(5))
    assert file_remarks(name, (12, 12, 1), 5, "file", "keep") == []
    assert file_remarks("edge-cnn", (12, 12, 1), 5, "random", "keep") == []
    assert "the weights in mine.keras are not used" in file_remarks(name, (12, 12, 1), 2, "random", "keep")[0]
    assert (
        "the last layer of mine.keras, of 5 outputs" in file_remarks(name, (12, 12, 1), 2, "file", "new")[0]
    )


def test_random_weights_have_nothing_of_the_file_but_its_layers(saved):
    name = saved(network(5))
    one, other = (built(name, weights="random", seed=seed).initial_weights() for seed in (1, 1))
    assert one.digest() == other.digest() != built(name, weights="random", seed=2).initial_weights().digest()
    assert one.trainable.size == built(name, head="new").initial_weights().trainable.size


def test_adapted_normalisation_is_a_constant_and_any_size_is_taken(saved):
    inputs = keras.Input((None, None, 3))
    scale = L.Normalization()
    scale.adapt(np.random.default_rng(1).random((8, 4, 4, 3)))
    x = L.Conv2D(2, 3, use_bias=False)(scale(inputs))
    model = keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    classifier = built(saved(model))
    assert classifier.preparation.prepared == (12, 12, 3), "grey images are copied to three channels"
    assert classifier.layout.statistics == 0
    colour = np.repeat(IMAGES, 3, axis=-1)
    np.testing.assert_allclose(
        classifier.deployable(classifier.initial_weights())(IMAGES), model(colour), rtol=1e-3, atol=1e-5
    )


def test_a_declared_range_is_put_before_the_network(saved):
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, L.Dense(2)(L.GlobalAveragePooling2D()(inputs)))
    classifier = built(saved(model), scaling="0..255 bgr, mean=1 2 3")
    images = np.repeat(IMAGES, 3, axis=-1) * np.array([1.0, 0.5, 0.25], np.float32)
    seen = 255 * images[..., ::-1] - np.array([1, 2, 3], np.float32)
    model_of_colour = built(saved(model), native=(12, 12, 3), scaling="0..255 bgr, mean=1 2 3")
    found = model_of_colour.deployable(model_of_colour.initial_weights())(images)
    np.testing.assert_allclose(found, model(seen), rtol=1e-4)
    assert classifier.classes == 2


@pytest.mark.parametrize(
    ("model", "native", "message"),
    [
        (lambda: network(side=16), (12, 12, 1), "takes images of 16 x 16 pixels; set it to 16"),
        (lambda: network(channels=1), (12, 12, 3), "takes grey images, the data's have 3 channels"),
        (lambda: network(inside=[L.RandomGaussianBlur(1.0)]), (12, 12, 1), "a state of"),
        (
            lambda: network(inside=[L.SpectralNormalization(L.Conv2D(2, 1))]),
            (12, 12, 1),
            r'"spectral_normalization\w*" \(SpectralNormalization\) has a state beside weights',
        ),
        (lambda: network(inside=[L.Conv2D(2, 1, dtype="mixed_float16")]), (12, 12, 1), "computes in float16"),
        (
            lambda: keras.Model(i := keras.Input((12, 12, 1)), L.Conv2D(2, 1)(i)),
            (12, 12, 1),
            "GlobalAveragePooling2D",
        ),
        (
            lambda: keras.Model(i := keras.Input((12, 12, 1)), [L.Flatten()(i), L.Flatten()(i)]),
            (12, 12, 1),
            "it has 2 outputs; a network of a study has one",
        ),
        (
            lambda: keras.Sequential([keras.Input((144,)), L.Dense(2)]),
            (12, 12, 1),
            "takes one batch of images",
        ),
    ],
)
def test_what_clients_cannot_train_is_refused_with_what_to_do(saved, model, native, message):
    with pytest.raises(ModelError, match=message) as refused:
        built(saved(model()), native)
    assert "mine.keras" in str(refused.value)


def test_layers_for_training_alone_and_penalties_are_left_out_and_said(saved):
    model = network(inside=[L.RandomFlip(), L.GaussianNoise(0.1), L.Conv2D(4, 1, kernel_regularizer="l2")])
    name = saved(model)
    np.testing.assert_allclose(probabilities(built(name)), model(255 * IMAGES), rtol=1e-4, atol=1e-6)
    random, bound = file_remarks(name, (12, 12, 1), 2, "file", "keep")
    assert re.search(
        r"at random in training: random_flip\w*, gaussian_noise\w*; training.augmentations", random
    )
    assert re.match(r"mine.keras: the regularizers and constraints of conv2d\w* are not applied", bound)


def test_code_in_a_file_is_not_run(saved):
    model = keras.Sequential([keras.Input((12, 12, 1)), L.Lambda(lambda x: x), L.Flatten(), L.Dense(2)])
    with pytest.raises(ModelFileError, match="a Lambda: Python code in a file, which is not run"):
        built(saved(model))


def test_a_fixed_batch_becomes_free(saved):
    inputs = keras.Input(batch_shape=(7, 12, 12, 1))
    model = keras.Model(inputs, L.Dense(2, activation="softmax")(L.Flatten()(inputs)))
    assert probabilities(built(saved(model))).shape == (5, 2)


@pytest.mark.parametrize(("rate", "noise_shape"), [(0.3, None), (0.3, (None, 1, 1, 4)), (1.0, None)])
def test_dropout_has_the_mean_and_the_gradient_of_keras_layer(rate, noise_shape):
    drop = StatelessDropout(rate=rate, noise_shape=noise_shape, name="drop")
    given = tf.random.stateless_uniform((60, 6, 6, 4), (1, 2)) + 1.0
    with tf.GradientTape() as tape:
        tape.watch(given)
        found = drop(given, training=True)
    kept = (found != 0).numpy()
    assert kept.mean() == pytest.approx(1 - rate, abs=0.05)
    factor = 1 / (1 - rate) if rate < 1 else 0
    np.testing.assert_allclose(found, np.where(kept, given * factor, 0), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(found, given), np.where(kept, factor, 0), rtol=1e-6)
    if noise_shape:
        assert (kept.min((1, 2)) == kept.max((1, 2))).all(), "whole maps are dropped"
    np.testing.assert_array_equal(drop(given), given)


def test_dropout_of_a_file_is_dropout_in_training(saved):
    classifier = built(saved(network()))
    trainable, statistics = classifier.arrays(classifier.initial_weights())
    quiet, _ = classifier.logits(trainable, statistics, IMAGES)
    loud, after = classifier.logits(trainable, statistics, IMAGES, training=True)
    again, _ = classifier.logits(trainable, statistics, IMAGES, training=True)
    np.testing.assert_array_equal(loud, again)
    assert not np.allclose(quiet, loud)
    assert not np.allclose(after[0], statistics[0]), "BatchNorm is trained, whatever the file's calls say"


def test_a_name_is_pinned_to_the_content_of_its_file(saved, tmp_path):
    name = pinned(saved(network()))
    path, digest = pinned_parts(name)
    assert (path.name, pinned("mine.keras", base=tmp_path)) == ("mine.keras", name)
    assert file_digest(path).startswith(digest)
    first = built(str(path)).initial_weights()
    saved(network(3))
    assert pinned("mine.keras", base=tmp_path) != name
    assert built(str(path), classes=3).initial_weights().trainable.size == first.trainable.size + 7
    name = pinned(saved(network(4)))
    saved(network(3))
    with pytest.raises(ModelFileError, match="the file was changed while the study was running"):
        built(name)


def test_a_files_network_is_kept_for_later_processes(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FEDROBUST_GRAPH_CACHE", "on")
    name = pinned(saved(network()))
    made = [remembered_classifier(name, (12, 12, 1), 2, image_size=0, weights="file") for _ in range(2)]
    assert isinstance(made[1], Remembered)
    assert made[0].layout == made[1].layout
    assert made[1].layout.network == pinned_parts(name)[1]
    assert made[0].initial_weights().digest() == built(name).initial_weights().digest()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model__weights": "file"}, 'model.name = "edge-cnn": the network is in no file'),
        ({"model__head": "new"}, 'model.head = "new" with model.weights = "random"'),
        ({"model__scaling": "0-255"}, "'0-255' is not understood"),
        ({"model__scaling": "uint8"}, "no inputs of a network that clients train"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        Experiment.quickstart(**settings)


@pytest.mark.parametrize("activation", ["", "softmax", "sigmoid"])
@pytest.mark.parametrize(("outputs", "findings"), [(5, 5), (2, 2), (1, 2), (2, 5)])
def test_a_head_of_findings_has_an_output_for_each_that_does_not_exclude_the_others(
    activation, outputs, findings
):
    head = Head(np.ones((3, outputs), np.float32), np.arange(outputs, dtype=np.float32), activation)
    if outputs == findings and activation != "softmax":
        kernel, bias = head.logits(findings, multilabel=True)
        assert (kernel is head.kernel, bias is head.bias) == (True, True)
        return
    said = (
        "with a softmax, which exclude each other" if outputs == findings else f"the data {findings} findings"
    )
    with pytest.raises(ValueError, match=f"^its last layer has {outputs} output.*{said}"):
        head.logits(findings, multilabel=True)


def test_a_network_of_findings_begins_as_the_file_has_it_and_one_of_classes_is_refused(saved):
    model = network(outputs=3, activation="sigmoid")
    classifier = built(saved(model), classes=3, multilabel=True)
    logits = classifier.deployable(classifier.initial_weights())(IMAGES)
    np.testing.assert_allclose(keras.ops.sigmoid(logits), model(255 * IMAGES), rtol=1e-4, atol=1e-6)
    softmax = saved(network(outputs=3), "softmax.keras")
    with pytest.raises(
        ModelError, match=r'with a softmax.*model.head = "new" for a new last layer of 3 findings'
    ):
        built(softmax, classes=3, multilabel=True)
    assert built(softmax, classes=3, multilabel=True, head="new").multilabel


def test_a_head_of_other_outputs_says_how_many():
    with pytest.raises(ValueError, match="its last layer has 1 output, the data 2 classes"):
        Head(np.ones((3, 1), np.float32), np.zeros(1, np.float32), "").logits(2)
