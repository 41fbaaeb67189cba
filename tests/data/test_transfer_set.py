"""Public images that a student learns from."""

import numpy as np
import pytest

import fedrobust
from fedrobust.data.dataset import DataError
from fedrobust.data.transfer_set import TransferSet, transfer_set

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8), np.uint8)


@pytest.fixture
def labelled():
    return fedrobust.load_dataset("phantom", samples=60)


def written(tmp_path, **arrays):
    path = tmp_path / "public.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("key", ["train_images", "images"])
def test_a_file_of_images_needs_no_labels(tmp_path, key):
    found = transfer_set(written(tmp_path, **{key: IMAGES}), pytest.fail)
    assert (found.name, found.labels, found.image_shape) == ("public", None, (8, 8, 1))
    np.testing.assert_array_equal(found.images[..., 0], IMAGES)


def test_of_a_data_set_it_is_the_training_images(tmp_path, labelled):
    for path in (None, written(tmp_path, train_images=IMAGES, train_labels=np.zeros(7))):
        found = transfer_set(path, lambda: labelled)
        assert found.images is labelled.train.images
        assert found.label_names == labelled.label_names


def test_a_file_without_images_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds train_images or images"):
        transfer_set(written(tmp_path, pictures=IMAGES), pytest.fail)


def test_images_that_are_none_are_refused_as_those_of_data_sets_are(tmp_path):
    with pytest.raises(DataError, match="allowed: uint8"):
        transfer_set(written(tmp_path, images=IMAGES.astype(np.float32)), pytest.fail)


def test_a_student_learns_from_images_without_labels(tmp_path):
    drawn = fedrobust.load_dataset("phantom", samples=80, seed=5)
    run = fedrobust.run(
        data__samples=60,
        federation__rounds=1,
        federation__clients=2,
        evaluation__attacks=[],
        evaluation__examples=0,
        audit__enabled=False,
        export__enabled=False,
        output__report=False,
        distillation__public=str(written(tmp_path, images=drawn.train.images)),
        distillation__epochs=1,
        distillation__copies=1,
        out=tmp_path / "run",
    )
    told = run.record.student.distillation
    assert (told.images, told.copies, told.source) == (80, 1, "public, without labels")
    assert isinstance(TransferSet.of(drawn).labels, np.ndarray)


def test_labels_are_of_the_study_where_names_and_kind_are_the_same():
    """Without names both kinds call their outputs 0, 1, 2: label sets are no classes."""
    given = TransferSet("public", IMAGES, np.zeros(len(IMAGES), np.int32), ("0", "1", "2"))
    assert given.has_labels_of(["0", "1", "2"], False)
    assert not given.has_labels_of(["0", "1", "2"], True)
    assert not given.has_labels_of(["0", "1"], False)
    assert not TransferSet("public", IMAGES).has_labels_of([], False)
