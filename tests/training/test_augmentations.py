import numpy as np
import pytest
import tensorflow as tf

from fedrobust.data.dataset import Split
from fedrobust.defences.jpeg import JPEG
from fedrobust.models.classifier import build_classifier
from fedrobust.spec import SpecError, build
from fedrobust.training.augmentations import (
    AUGMENTATIONS,
    Affine,
    Blur,
    Contrast,
    Cutout,
    Flip,
    JPEGCompression,
    Mixup,
    Noise,
    augmented,
)
from fedrobust.training.augmentations.blur import kernels
from fedrobust.training.augmentations.contract import uniform
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.losses import BalancedSoftmax
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import Plain
from fedrobust.training.training_data import TrainingData

SEED = tf.constant([3, 5])
LABELS = tf.constant([0, 1] * 20)


@pytest.fixture
def images(draw):
    return tf.constant(draw.random((40, 8, 8, 2)), tf.float32)


def seen(augmentation, images, seed=SEED):
    return np.asarray(augmentation(images, LABELS, seed)[0])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_stays_in_the_range_and_depends_on_its_seed_alone(name, images):
    augmentation = build(AUGMENTATIONS, name)
    targets = tf.one_hot(LABELS, 2)
    graph = tf.function(augmentation)
    one, other, third = (graph(images, targets, tf.constant(seed)) for seed in ([1, 2], [1, 2], [1, 3]))
    assert one[0].shape == images.shape
    assert np.array_equal(one[0], other[0])
    assert not np.array_equal(one[0], third[0])
    assert np.min(one[0]) >= -1e-6
    assert np.max(one[0]) <= 1 + 1e-6
    np.testing.assert_allclose(np.sum(one[1], 1), 1, rtol=1e-5)


def test_a_flip_mirrors_about_half_of_the_images(images):
    before, after = np.asarray(images), seen(Flip(), images)
    mirrored = [np.array_equal(after[i], before[i, :, ::-1]) for i in range(40)]
    same = [np.array_equal(after[i], before[i]) for i in range(40)]
    assert sum(mirrored) + sum(same) == 40
    assert 10 < sum(mirrored) < 30
    both = seen(Flip(vertical=True), images)
    kinds = {
        (bool(h), bool(v))
        for i in range(40)
        for h in (0, 1)
        for v in (0, 1)
        if np.array_equal(both[i], before[i, :: 1 - 2 * v, :: 1 - 2 * h])
    }
    assert len(kinds) == 4


def test_quarter_turns_are_exact(images):
    before = np.asarray(images)
    after = seen(Affine(rotation=0, shift=0, zoom=0, quarter_turns=True), images)
    turns = [
        next(k for k in range(4) if np.allclose(after[i], np.rot90(before[i], k), atol=1e-4))
        for i in range(40)
    ]
    assert set(turns) == {0, 1, 2, 3}


def test_a_shift_moves_pixels_and_repeats_the_edge():
    ramp = tf.tile(tf.reshape(tf.linspace(0.0, 1.0, 11), (1, 1, 11, 1)), (40, 11, 1, 1))
    after = seen(Affine(rotation=0, shift=0.2, zoom=0, shear=0), ramp)
    steps = np.diff(after, axis=2)
    assert (steps > -1e-6).all()
    assert (steps < 0.1 + 1e-6).all()
    moved = after[:, 5, 5, 0] - 0.5
    assert np.abs(moved).max() <= 0.2 * 11 / 10 + 1e-6
    assert moved.min() < -0.1 < 0.1 < moved.max()


def test_a_zoom_stays_around_the_centre():
    disc = np.zeros((40, 21, 21, 1), np.float32)
    y, x = np.mgrid[:21, :21] - 10
    disc[:, x**2 + y**2 <= 25] = 1.0
    area = seen(Affine(rotation=180, shift=0, zoom=0.3), tf.constant(disc)).sum((1, 2, 3)) / disc[0].sum()
    assert area.min() > 0.5
    assert area.max() < 2.3
    assert area.max() - area.min() > 0.4


def test_contrast_keeps_the_order_of_the_pixels_and_noise_its_size(images):
    flat = tf.fill([40, 8, 8, 1], 0.5)
    after = seen(Contrast(contrast=0.5, brightness=0.2), flat)
    assert np.ptp(after, axis=(1, 2, 3)).max() < 1e-6
    assert 0.3 <= after.min() < 0.4 < 0.6 < after.max() <= 0.7
    noisy = seen(Noise(deviation=0.1), flat)
    assert np.std(noisy) == pytest.approx(0.1, rel=0.1)
    low, high = np.quantile(np.asarray(images), [0.2, 0.4])
    middle = tf.clip_by_value(images, low, high)
    changed = seen(Contrast(contrast=0.2, brightness=0.05), middle)
    for before, now in zip(np.asarray(middle), changed, strict=True):
        order = np.argsort(before.ravel())
        assert (np.diff(now.ravel()[order]) >= -1e-6).all()


