"""JPEG, median and total variation against Pillow, SciPy and their definitions; what every defence keeps to."""

import io
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from scipy.ndimage import median_filter

from fedrobust import api
from fedrobust.audit import Plan
from fedrobust.audit.images import chosen_split
from fedrobust.audit.table import THROUGH_ROUNDINGS, attack_table
from fedrobust.defences import DEFENCES
from fedrobust.defences.bit_depth import BitDepth
from fedrobust.defences.contract import is_learned, is_vote
from fedrobust.defences.fitting import Fitting
from fedrobust.defences.jpeg import JPEG, cosines, quantisation_steps
from fedrobust.defences.median import Median
from fedrobust.defences.median_network import median_network, median_of
from fedrobust.defences.total_variation import TotalVariation, differences, divergence
from fedrobust.edge.export import export
from fedrobust.edge.interpreter import Interpreter
from fedrobust.evasion import BoundModel, CompiledModel, Threat, attack
from fedrobust.evasion.models.model_file import open_model
from fedrobust.models.classifier import build_classifier
from fedrobust.spec import build

SHORT = [name if name != "total-variation" else "total-variation(steps=2)" for name in sorted(DEFENCES)]
"""All defences, with few steps."""


def made(spec, images):
    """Return a defence; a learned one after two steps on `images`."""
    defence = build(DEFENCES, spec)
    if not is_learned(defence):
        return defence
    labels = np.arange(len(images), dtype=np.int32) % 2
    halves = tf.constant(
        np.random.default_rng(0).normal(size=(int(np.prod(images.shape[1:])), 2)), tf.float32
    )
    to = Fitting(images, labels, lambda shown: tf.reshape(shown, (-1, halves.shape[0])) @ halves, seed=0)
    return replace(defence, steps=2, width=4).fitted(to)


def pictures(n=2, height=28, width=28, channels=1):
    """Return smooth images with edges and some noise, as 8-bit files hold them, in [0, 1]."""
    draw = np.random.default_rng(5)
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack(
        [
            120 + 60 * np.sin(rows / (4 + n_) + k) + 40 * (columns > width // 2) * (k + 1) / channels
            for n_ in range(n)
            for k in range(channels)
        ]
    ).reshape(n, channels, height, width)
    noisy = smooth.transpose(0, 2, 3, 1) + draw.normal(0, 8, (n, height, width, channels))
    return (np.clip(noisy, 0, 255).astype(np.uint8) / np.float32(255)).astype(np.float32)


def by_pillow(image, quality):
    pixels = np.round(image * 255).astype(np.uint8)
    with io.BytesIO() as file:
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        picture.save(file, "JPEG", quality=quality, subsampling=0)
        return np.asarray(Image.open(file)).reshape(pixels.shape).astype(float)


@pytest.mark.parametrize("quality", [10, 40, 75, 95])
@pytest.mark.parametrize("shape", [(28, 28, 1), (30, 17, 1), (32, 24, 3), (28, 28, 3)])
def test_jpeg_is_that_of_pillow_up_to_rounding(quality, shape):
    images = pictures(3, *shape)
    found = np.asarray(JPEG(quality=quality)(images)) * 255
    expected = np.stack([by_pillow(image, quality) for image in images])
    changed = np.abs(expected - images * 255).mean()
    # libjpeg's integer cosine transform decides otherwise where a coefficient is half a step: often at small steps.
    assert np.abs(found - expected).mean() < (0.08 if quality < 90 else 0.3) * changed
    assert (found == expected).mean() > (0.75 if quality < 90 else 0.4)
    assert np.abs(found - np.round(found)).max() < 1e-3


def test_cosines_are_orthonormal_and_a_flat_block_has_one_coefficient():
    matrix = cosines(24)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(24), atol=1e-6)
    flat = matrix @ np.ones(24)
    np.testing.assert_allclose(flat[[0, 8, 16]], np.sqrt(8), rtol=1e-6)
    assert np.abs(np.delete(flat, [0, 8, 16])).max() < 1e-6


