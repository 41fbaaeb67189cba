from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from fedrobust.data.dataset import Split
from fedrobust.evaluation.robustness import clean_logits, even_batches, examples, robustness
from fedrobust.evasion.models.compiled import CompiledModel
from fedrobust.models.classifier import Classifier
from fedrobust.models.layout import Entry, Layout
from fedrobust.models.preparation import Preparation


def split(draw, n=50):
    return Split(
        draw.integers(0, 256, (n, 4, 4, 1)).astype(np.uint8), draw.integers(0, 2, n).astype(np.int32)
    )


def test_a_linear_models_robust_accuracy_is_its_margins(linear_classifier, draw):
    """Without clipping, epsilon breaks an image exactly if the margin is under epsilon |w_other - w_label|_1."""
    weights = linear_classifier.initial_weights()
    kernel, bias = linear_classifier.layout.unflatten(weights)
    stored = draw.integers(64, 192, (50, 4, 4, 1)).astype(np.uint8)
    x = stored.reshape(50, 16) / 255.0
    logits = x @ kernel + bias
    labels = logits.argmax(1).astype(np.int32)
    labels[:5] = 1 - labels[:5]
    images = Split(stored, labels)
    rows = np.arange(50)
    margin = logits[rows, images.labels] - logits[rows, 1 - images.labels]
    reach = np.abs(kernel[:, 0] - kernel[:, 1]).sum()
    measured = robustness(
        CompiledModel.of(linear_classifier), weights, images, [0.01, "8/255", 0.2], batch_size=7
    )
    assert measured.clean.correct == np.sum(margin > 0)
    for epsilon, name in [(0.01, "0.01"), (8 / 255, "8/255"), (0.2, "0.2")]:
        assert measured.attacked["fgsm"][name].correct == np.sum(margin > epsilon * reach)
    assert 0 < measured.attacked["fgsm"]["0.2"].correct < measured.clean.correct


def test_workers_and_batches_do_not_change_the_result(linear_classifier, draw):
    weights, images = linear_classifier.initial_weights(), split(draw)
    compiled = CompiledModel.of(linear_classifier)
    alone = robustness(compiled, weights, images, [0.01])
    with ThreadPoolExecutor(3) as pool:
        together = robustness(compiled, weights, images, [0.01], map=pool.map)
    assert alone == together
    assert clean_logits(compiled, weights, images.images, batch_size=3).shape == (50, 2)


def test_batches_cover_everything_once():
    for n in (1, 3, 4, 5, 156, 624, 2005):
        batches = even_batches(n, 128)
        np.testing.assert_array_equal(np.concatenate(batches), np.arange(n))
        assert max(map(len, batches)) <= 128


def test_examples_grow_with_epsilon_and_start_clean(linear_classifier, draw):
    images = split(draw)
    shown = examples(
        CompiledModel.of(linear_classifier),
        linear_classifier.initial_weights(),
        images,
        ["8/255", 0.01, 0.2],
        5,
    )
    assert shown.images.shape == (5, 4, 4, 4, 1)
    assert shown.epsilon_names.tolist() == ["0", "0.01", "8/255", "0.2"]
    first_class_0, first_class_1 = (np.flatnonzero(images.labels == label)[0] for label in (0, 1))
    np.testing.assert_allclose(shown.images[0, 0], images.images[first_class_0] / np.float32(255), atol=1e-6)
    np.testing.assert_allclose(shown.images[1, 0], images.images[first_class_1] / np.float32(255), atol=1e-6)
    sizes = np.abs(shown.images - shown.images[:, :1]).max(axis=(0, 2, 3, 4))
    np.testing.assert_allclose(sizes, shown.epsilons, atol=1e-6)
    np.testing.assert_allclose(shown.probabilities.sum(-1), 1, atol=1e-5)
    right = shown.probabilities[np.arange(5), :, shown.labels]
    assert (np.diff(right, axis=1) <= 1e-6).all(), "a linear model's confidence only falls"


@pytest.fixture
def wave():
    """Logits sin 20 (mean - 0.45) and minus that: one long step of a sign ends behind the next crest."""
    inputs = keras.Input((2, 2, 1))
    mean = keras.layers.Dense(1, name="mean")(keras.layers.Flatten()(inputs))
    crest = keras.ops.sin(mean)
    network = keras.Model(inputs, keras.layers.Concatenate()([crest, -crest]))
    layout = Layout((Entry("mean/kernel", (4, 1), "trainable"), Entry("mean/bias", (1,), "trainable")))
    classifier = Classifier("wave", Preparation((2, 2, 1), (2, 2, 1)), network, layout)
    return classifier, layout.flatten([np.full((4, 1), 20 / 4), np.array([-9.0])])


def test_fgsm_is_one_step_from_the_clean_image_at_every_epsilon(wave):
    """It is shown as it is: what a short step breaks and a long one does not stands at the larger epsilon.

    Other attacks keep the best adversary: what is broken at an epsilon is broken at every larger one.
    """
    classifier, weights = wave
    compiled, epsilons = CompiledModel.of(classifier), [0.3, 0.01, 0.1]
    grey = Split(np.full((3, 2, 2, 1), 128, np.uint8), np.zeros(3, np.int32))
    measured = robustness(compiled, weights, grey, epsilons, attacks=("fgsm", "pgd(steps=3)"))
    assert measured.clean.correct == 3
    correct = {
        attack: {epsilon: metrics.correct for epsilon, metrics in curve.items()}
        for attack, curve in measured.attacked.items()
    }
    assert correct["fgsm"] == {"0.01": 3, "0.1": 0, "0.3": 3}
    assert correct["pgd(steps=3)"] == {"0.01": 3, "0.1": 0, "0.3": 0}
    shown = examples(compiled, weights, grey, epsilons, 1)
    np.testing.assert_allclose(
        shown.images[0, :, 0, 0, 0], 128 / 255 - np.array([0, 0.01, 0.1, 0.3]), atol=1e-6
    )
    assert (shown.probabilities[0, :, 0] > 0.5).tolist() == [True, True, False, True]
