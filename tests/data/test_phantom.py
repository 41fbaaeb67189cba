import numpy as np
import pytest

from fedrobust.data.dataset import DataError
from fedrobust.data.lesions import KINDS
from fedrobust.data.phantom import phantom


def small(**settings):
    return phantom(**({"train": 40, "validation": 16, "test": 16} | settings))


def test_a_seed_gives_the_same_images_and_another_seed_others():
    assert small().digest == small().digest
    assert small().digest != small(seed=1).digest


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", range(2, 9))
def test_shapes_and_classes(classes, channels):
    dataset = small(classes=classes, channels=channels, size=16)
    assert dataset.image_shape == (16, 16, channels)
    assert dataset.classes == classes
    assert dataset.label_names[0] == "benign"
    assert dataset.disease == tuple(range(1, classes))
    for split in dataset.splits.values():
        counts = split.counts(classes)
        assert counts.min() >= 1
        # From 3 to 2, and never steeper than one image of rounding allows.
        assert (np.diff(counts) <= 1).all()


def test_two_classes_are_60_to_40():
    assert small(train=100).train.counts(2).tolist() == [60, 40]


def test_large_images_are_drawn_in_parts_and_are_complete():
    dataset = small(size=224, train=60)
    assert dataset.train.images.std(axis=(1, 2, 3)).min() > 20


def test_neither_brightness_nor_contrast_tells_the_class():
    dataset = phantom(classes=len(KINDS), train=4000, validation=8, test=8)
    images, labels = dataset.train.images.astype(float), dataset.train.labels
    for figure in (images.mean(axis=(1, 2, 3)), images.std(axis=(1, 2, 3))):
        of_class = [figure[labels == label].mean() for label in range(len(KINDS))]
        # The classes' means differ by less than the spread of single images.
        assert np.ptp(of_class) < figure.std()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"classes": 1}, ["data.classes = 1", "2 to 8"]),
        ({"classes": 9}, ["data.classes = 9", "2 to 8"]),
        ({"channels": 2}, ["data.channels = 2", "1 (grey) or 3 (colour)"]),
        ({"size": 15}, ["data.size = 15", "16 pixels or more"]),
        ({"classes": 8, "train": 7}, ["7 phantom images for train", "at least 8"]),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(DataError) as refusal:
        small(**settings)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.slow
def test_a_small_network_learns_what_a_linear_model_cannot():
    keras = pytest.importorskip("keras")
    from sklearn.linear_model import LogisticRegression

    dataset = phantom()
    train, test = dataset.train, dataset.test
    linear = max(
        LogisticRegression(C=penalty, max_iter=100)
        .fit(flat(train), train.labels)
        .score(flat(test), test.labels)
        for penalty in (0.001, 0.01)
    )
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            layers.Input(dataset.image_shape),
            layers.Rescaling(1 / 127.5, -1),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(dataset.classes),
        ]
    )
    network.compile(
        keras.optimizers.Adam(1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    network.fit(train.images, train.labels, batch_size=32, epochs=4, verbose=0)
    accuracy = network.evaluate(test.images, test.labels, verbose=0)[1]
    assert accuracy >= linear + 0.10
    # Benign and malignant overlap by 3.5 % each: who is always right has seen the labels.
    assert 0.85 <= accuracy <= 0.985


def flat(split):
    return split.images.reshape(len(split), -1) / 127.5 - 1
