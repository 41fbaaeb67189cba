import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.study import Study
from fedrobust.training.head_update import HeadUpdate
from fedrobust.training.local_update import LocalUpdate

SMALL = {"model__name": "edge-cnn", "model__image_size": 16, "data__samples": 120, "federation__clients": 4}


def study(**settings) -> Study:
    return Study(Experiment.of(training__layers="head", **SMALL, **settings))


@pytest.mark.parametrize("data", [{}, {"data__augment": 2}, {"data__augment": 2, "data__undersample": True}])
def test_a_clients_round_is_the_same_with_and_without_the_cache(data):
    cached, computed = study(**data), study(**data, training__cache_features=False)
    start, shard = cached.initial()[1], cached.shard(1)
    assert isinstance(cached.update_of(cached.experiment.training), HeadUpdate)
    assert isinstance(computed.update_of(computed.experiment.training), LocalUpdate)
    training = cached.local_training
    found, metrics = training(shard, start, round=2, client=1)
    resampled = training.resampled(shard, 2, 1, views=True)
    again, _ = computed.local_training.__class__(
        computed.experiment.training,
        computed.experiment.data.model_copy(update={"augment": 0, "undersample": False}),
        rounds=5,
        problem=computed.problem,
        seed=0,
        update=computed.update_of,
    )(resampled, start, round=2, client=1)
    np.testing.assert_allclose(found.trainable, again.trainable, atol=1e-5)
    assert metrics["num-examples"] == len(shard)


def test_moved_copies_are_drawn_once_where_their_features_are_kept():
    training = study(data__augment=2).local_training
    shard = study().shard(0)
    first, second = (training.resampled(shard, round, 0, views=True) for round in (1, 2))
    np.testing.assert_array_equal(first.images, second.images)
    assert len(first) == 3 * len(shard)
    drawn = [training.resampled(shard, round, 0).images for round in (1, 2)]
    assert not np.array_equal(*drawn)
    other = training.resampled(shard, 1, 1, views=True)
    assert not np.array_equal(first.images, other.images)


@pytest.mark.parametrize(
    "changed",
    [
        {"recipe": "fgsm"},
        {"augmentations": ("flip",)},
        {"layers": "last-2"},
        {"layers": "all"},
        {"cache_features": False},
    ],
)
def test_images_that_change_in_every_step_or_layers_that_learn_have_no_cached_features(changed):
    training = Experiment.of(training__layers="head").training
    assert training.features_are_cached
    assert not training.model_copy(update=changed).features_are_cached


def test_a_malicious_clients_own_recipe_is_trained_on_images():
    one = study()
    changed = one.experiment.training.model_copy(update={"recipe": "fgsm"})
    assert isinstance(one.update_of(changed), LocalUpdate)


def test_features_are_shared_by_studies_of_the_same_backbone_and_images():
    one = study(training__learning_rate=0.5)
    two, other = study(federation__rounds=3), study(seed=1)
    for each in (one, two, other):
        each.shard(0)
    assert one.features is two.features
    assert other.features is not one.features, "another seed, another random backbone"
    hospital = Study(Experiment.of(training__layers="head", **SMALL), received=one.problem)
    assert hospital.features is not one.features, "it has not loaded the study's images"
