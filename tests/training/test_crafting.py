import numpy as np
import pytest

from fedrobust.models.layout import Weights
from fedrobust.training.crafting import BATCH, Crafting


@pytest.mark.parametrize("ascend", [True, False])
@pytest.mark.parametrize(
    ("epsilon", "steps", "step_size", "moved"),
    [(0.1, 1, 0.04, 0.04), (0.1, 2, 0.04, 0.08), (0.1, 4, 0.04, 0.1), (0.3, 1, 0.3, 0.3)],
)
def test_a_linear_models_images_move_by_the_formula(
    linear_classifier, draw, ascend, epsilon, steps, step_size, moved
):
    """x + sign(w_other - w_label) times what the steps come to, up the loss or down it, in grey levels."""
    images = draw.integers(0, 256, (BATCH + 6, 4, 4, 1)).astype(np.uint8)
    labels = draw.integers(0, 2, BATCH + 6).astype(np.int32)
    weights = linear_classifier.initial_weights()
    kernel, _ = linear_classifier.layout.unflatten(weights)
    direction = np.sign(kernel[:, 1 - labels] - kernel[:, labels]).T.reshape(images.shape)
    found = Crafting(linear_classifier)(
        weights, images, labels, epsilon=epsilon, steps=steps, step_size=step_size, ascend=ascend
    )
    expected = np.clip(images / 255.0 + (moved if ascend else -moved) * direction, 0, 1) * 255
    assert found.dtype == np.uint8
    # 0.5 where a product of float32 lies on the border of two grey levels.
    np.testing.assert_allclose(found, expected, atol=0.501)
    assert (found != images).mean() > 0.9


def test_the_gradient_is_that_of_the_weights_given(linear_classifier, draw):
    images = draw.integers(100, 150, (4, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 0, 1], np.int32)
    weights = linear_classifier.initial_weights()
    other = Weights(-weights.trainable, weights.statistics)
    settings = {"epsilon": 0.1, "steps": 1, "step_size": 0.1, "ascend": True}
    craft = Crafting(linear_classifier)
    one, two = craft(weights, images, labels, **settings), craft(other, images, labels, **settings)
    np.testing.assert_allclose(one.astype(int) - images, images - two.astype(int), atol=1)


def test_a_model_that_is_sure_is_followed_all_the_same(linear_classifier, draw):
    images = draw.integers(100, 150, (4, 4, 4, 1)).astype(np.uint8)
    labels = np.array([0, 1, 0, 1], np.int32)
    weights = linear_classifier.initial_weights()
    sure = Weights(weights.trainable * np.float32(1e4), weights.statistics)
    settings = {"epsilon": 0.1, "steps": 1, "step_size": 0.1, "ascend": True}
    craft = Crafting(linear_classifier)
    np.testing.assert_array_equal(
        craft(sure, images, labels, **settings), craft(weights, images, labels, **settings)
    )
