"""A study on the command line: the same bits with any number of workers."""

import json
import os
import subprocess
import sys

import pytest

SETTINGS = {
    "data.samples": 200,
    "data.partition": "dirichlet(min_size=1)",
    "federation.clients": 4,
    "federation.participation": 0.6,
    "federation.rounds": 2,
    "model.name": "edge-cnn(width=8)",
    "model.image-size": 28,
    "training.batch-size": 16,
    "training.recipe": "pgd",
    "evaluation.examples": 0,
    "evaluation.epsilons": '["8/255"]',
    "audit.enabled": "false",
    "distillation.enabled": "false",
    "export.enabled": "false",
}


def bits(folder, cache, workers):
    """Return what a run recorded of clients and scores in each round, and the digest of its model."""
    settings = {**SETTINGS, "engine.workers": workers}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    done = subprocess.run(
        [sys.executable, "-m", "fedrobust", "run", *words, "--out", str(folder / str(workers))],
        capture_output=True,
        text=True,
        env={**os.environ, "FEDROBUST_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((folder / str(workers) / "result.json").read_text())
    clients = [{**one["clients"], "seconds": 0} for one in found["rounds"]]
    assert [one["failures"] for one in clients] == [[]] * len(clients)
    return clients, [(one["clean"], one["robust"]) for one in found["rounds"]], found["model"]["digest"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def alone(tmp_path_factory, cache):
    return bits(tmp_path_factory.mktemp("alone"), cache, workers=1)


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_same_seed_same_bits_with_any_number_of_workers(alone, tmp_path, cache, workers):
    assert bits(tmp_path, cache, workers) == alone
