"""Audits of DP-SGD by canary images: a calibrated training passes, one that adds no noise is caught."""

from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.exposure.dp_audit import Mechanism, audited
from fedrobust.exposure.image_canaries import ImageCanaries
from fedrobust.exposure.leak import Leak
from fedrobust.study import Study
from fedrobust.training.batches import Batches
from fedrobust.training.image_gradients import ImageGradients
from fedrobust.training.training_data import TrainingData

pytest.importorskip("dp_accounting")


@cache
def study(**settings):
    """Return a study of two hospitals that train a head by DP-SGD, on images of noise, which are all unlike."""
    one = Study(
        Experiment.of(
            **{
                "data__samples": 120,
                "model__name": "strided-cnn",
                "model__image_size": 28,
                "federation__clients": 2,
                "federation__rounds": 10,
                "training__layers": "head",
                "training__learning_rate": 0.1,
                "training__batch_size": 16,
                "training__optimizer": "sgd(momentum=0.0)",
                "privacy__example_epsilon": 1.0,
                **settings,
            }
        )
    )
    shape = one.dataset.train.images.shape
    one.dataset.train.images.setflags(write=True)
    one.dataset.train.images[:] = np.random.default_rng(0).integers(0, 256, shape)
    return one


@dataclass(frozen=True)
class Scaled:
    """A local update that adds a share of its noise only."""

    update: Any
    share: float = 0.0

    def __call__(self, *given, noise, **more):
        return self.update(*given, noise=self.share * noise, **more)


def without_noise(one, share=0.0):
    update = one.training.update
    return replace(one, training=replace(one.training, update=lambda given: Scaled(update(given), share)))


def verdict(one, seed=0):
    return audited(one, 1e-3, seed, len(one.canaries))


def test_training_that_claims_an_epsilon_and_adds_no_noise_is_caught_by_its_noise_and_by_the_bound():
    one = ImageCanaries.of(study(), 60, seed=0)
    record = verdict(without_noise(one))
    assert record.caught
    assert record.unit == "image"
    assert record.noise == 0
    assert record.bound > record.claimed
    assert verdict(without_noise(one, 0.9)).caught


def test_a_calibrated_training_passes_and_has_the_noise_that_it_claims():
    record = verdict(ImageCanaries.of(study(), 60, seed=0))
    assert not record.caught
    assert record.noise_interval[0] < record.noise_claimed < record.noise_interval[1]


@pytest.mark.slow
def test_a_calibrated_training_passes_in_twenty_seeds():
    found = [verdict(ImageCanaries.of(study(), 60, seed), seed) for seed in range(20)]
    assert not any(one.caught for one in found)
    assert max(one.bound for one in found) <= found[0].claimed


@pytest.mark.slow
def test_the_bound_of_little_noise_is_far_from_nothing():
    one = ImageCanaries.of(study(privacy__example_epsilon=30.0), 100, seed=0)
    record = verdict(one)
    assert 0.5 < record.bound <= record.claimed


def test_canaries_have_wrong_labels_and_take_the_place_of_the_hospitals_own_images():
    given, truth = study(), {}
    for split in (given.dataset.train, given.dataset.validation):
        truth |= {image.tobytes(): label for image, label in zip(split.images, split.labels, strict=True)}
    one = ImageCanaries.of(given, 60, seed=0)
    assert all(
        truth[image.tobytes()] != label
        for image, label in zip(one.canaries.images, one.canaries.labels, strict=True)
    )
    size = int(given.partition.sizes.max())
    assert len(one.real) == size - 30
    assert one.privacy.known == size
    assert one.promise.releases == given.dp_sgd.promise(size).releases
    small = study(federation__clients=6)
    many, few = ImageCanaries.of(small, 1000, seed=0), int(small.partition.sizes.max())
    assert len(many.canaries) == 2 * few, "the other hospitals have more, and the audited one keeps its size"
    assert many.promise.releases == small.dp_sgd.promise(few).releases
    # However the coins fall, sampling and noise are those of the known number.
    assert one.privacy.rate(3) == one.privacy.rate(1000) == given.dp_sgd.rate(size)


def test_the_gradients_of_images_add_up_to_the_step_of_their_batch():
    given = study()
    update, start, split = (
        given.update_of(given.experiment.training),
        given.initial()[1],
        given.shard(0).sample(5),
    )
    batch = Batches(np.arange(5, dtype=np.int32)[None], np.array([5], np.int32))
    data = TrainingData.of(split.images, split.labels)
    after, _ = update(start, data, batch, [1.0], seed=[0, 0], noise=0.0, expected=1.0)
    each = ImageGradients(update)(start.trainable, split)
    assert (np.linalg.norm(each, axis=1) <= 1.0001).all()
    np.testing.assert_allclose(each.sum(axis=0), start.trainable - after.trainable, atol=1e-5)


def test_noise_that_the_optimiser_does_not_pass_on_in_proportion_is_not_measured():
    one = ImageCanaries.of(study(), 20, seed=0)
    changed = one.training.training.model_copy(update={"optimizer": "adam"})
    assert replace(one, training=replace(one.training, training=changed)).measured is None


def test_a_run_is_audited_for_each_promise_that_it_makes():
    given = study()
    leak = Leak(SimpleNamespace(), given, {}, 0, print)
    assert leak.why_no_audit() == ""
    assert [(number, type(one)) for number, one in leak.mechanisms(10)] == [(10, ImageCanaries)]
    clients = Study(Experiment.of(federation__postprocessors=["gaussian-dp"], federation__participation=0.5))
    leak = replace(leak, study=clients)
    assert "canaries are in or out" in leak.why_no_audit()
    assert leak.mechanisms(10) == []
    everyone = Study(Experiment.of(federation__postprocessors=["gaussian-dp"]))
    assert [type(one) for _, one in replace(leak, study=everyone).mechanisms(10)] == [Mechanism]
    assert "no differential privacy was promised" in replace(leak, study=Study(Experiment())).why_no_audit()