@pytest.mark.parametrize(("share", "slope"), [(0.0, 0.1), (0.25, 1.0), (0.5, 1.9)])
def test_attacks_see_which_coefficients_of_jpeg_change(share, slope):
    """The image is one coefficient, at a share of its quantisation step."""
    rows = cosines(8)
    pattern = np.outer(rows[2], rows[1])[None, :, :, None].astype(np.float32)  # of length 1
    step = quantisation_steps(50, 1, 8, 8)[0, 2, 1]
    image = tf.constant(128 / 255 + share * step * pattern / 255)
    with tf.GradientTape() as tape:
        tape.watch(image)
        along = tf.reduce_sum(JPEG(quality=50).stand_in(image) * pattern)
    found = float(tf.reduce_sum(tape.gradient(along, image) * pattern))
    assert found == pytest.approx(slope, abs=1e-3)


def test_the_stand_in_of_jpeg_is_near_to_it():
    for channels in (1, 3):
        images = pictures(2, 28, 20, channels)
        real = np.asarray(JPEG(quality=50)(images))
        soft = np.asarray(JPEG(quality=50).stand_in(images))
        assert np.abs(soft - real).mean() < 0.6 * np.abs(images - real).mean()


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_median_is_that_of_scipy(size, channels):
    images = pictures(2, 20, 15, channels)
    expected = median_filter(images, size=(1, size, size, 1), mode="nearest")
    np.testing.assert_array_equal(np.asarray(Median(size=size)(images)), expected)


@pytest.mark.parametrize("size", [3, 5])
def test_the_saved_median_answers_to_the_bit_as_the_one_that_attacks_differentiate(size):
    images = pictures(3, 20, 15, 3)
    inputs = keras.Input(images.shape[1:])
    saved = keras.Model(inputs, Median(size=size)(inputs))
    np.testing.assert_array_equal(np.asarray(saved(images)), np.asarray(Median(size=size)(images)))


@pytest.mark.parametrize("size", [3, 5])
def test_the_gradient_of_the_median_is_that_of_the_pixel_that_is_the_median(size):
    images = np.random.default_rng(0).random((2, 9, 8, 1), np.float32)
    with tf.GradientTape() as tape:
        shown = tf.constant(images)
        tape.watch(shown)
        total = tf.reduce_sum(Median(size=size)(shown))
    # No two pixels are equal: a pixel counts as often as it is the median of a neighbourhood.
    medians = median_filter(images, size=(1, size, size, 1), mode="nearest")
    counts = (images[:, :, :, None, None] == medians[:, None, None, :, :]).sum(axis=(3, 4))
    np.testing.assert_array_equal(np.asarray(tape.gradient(total, shown))[..., 0], counts[..., 0])


def test_the_gradient_of_the_median_of_a_flat_image_is_that_of_each_pixel_itself():
    with tf.GradientTape() as tape:
        flat = tf.fill((1, 6, 6, 1), 0.5)
        tape.watch(flat)
        second = Median()(flat)[0, 2, 3, 0]
    assert np.argwhere(np.asarray(tape.gradient(second, flat))).tolist() == [[0, 2, 3, 0]]


def test_a_median_of_nine_is_found_whatever_their_order():
    # The 0-1 principle (Knuth, volume 3, section 5.3.4, theorem Z): it is enough to try zeros and ones.
    zeros_and_ones = ((np.arange(2**9)[:, None] >> np.arange(9)) & 1).astype(np.float32)
    found = median_of(list(zeros_and_ones.T))
    np.testing.assert_array_equal(np.asarray(found), np.median(zeros_and_ones, axis=1))
    assert (len(median_network(9)), len(median_network(25))) == (22, 113)


def test_a_median_is_exported_with_integers_alone(tmp_path):
    classifier = build_classifier("edge-cnn(width=8)", native=(28, 28, 1), classes=2, image_size=28)
    model = classifier.with_defence(Median()).deployable(classifier.initial_weights())
    images = pictures(40)
    file = export(model, tmp_path, ["int8"], images)["int8"]
    logits = np.asarray(model(images, training=False))
    assert np.abs(Interpreter.open(file).logits(images) - logits).max() < 0.1 * np.abs(logits).max()


def test_divergence_is_minus_the_adjoint_of_differences():
    draw = np.random.default_rng(0)
    image, down, right = (draw.normal(size=(1, 7, 9, 1)).astype(np.float32) for _ in range(3))
    down[:, -1], right[:, :, -1] = 0, 0
    one, two = (np.asarray(each) for each in differences(image))
    left = (one * down).sum() + (two * right).sum()
    assert left == pytest.approx(-(image * np.asarray(divergence(down, right))).sum(), rel=1e-4)


