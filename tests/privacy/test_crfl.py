"""The server clips the model to a norm and adds noise to it, not after the last round; statistics are left alone."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedrobust.checks.privacy import last_model_kept
from fedrobust.config import Experiment
from fedrobust.models.layout import Entry, Layout, Part, Weights
from fedrobust.privacy import CRFL, Clip, Cohort, changes_models, on_model
from server.federation import Federation, whole


def server(**settings):
    return CRFL(**settings).within(Cohort(rounds=3))


def draw(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("length", [0.0, 0.5, 1.0, 1.5, 100.0])
def test_the_last_model_is_clipped_and_has_no_noise(length):
    weights = np.full(4, length / 2, np.float32)
    found = server(norm=1.0, deviation=9.0).model(weights, 3, draw())
    np.testing.assert_allclose(found, weights * min(1.0, 1.0 / length if length else 1.0), rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("round", [1, 2])
def test_earlier_models_are_clipped_first_and_then_get_the_noise(round):
    weights = np.zeros(200_000, np.float32)
    weights[0] = 50.0
    found = server(norm=2.0, deviation=0.25).model(weights, round, draw())
    noise = found - np.where(np.arange(len(weights)) == 0, np.float32(2.0), 0)
    assert abs(noise.mean()) < 5 * 0.25 / len(noise) ** 0.5
    assert noise.std() == pytest.approx(0.25, rel=5 / (2 * len(noise)) ** 0.5)
    assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 0.02
    np.testing.assert_array_equal(found, server(norm=2.0, deviation=0.25).model(weights, round, draw()))
    assert not np.array_equal(found, server(norm=2.0, deviation=0.25).model(weights, round, draw(1)))


def test_a_model_that_is_not_finite_stays_so_and_is_rejected():
    weights = np.array([np.nan, 1.0, np.inf], np.float32)
    np.testing.assert_array_equal(server().model(weights, 1, draw()), weights)


def test_only_postprocessors_of_models_change_it():
    weights = np.array([3.0, 4.0], np.float32)
    assert not changes_models([Clip(norm=1.0)])
    np.testing.assert_array_equal(on_model([Clip(norm=1.0)], weights, 1, draw()), weights)
    np.testing.assert_allclose(on_model([server(norm=1.0)], weights, 3, draw()), [0.6, 0.8])


def postprocessed(round, part=whole, seed=5):
    layout = Layout(
        (Entry("a", (2,), "trainable"), Entry("b", (2,), "trainable"), Entry("c", (1,), "statistic"))
    )
    weights = Weights(np.array([30, 40, 3, 4], np.float32), np.array([7], np.float32))
    step = SimpleNamespace(postprocessors=(server(norm=1.0, deviation=0.1),), noise_seed=None)
    federation = SimpleNamespace(step=step, part=part, seed=seed, layout=layout)
    return Federation._postprocessed(federation, round, weights), weights


def test_the_noise_is_that_of_the_round_and_the_seed_so_that_a_resumed_run_has_the_same():
    first, weights = postprocessed(1)
    again, _ = postprocessed(1)
    np.testing.assert_array_equal(first.trainable, again.trainable)
    assert not np.array_equal(first.trainable, postprocessed(2)[0].trainable)
    assert not np.array_equal(first.trainable, postprocessed(1, seed=6)[0].trainable)
    np.testing.assert_array_equal(first.statistics, weights.statistics)
    np.testing.assert_array_equal(weights.trainable, [30, 40, 3, 4])


def test_frozen_weights_are_neither_counted_nor_changed():
    part = Part(np.array([2, 3]), np.array([], np.int64))
    found, _ = postprocessed(3, lambda round: part)
    np.testing.assert_allclose(found.trainable, [30, 40, 0.6, 0.8])


def test_a_model_of_an_earlier_round_and_an_average_are_refused():
    def complaints(**settings):
        given = Experiment.of(federation__postprocessors=["crfl"], **settings)
        return list(last_model_kept(given.federation, given.evaluation, [server()]))

    assert not complaints()
    assert "evaluation.select" in complaints(evaluation__select="best")[0]
    assert "federation.average = 0.5" in complaints(federation__average=0.5)[0]