def test_noise_for_randomised_smoothing_is_that_of_certificates():
    """Clipped, a black pixel gets a mean of sigma / sqrt(2 pi), and about a third of the variance."""
    black = tf.zeros([60, 12, 12, 1])
    noisy, clipped = (seen(Noise(deviation=0.2, clip=clip), black) for clip in (False, True))
    assert noisy.mean() == pytest.approx(0.0, abs=0.01)
    assert noisy.std() == pytest.approx(0.2, rel=0.05)
    assert clipped.mean() == pytest.approx(0.2 / np.sqrt(2 * np.pi), rel=0.05)
    np.testing.assert_array_equal(clipped, np.clip(noisy, 0, 1))


def test_cutout_covers_a_square_with_the_images_mean(images):
    before, after = np.asarray(images), seen(Cutout(side=0.5), images)
    for one, other in zip(before, after, strict=True):
        changed = (one != other).any(-1)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert 0 < len(rows) <= 5
        assert changed.sum() == len(rows) * len(columns)
        np.testing.assert_allclose(other[changed], one.mean(), rtol=1e-5)


def test_mixup_blends_images_and_labels_by_the_same_share(images):
    targets = tf.one_hot(tf.range(40), 40)
    after, mixed = Mixup(alpha=1.0)(images, targets, SEED)
    np.testing.assert_allclose(
        np.tensordot(np.asarray(mixed), np.asarray(images), 1), np.asarray(after), atol=1e-5
    )
    share = np.diag(np.asarray(mixed))
    assert 0.3 < share.mean() < 0.7
    assert share.min() < 0.2 < 0.8 < share.max()


def test_each_of_several_augmentations_draws_its_own(images):
    twice, _ = augmented((Noise(deviation=0.1), Noise(deviation=0.1)), images * 0 + 0.5, LABELS, SEED)
    once, _ = augmented((Noise(deviation=0.1),), images * 0 + 0.5, LABELS, SEED)
    noise = (np.asarray(twice) - np.asarray(once)).ravel()
    assert abs(np.corrcoef(noise, (np.asarray(once) - 0.5).ravel())[0, 1]) < 0.05


def test_a_local_update_augments_each_step_anew(draw):
    classifier = build_classifier("edge-cnn", native=(16, 16, 1), classes=2, image_size=0)
    split = Split(draw.integers(0, 256, (8, 16, 16, 1), np.uint8), np.array([0, 1] * 4, np.int32))
    shown = []

    def recipe(batch):
        shown.append(batch.targets.shape.rank)
        return Plain()(batch._replace(train=batch.train))

    update = LocalUpdate(
        classifier, recipe, SGD(), loss=BalancedSoftmax(), augmentations=(Flip(), Mixup(alpha=0.4))
    )
    start, data = classifier.initial_weights(), TrainingData.of(split.images, split.labels)
    rows, sizes = np.tile(np.arange(8, dtype=np.int32), (2, 1)), np.array([8, 8], np.int32)

    def losses(steps, seed):
        batches = Batches(rows[:steps], sizes[:steps])
        return update(start, data, batches, [0.0] * steps, seed, prior=[0.5, 0.5])[1]["loss"]

    first = losses(1, [4, 0])
    assert losses(1, [4, 0]) == first
    assert losses(2, [4, 0]) == pytest.approx((first + losses(1, [4, 1])) / 2, rel=1e-5)
    assert losses(1, [4, 1]) != first
    assert set(shown) == {2}


def test_a_blur_is_that_of_scipy_away_from_the_edge(images):
    from scipy.ndimage import gaussian_filter

    point = np.zeros((40, 31, 21, 2), np.float32)
    point[:, 15, 10] = [0.9, 0.5]
    after = seen(Blur(deviation=1.5), tf.constant(point))
    deviations = np.asarray(uniform(SEED, 0, [40], 0.0, 1.5))
    for one, before, deviation in zip(after, point, deviations, strict=True):
        expected = gaussian_filter(before, (deviation, deviation, 0), truncate=8)
        # SciPy samples the kernel, too, but a Gaussian of a fifth of a pixel in another precision.
        np.testing.assert_allclose(one, expected, atol=1e-5)
    assert after.sum((1, 2, 3)) == pytest.approx(point.sum((1, 2, 3)), rel=1e-5)


def test_a_blur_of_no_width_changes_nothing_and_kernels_sum_to_one_at_the_edge():
    none, wide = np.asarray(kernels(tf.constant([0.0, 3.0]), 6))
    np.testing.assert_allclose(none, np.eye(6), atol=1e-6)
    np.testing.assert_allclose(wide.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(wide[0] / wide[0, 0], np.exp(-(np.arange(6) ** 2) / 18), rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_compressed_as_the_defence_does_at_one_of_the_qualities(draw, channels):
    images = draw.random((40, 12, 9, channels), np.float32)
    after = seen(JPEGCompression(lowest=20, highest=22), tf.constant(images))
    each = [np.asarray(JPEG(quality=quality)(tf.constant(images))) for quality in (20, 21, 22)]
    chosen = [[np.allclose(after[i], other[i], atol=1e-6) for other in each].index(True) for i in range(40)]
    assert set(chosen) == {0, 1, 2}


def test_a_range_of_qualities_that_is_none_is_refused():
    with pytest.raises(SpecError, match="choose lowest <= highest"):
        build(AUGMENTATIONS, "jpeg(lowest=90, highest=50)")
