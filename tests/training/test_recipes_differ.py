"""Every recipe moves the weights in its own way, also where images are resized: no part of a loss is lost."""

import numpy as np
import pytest

from fedrobust.models.classifier import build_classifier
from fedrobust.models.two_batchnorms import TwoBatchNorms
from fedrobust.spec import build
from fedrobust.training.batches import Batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD
from fedrobust.training.recipes import RECIPES
from fedrobust.training.training_data import TrainingData

SPECS = {
    "awp": "awp(recipe='pgd(epsilon=0.1, steps=2)')",
    "advprop": "advprop(recipe='pgd(epsilon=0.1, steps=2)')",
    "fgsm": "fgsm(epsilon=0.1, random_start=True, share=1.0)",
    "grad-align": "grad-align(epsilon=0.1)",
    "gan-trainer": "gan-trainer(epsilon=0.1)",
    "gradient-penalty": "gradient-penalty(weight=1.0)",
    "plain": "plain()",
    "free": "free(epsilon=0.1, replays=2)",
}
"""Others are their name with epsilon and two steps."""


@pytest.fixture(scope="module")
def moved():
    """Return the weights after two steps of every recipe, from the same weights, images, rates and seed."""
    classifier = build_classifier("edge-cnn(width=4)", (20, 20, 1), 2, image_size=28, seed=1)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (16, 20, 20, 1)).astype(np.uint8)
    data = TrainingData.of(images, (np.arange(16) % 2).astype(np.int32))
    batches = Batches(draw.permutation(16).astype(np.int32).reshape(2, 8), np.array([8, 8], np.int32))
    found = {}
    for name in RECIPES:
        recipe = build(RECIPES, SPECS.get(name, f"{name}(epsilon=0.1, steps=2)"))
        net = classifier if name != "advprop" else TwoBatchNorms(classifier)
        trained, _ = LocalUpdate(net, recipe, SGD())(net.initial_weights(), data, batches, [0.1] * 2, [1, 2])
        found[name] = trained.trainable[: classifier.layout.parameters]
    return found


def test_no_recipe_trains_like_another(moved):
    names = sorted(moved)
    assert {"plain", "gradient-penalty", "grad-align", "trades", "mart"} <= set(names)
    alike = [
        (one, other)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
        if np.array_equal(moved[one], moved[other])
    ]
    assert alike == []
    assert all(np.isfinite(weights).all() for weights in moved.values())
