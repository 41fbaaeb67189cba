"""What a study will cost, told before it is run."""

import pytest

import fedrobust
from fedrobust.config import Experiment
from fedrobust.runs.events import ForecastMade, RoundStarted
from fedrobust.runs.forecast import DoesNotFitError
from server import forecast as forecaster

SMALL = {
    "data__samples": 200,
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "federation__clients": 4,
    "federation__rounds": 2,
    "training__batch_size": 16,
    "training__epochs": 2,
    "evaluation__epsilons": [0.005],
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
}


def study(tmp_path, **settings) -> Experiment:
    return Experiment.quickstart(**{**SMALL, "output__root": str(tmp_path / "runs"), **settings})


@pytest.mark.parametrize("engine", ["threads", pytest.param("ray", marks=pytest.mark.slow)])
def test_the_doctor_trains_nothing_and_forecasts_what_a_run_then_does(tmp_path, engine):
    experiment = study(tmp_path, engine__name=engine, engine__workers=2)
    figures = fedrobust.doctor(experiment)
    assert not (tmp_path / "runs").exists()
    # Two epochs of ceil(50 / 16) steps for each of four clients; 93,154 parameters and 448 statistics in float32.
    assert (figures["clients"], figures["steps"]) == (4, 32)
    assert figures["message-bytes"] == 4 * (93_154 + 448)
    assert figures["memory-bytes"] > 3e8
    assert 0 < figures["training-seconds"] < 60
    if engine == "threads":
        heard = []
        run = fedrobust.run(experiment, heard.append)
        names = [type(event) for event in heard if isinstance(event, ForecastMade | RoundStarted)]
        assert names == [ForecastMade, RoundStarted, RoundStarted]
        assert run.result["forecast"]["steps"] == 32


def test_what_cannot_fit_is_refused_before_a_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(forecaster, "available_memory", lambda: 10**6)
    experiment = study(tmp_path, federation__aggregator="median")
    for act in (fedrobust.doctor, fedrobust.run):
        with pytest.raises(DoesNotFitError, match=r"for aggregating 4 clients, and 1\.0 MB are free"):
            act(experiment)
    assert not (tmp_path / "runs").exists()
