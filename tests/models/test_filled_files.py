"""Later files of a network with frozen layers are made from its first one, and hold what Keras would write."""

import numpy as np
import pytest

from fedrobust.lazy import keras
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Weights
from fedrobust.models.model_template import FilledFiles, TemplateError, template_around


@pytest.fixture(scope="module")
def classifier():
    return build_classifier("edge-cnn(width=4)", native=(28, 28, 1), classes=2, image_size=0, layers="head")


def drawn(classifier, seed):
    start = classifier.initial_weights()
    values = np.random.default_rng(seed).normal(size=start.trainable.shape)
    return Weights(values.astype(np.float32), start.statistics)


def test_every_file_answers_as_the_model_that_keras_writes(classifier, tmp_path, draw):
    images = draw.random((5, 28, 28, 1)).astype(np.float32)
    for number in range(3):
        weights, path = drawn(classifier, number), tmp_path / f"{number}.keras"
        classifier.save(weights, path)
        opened = keras.models.load_model(path)
        assert classifier.weights_of(opened).digest() == weights.digest()
        np.testing.assert_array_equal(opened(images), classifier.deployable(weights)(images))


def test_keras_writes_the_first_file_alone(classifier, tmp_path):
    files, saved = FilledFiles(), []
    for number in range(3):
        weights, path = drawn(classifier, number), tmp_path / f"{number}.keras"

        def save(weights=weights, path=path):
            saved.append(path.name)
            classifier.deployable(weights).save(path)

        files.write(classifier.layout.unflatten(weights), path, save)
    assert saved == ["0.keras"]


def test_arrays_that_cannot_be_told_apart_make_no_template(classifier, tmp_path):
    start = classifier.initial_weights()
    same = Weights(np.ones_like(start.trainable), start.statistics)
    classifier.deployable(same).save(tmp_path / "ones.keras")
    arrays = classifier.layout.unflatten(same)
    with pytest.raises(TemplateError, match="several of the arrays"):
        template_around(tmp_path / "ones.keras", [arrays[-1], arrays[-1]])
    with pytest.raises(TemplateError, match="holds 0 of 1 arrays"):
        template_around(tmp_path / "ones.keras", [np.full((3, 3), 7.0)])
