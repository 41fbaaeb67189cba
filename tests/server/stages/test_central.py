"""The model that all training images in one place come to."""

from types import SimpleNamespace

import numpy as np
import pytest

import fedrobust
from fedrobust.config import ConfigError, Experiment
from fedrobust.models.layout import Weights
from fedrobust.study import Study
from server.parts import ServerParts
from server.stages.central import CentralBaseline
from server.weight_average import WeightAverage

START = Weights(np.zeros(1, np.float32), np.zeros(1, np.float32))


def one_more(images, weights, round, client):
    return Weights(weights.trainable + round, weights.statistics + 1), {}


@pytest.mark.parametrize(("average", "expected"), [(None, 1 + 3 + 4), (WeightAverage(0.5), 7.2)])
def test_one_client_trains_on_all_images_and_the_average_is_measured_where_the_study_does(average, expected):
    """Averages over 1, 4, 8: 1; .1 x 1 + .9 x 4 = 3.7; 2/11 x 3.7 + 9/11 x 8 = 7.218."""
    asked = []

    def training(*given):
        asked.append((given[0], *given[2:]))
        return one_more(*given)

    central = CentralBaseline(training, "images", START, (1, 3, 4), None, average)
    assert central.trained().trainable == pytest.approx(expected, abs=0.02)
    assert asked == [("images", 1, 0), ("images", 3, 0), ("images", 4, 0)]


def test_statistics_are_measured_once_as_the_study_does():
    def measure(weights):
        return Weights(weights.trainable, np.array([7], np.float32))

    central = CentralBaseline(one_more, "images", START, (1, 2), None, None, measure)
    assert (central.trained().trainable.tolist(), central.trained().statistics.tolist()) == ([3], [7])


SMALL = {
    "data__samples": 200,
    "data__partition": "dirichlet(min_size=2)",
    "federation__clients": 3,
    "federation__rounds": 2,
    "federation__average": 0.5,
    "model__batchnorm_policy": "recalibrate",
    "evaluation__attacks": (),
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


def test_it_is_the_model_of_fedrobust_train(tmp_path):
    compared = fedrobust.run(out=tmp_path / "one", evaluation__baselines=["central"], **SMALL)
    trained = fedrobust.train(out=tmp_path / "central", output__report=False, **SMALL)
    assert compared.record.central == trained.record.model_evaluation.clean
    assert compared.record.central != compared.record.model_evaluation.clean
    assert compared.record.clients is None
    assert "Central" in compared.folder.file("report.html").read_text()


def test_it_is_refused_where_the_images_are_elsewhere():
    study = Study(Experiment.of(data__samples=60, evaluation__baselines=["central"]))
    parts = ServerParts(study, SimpleNamespace(), None)
    with pytest.raises(ConfigError, match=r"evaluation.baselines = \['central'\].*simulation"):
        parts.central_baseline  # noqa: B018
    assert parts.client_comparison is None
