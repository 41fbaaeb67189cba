import numpy as np
import pytest
import tensorflow as tf

from fedrobust.models import features as module
from fedrobust.models.classifier import build_classifier
from fedrobust.models.feature_file import FeatureCacheNotice, read_features, write_features
from fedrobust.models.features import BATCH, Features, head_logits


@pytest.fixture(scope="module")
def classifier():
    return build_classifier("edge-cnn", native=(16, 16, 1), classes=3, image_size=0, layers="head")


@pytest.fixture
def images(draw):
    return draw.integers(0, 256, (BATCH + 6, 16, 16, 1), np.uint8)


def test_head_on_features_answers_as_the_classifier(classifier, images):
    weights = classifier.initial_weights()
    stored = tf.constant(images, tf.float32) / 255
    expected, _ = classifier.logits(*classifier.arrays(weights), classifier.predicted(stored))
    found = head_logits(Features(classifier).whole(images), classifier, weights.trainable)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_known_image_has_the_features_that_it_has_among_the_known_ones(classifier, images, draw):
    features = Features(classifier, images)
    some = draw.permutation(len(images))[:20]
    np.testing.assert_array_equal(features.of(images[some]), features.of_known[some])


def test_images_that_somebody_changed_are_computed_as_an_array_of_their_own(classifier, images):
    features = Features(classifier, images)
    mixed = images[:4].copy()
    mixed[[1, 3], 0, 0] ^= 255
    found = features.of(mixed)
    np.testing.assert_array_equal(found[[0, 2]], features.of_known[[0, 2]])
    np.testing.assert_array_equal(found[[1, 3]], Features(classifier).whole(mixed[[1, 3]]))
    assert not np.array_equal(found[1], features.of_known[1])


def test_without_known_images_those_of_a_hospital_are_an_array(classifier, images):
    features = Features(classifier)
    np.testing.assert_array_equal(features.of(images), features.whole(images))
    with pytest.raises(ValueError, match="no known images were given"):
        _ = features.of_known


def counting(features, monkeypatch):
    calls = []
    compute = features._computed
    monkeypatch.setattr(features, "_computed", lambda images: calls.append(len(images)) or compute(images))
    return calls


def test_an_array_is_computed_once(classifier, images, monkeypatch):
    features = Features(classifier)
    calls = counting(features, monkeypatch)
    for _ in range(3):
        features.whole(images.copy())
    features.whole(images[:5])
    assert calls == [len(images), 5]


def test_what_was_not_asked_for_lately_leaves_the_memory(classifier, images, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 4 * 128 * 12)
    features = Features(classifier)
    calls = counting(features, monkeypatch)
    for rows in (slice(0, 6), slice(6, 12), slice(0, 6), slice(12, 18), slice(0, 6), slice(6, 12)):
        features.whole(images[rows])
    assert calls == [6, 6, 6, 6]


def test_large_arrays_are_found_on_disk_by_another_process(classifier, images, monkeypatch, tmp_path):
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "LARGE", 4 * 128 * len(images))
    first = Features(classifier, settings={"scaling": "backbone"}).whole(images)
    Features(classifier).whole(images[1:])
    (file,) = (tmp_path / "features").iterdir()

    again = Features(classifier, settings={"scaling": "backbone"})
    calls = counting(again, monkeypatch)
    np.testing.assert_array_equal(again.whole(images), first)
    assert calls == []

    other = Features(classifier, settings={"scaling": "unit"})
    calls = counting(other, monkeypatch)
    other.whole(images)
    assert calls == [len(images)]

    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    damaged = Features(classifier, settings={"scaling": "backbone"})
    calls = counting(damaged, monkeypatch)
    np.testing.assert_array_equal(damaged.whole(images), first)
    assert calls == [len(images)]
    assert read_features(file.stem, first.shape) is not None, "the damaged file was replaced"


def test_another_frozen_part_has_another_name_on_disk(classifier):
    other = build_classifier("edge-cnn", (16, 16, 1), classes=3, image_size=0, layers="head", seed=1)
    assert Features(classifier)._name(b"a") != Features(other)._name(b"a")


def test_a_cache_that_cannot_be_written_is_told(monkeypatch, tmp_path, draw):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path / "file"))
    with pytest.warns(FeatureCacheNotice, match="FEDROBUST_CACHE"):
        write_features("name", np.zeros((2, 3), np.float32))
    assert read_features("name", (2, 3)) is None


def test_files_of_another_size_are_not_taken(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDROBUST_CACHE", str(tmp_path))
    write_features("name", np.arange(6, dtype=np.float32).reshape(2, 3))
    assert read_features("name", (3, 3)) is None
    np.testing.assert_array_equal(read_features("name", (2, 3)), [[0, 1, 2], [3, 4, 5]])
