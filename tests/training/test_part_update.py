import numpy as np
import pytest

from fedrobust.models.architecture import ModelError
from fedrobust.models.classifier import build_classifier
from fedrobust.models.layout import Entry, Layout, LayoutError, Part, Weights
from fedrobust.training.batches import draw_batches
from fedrobust.training.local_update import LocalUpdate
from fedrobust.training.optimizers import SGD, Adam
from fedrobust.training.part_update import PartUpdate
from fedrobust.training.recipes import Plain
from fedrobust.training.steering import Steering
from fedrobust.training.training_data import TrainingData

NET = {"name": "edge-cnn", "native": (16, 16, 1), "classes": 2, "image_size": 0}


@pytest.fixture(scope="module")
def whole():
    return build_classifier(**NET)


@pytest.fixture(scope="module")
def block():
    return build_classifier(**NET, layers="blocks:1")


def given(draw, steps=3):
    images, labels = draw.integers(0, 256, (12, 16, 16, 1), np.uint8), np.array([0, 1] * 6, np.int32)
    batches = draw_batches(np.arange(12), steps, 12, draw)
    return TrainingData.of(images, labels), batches, np.full(steps, 0.1, np.float32), [0, 0]


def test_the_part_learns_as_a_network_with_the_rest_frozen(whole, block, draw):
    data = given(draw)
    start = whole.initial_weights()
    alone, told = LocalUpdate(block, Plain(), SGD())(block.initial_weights(), *data)
    update = PartUpdate(whole, LocalUpdate(block, Plain(), SGD()))
    update.check(start)
    found, metrics = update(start, *data)
    assert metrics == told
    moved = {
        entry.path
        for entry, before, after in zip(
            whole.layout.entries, whole.layout.unflatten(start), whole.layout.unflatten(found), strict=True
        )
        if not np.array_equal(before, after)
    }
    assert moved == {entry.path for entry in block.layout.entries}
    assert update.part.take(found).digest() == alone.digest()


def test_a_part_is_steered_by_its_part_of_the_correction(whole, block, draw):
    data, start, places = given(draw), whole.initial_weights(), Part.of(whole.layout, block.layout).trainable
    correction = draw.normal(size=whole.layout.parameters).astype(np.float32)
    steered = LocalUpdate(block, Plain(), SGD(), steered=True)
    alone, _ = steered(block.initial_weights(), *data, steering=Steering(correction[places]))
    found, _ = PartUpdate(whole, steered)(start, *data, steering=Steering(correction))
    np.testing.assert_array_equal(found.trainable[places], alone.trainable)
    np.testing.assert_array_equal(found.gradient[places], alone.gradient)
    assert not np.delete(found.gradient, places).any()


def test_weights_that_are_not_the_initial_ones_where_nothing_is_trained_are_refused(whole, block):
    update = PartUpdate(whole, LocalUpdate(block, Plain(), SGD()))
    start = whole.initial_weights()
    trainable, statistics = start.trainable.copy(), start.statistics.copy()
    trainable[update.part.trainable] += 1
    statistics[update.part.statistics] += 1
    update.check(Weights(trainable, statistics))
    for vector in (trainable, statistics):
        before, vector[0] = vector[0], vector[0] + 1
        with pytest.raises(ModelError, match="same file of pretrained weights"):
            update.check(Weights(trainable, statistics))
        vector[0] = before


def test_a_part_that_is_none_of_the_whole_is_refused(block):
    other = Layout((Entry("elsewhere/kernel", (2,), "trainable"),))
    with pytest.raises(LayoutError, match="not arrays of the whole"):
        Part.of(block.layout, other)
    with pytest.raises(LayoutError, match="in its order"):
        Part.of(block.layout, Layout(block.layout.entries[::-1]))


@pytest.mark.parametrize("optimizer", [SGD(weight_decay=0.1), Adam()])
def test_the_first_step_below_the_head_is_shorter_by_the_factor(whole, optimizer, draw):
    data = given(draw, steps=1)
    start = whole.initial_weights()
    full, _ = LocalUpdate(whole, Plain(), optimizer)(start, *data)
    part, _ = LocalUpdate(whole, Plain(), optimizer, backbone_rate=0.25)(start, *data)
    steps = zip(
        whole.layout.of("trainable"),
        whole.layout.split(full.trainable - start.trainable, "trainable"),
        whole.layout.split(part.trainable - start.trainable, "trainable"),
        strict=True,
    )
    for entry, wide, short in steps:
        factor = 1.0 if entry.path.startswith("logits/") else 0.25
        np.testing.assert_allclose(short, factor * wide.numpy(), rtol=1e-3, atol=1e-6)
