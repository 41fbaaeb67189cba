"""Small models trained on phantoms, with and without adversarial training, and broken copies of them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from fedrobust.audit import AttackCache, ModelUnderAudit, Plan, audit
from fedrobust.config import Experiment
from fedrobust.evasion.models.model_file import open_model
from fedrobust.models.recalibration import Recalibration
from fedrobust.study import Study

EPSILON = "3/255"
IMAGES = 120
SETTINGS = {
    "data__samples": 1500,
    "model__name": f"{__name__}:strided",
    "federation__clients": 1,
    "federation__rounds": 1,
    "training__epochs": 10,
    "training__schedule": "cosine",
}


def strided(height, width, channels) -> keras.Model:
    """The cheapest network that learns to stand attacks on phantoms: most of an audit is answers of the model."""
    x = inputs = keras.Input((height, width, channels))
    for filters, kernel, strides in ((16, 4, 4), (32, 3, 2)):
        x = keras.layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.fixture(scope="session")
def phantom():
    return Study.of(Experiment.quickstart(**SETTINGS)).dataset


def trained(**settings) -> keras.Model:
    study = Study.of(Experiment.quickstart(**SETTINGS, **settings))
    classifier, weights = study.initial()
    weights, _ = study.local_training(study.dataset.train, weights, round=1, client=0)
    weights = Recalibration(classifier)(weights, study.dataset.validation.images)
    return classifier.deployable(weights)


@pytest.fixture(scope="session")
def undefended():
    return trained()


@pytest.fixture(scope="session")
def defended():
    return trained(training__recipe="pgd(epsilon='5/255', steps=2)", training__learning_rate=0.01)


@keras.saving.register_keras_serializable("tests")
class Wrapped(keras.Model):
    """A model behind something that is done to its images, and before something that is done to its logits."""

    def __init__(self, model, before=lambda images: images, after=lambda logits: logits):
        super().__init__(name=model.name)
        self.model, self.before, self.after = model, before, after

    def call(self, images, training=False):
        return self.after(self.model(self.before(images), training=training))


def wrapped(model, **around) -> keras.Model:
    inputs = keras.Input((28, 28, 1))
    return keras.Model(inputs, Wrapped(model, **around)(inputs))


def jpeg(images):
    """Compress and decompress: TensorFlow has no gradient for it."""
    bytes_ = tf.cast(images * 255, tf.uint8)

    def one(image):
        return tf.io.decode_jpeg(tf.io.encode_jpeg(image, quality=75), channels=1)

    decoded = tf.map_fn(one, bytes_, fn_output_signature=tf.uint8)
    return tf.reshape(tf.cast(decoded, tf.float32) / 255, tf.shape(images))


def steps(images):
    """Sixteen grey levels: a staircase, whose gradient is zero everywhere."""
    return tf.round(images * 15) / 15


class Noise(keras.layers.Layer):
    """Noise that does not stop at inference time."""

    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(1)

    def call(self, images):
        return images + keras.random.normal(tf.shape(images), stddev=0.05, seed=self.generator)


class RandomLogits(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.generator = keras.random.SeedGenerator(2)

    def call(self, logits):
        return 0 * logits + keras.random.normal(tf.shape(logits), seed=self.generator)


def with_broken_batchnorm(model) -> keras.Model:
    """Moving statistics as they were before the training: the trap of momentum 0.99 and a few steps."""
    broken = keras.models.clone_model(model)
    broken.set_weights(model.get_weights())

    def layers(one):
        for layer in one.layers:
            yield from layers(layer) if hasattr(layer, "layers") else [layer]

    for layer in layers(broken):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(tf.zeros_like(layer.moving_mean))
            layer.moving_variance.assign(tf.ones_like(layer.moving_variance))
    return broken


@pytest.fixture(scope="session")
def broken(undefended):
    """Models whose robustness is only apparent, by name."""
    return {
        "temperature": wrapped(undefended, after=lambda logits: logits * 500),
        "step activation": wrapped(undefended, before=steps),
        "jpeg": wrapped(undefended, before=jpeg),
        "constant": wrapped(undefended, after=lambda logits: 0 * logits + tf.constant([3.0, 0.0])),
        "random logits": wrapped(undefended, after=RandomLogits()),
        "batchnorm": with_broken_batchnorm(undefended),
        "noise": wrapped(undefended, before=Noise()),
    }


@pytest.fixture(scope="session")
def audited(phantom):
    """Return the card of a model on `count` test images of the phantom, with the outcome of each check by name."""

    @cache
    def open_once(model):
        """A model is traced when it is opened and asked."""
        return open_model(model, phantom.image_shape, phantom.classes)

    def audited(model, folder=None, map=None, effort="quick", count=IMAGES, **about):
        opened = open_once(model)
        images = phantom.test.images[:count]
        labels = phantom.test.labels[:count]
        native = images.astype(np.float32) / np.float32(255)
        audited = ModelUnderAudit(
            "model",
            opened.target,
            native,
            labels,
            "digest",
            {
                "name": "phantom",
                "digest": "",
                "labels": list(phantom.label_names),
                "disease": list(phantom.disease),
            },
            opened.output,
            in_training_mode=lambda: opened.answers(native, training=True),
        )
        audited = replace(audited, **about)
        with ThreadPoolExecutor(2) as pool:
            card = audit(AttackCache(audited, Plan(epsilon=EPSILON, effort=effort), folder, map or pool.map))
        checks = {finding.check: finding for finding in card.findings}
        failed = {finding.check for finding in card.findings if finding.failed}
        return SimpleNamespace(card=card, word=card.verdict.word, checks=checks, failed=failed)

    return audited
