"""A random share of the training images."""

from dataclasses import replace

import numpy as np
import pytest

from fedrobust.config import Experiment
from fedrobust.data.dataset import DataError
from fedrobust.data.phantom import phantom
from fedrobust.data.sites import Sites
from fedrobust.data.train_share import drawn_rows, with_share
from fedrobust.study import Study


def test_draws_differ_keep_the_share_and_choose_every_image_alike():
    rows = np.array([drawn_rows(100, 0.6, draw) for draw in range(400)])
    assert (rows.sum(axis=1) == 60).all()
    np.testing.assert_allclose(rows.mean(axis=0), 0.6, atol=4 * np.sqrt(0.6 * 0.4 / 400))
    assert len(np.unique(rows, axis=0)) == 400


@pytest.mark.parametrize(("images", "share", "draws"), [(101, 0.5, 2), (60, 0.1, 10), (7, 0.33, 3)])
def test_the_draws_of_a_group_have_no_image_in_common(images, share, draws):
    for group in (0, 5):
        rows = [drawn_rows(images, share, group * draws + place) for place in range(draws)]
        assert sum(rows).max() == 1
    assert sum(drawn_rows(images, 1 / draws, place) for place in range(draws)).sum() >= images - draws


def test_only_training_images_and_their_sites_are_drawn():
    data = phantom(train=40)
    data = replace(data, sites=Sites.of(np.arange(40) % 4))
    half, rows = with_share(data, 0.5, draw=1), drawn_rows(40, 0.5, draw=1)
    np.testing.assert_array_equal(half.train.images, data.train.images[rows])
    np.testing.assert_array_equal(half.sites.of_images, data.sites.of_images[rows])
    assert half.test is data.test
    assert half.whole is data
    assert half.digest not in (data.digest, with_share(data, 0.5, draw=2).digest)
    assert with_share(data, 1.0, draw=7) is data


def test_a_class_that_a_draw_leaves_out_is_named():
    with pytest.raises(DataError, match=r"data.train-share = 0.01 with data.train-draw = 3.*raise the share"):
        with_share(phantom(train=40), 0.01, draw=3)


def test_a_study_partitions_and_trains_on_the_share_with_the_features_of_the_whole():
    network = {"model__name": "edge-cnn(width=8)", "model__image_size": 28}
    settings = {**network, "training__layers": "head", "data__samples": 60, "federation__clients": 3}
    half = Study.of(Experiment.of(**settings, data__train_share=0.5, data__train_draw=2))
    whole = Study.of(Experiment.of(**settings))
    assert list(map(int, half.partition.sizes)) == [10, 10, 10]
    assert len(whole.dataset.train) == 60
    assert half.features is whole.features
    start = half.initial()[1]
    grouped = half.group_training([0, 1, 2], start, 1)
    for client, (weights, metrics) in enumerate(grouped):
        alone, _ = half.local_training(half.shard(client), start, 1, client)
        np.testing.assert_array_equal(weights.trainable, alone.trainable)
        assert metrics["num-examples"] == 10
