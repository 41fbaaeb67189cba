"""A small run whose rounds are kept."""

import pytest

import fedrobust

SMALL = {
    "data__samples": 60,
    "model__name": "edge-cnn(width=8)",
    "model__image_size": 28,
    "federation__clients": 3,
    "federation__rounds": 3,
    "training__layers": "head",
    "training__learning_rate": 0.05,
    "training__epochs": 3,
    "evaluation__attacks": [],
    "evaluation__every": 3,
    "evaluation__examples": 0,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__keep_every": 1,
    "output__report": False,
}


@pytest.fixture(scope="session")
def head_run(tmp_path_factory):
    """Return a head-only run of three clients and three rounds."""
    return fedrobust.run(**SMALL, output__dir=str(tmp_path_factory.mktemp("runs") / "head"))


@pytest.fixture(scope="session")
def small():
    """Return the settings of the run."""
    return SMALL