def objective(smoothed, image, weight):
    steps = (
        np.diff(smoothed, axis=1, append=smoothed[:, -1:]),
        np.diff(smoothed, axis=2, append=smoothed[:, :, -1:]),
    )
    return ((smoothed - image) ** 2).sum() / (2 * weight) + np.sqrt(steps[0] ** 2 + steps[1] ** 2).sum()


def test_total_variation_comes_near_the_minimum():
    image, draw = pictures(1, 16, 16), np.random.default_rng(1)
    found = {steps: np.asarray(TotalVariation(weight=0.1, steps=steps)(image)) for steps in (5, 20, 100)}
    values = [objective(each, image, 0.1) for each in found.values()]
    assert objective(image, image, 0.1) > values[0] > values[1] > values[2]
    best = values[2]
    for size in (0.003, 0.01):
        other = found[100] + size * draw.normal(size=image.shape).astype(np.float32)
        assert objective(other, image, 0.1) > best


def test_a_large_weight_leaves_the_mean():
    image = pictures(1, 8, 8)
    smoothed = np.asarray(TotalVariation(weight=20.0, steps=100)(image))
    assert smoothed.std() < 0.1 * image.std()
    assert smoothed.mean() == pytest.approx(image.mean(), abs=2e-3)


@pytest.mark.parametrize("name", [name for name in sorted(DEFENCES) if not is_vote(DEFENCES[name])])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_defended_image_is_an_image_and_each_is_defended_alone(name, channels):
    images = pictures(3, 28, 20, channels)
    defence = made(name, images)
    found = np.asarray(defence(images))
    assert found.shape == images.shape
    assert (found.min(), found.max()) >= (0.0, 0.0)
    assert found.max() <= 1.0
    assert not np.array_equal(found, images)
    np.testing.assert_allclose(np.asarray(defence(images[1:2])), found[1:2], atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name.partition("(")[0] in {"ape-gan", "rectifier", "total-variation"}
        else name
        for name in SHORT
    ],
)
def test_the_file_and_the_edge_model_have_the_defence_and_attacks_a_gradient(name, tmp_path):
    images = pictures(4, 16, 16)
    model = build_classifier("edge-cnn", (16, 16, 1), 2, image_size=0, defence=made(name, images))
    weights = model.initial_weights()
    bound = BoundModel.of(CompiledModel.of(model), weights)
    found = bound.gradient(images, np.zeros(4, np.int32), "cross-entropy")
    assert np.isfinite(found.gradients).all()
    assert (np.abs(found.gradients).reshape(4, -1).max(1) > 0).all()
    model.save(weights, tmp_path / "model.keras")
    opened = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(np.asarray(opened(images)), found.logits, atol=1e-4)
    paths = export(model.deployable(weights), tmp_path, ("float32",))
    edge = Interpreter.open(paths["float32"], batch=4)
    np.testing.assert_allclose(edge.logits(images), found.logits, atol=1e-3)


@pytest.mark.parametrize("defence", [JPEG(quality=50), BitDepth(bits=3)])
def test_the_roundings_of_a_file_hide_nothing_from_a_table_of_attacks(defence, tmp_path):
    """The gradient of the file itself is zero, so that no attack along it changes an image."""
    dataset = api.load_dataset("phantom")
    classifier = build_classifier("edge-cnn", dataset.image_shape, 2, image_size=0, defence=defence)
    weights, path, spec = classifier.initial_weights(), tmp_path / "model.keras", "bim(steps=8)"
    classifier.save(weights, path)
    own = open_model(path, dataset.image_shape, 2).target
    images, labels, _ = chosen_split(dataset, "test", 40)
    images = own.compiled.images(images)
    assert not own.gradient(images, labels, "margin").gradients.any()
    studied = BoundModel.of(CompiledModel.of(classifier), weights)
    right = own.logits(images).argmax(1) == labels
    broken = int((attack(studied, images, labels, spec, Threat(), [0.2]).success[0] & right).sum())
    assert broken > 10
    table = attack_table(path, dataset, Plan(epsilon=0.2, curve=(0.2,)), [spec], images=40)
    assert table.attacked[0].broken >= 0.8 * broken
    assert THROUGH_ROUNDINGS in table.notes
