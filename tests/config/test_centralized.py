"""A study without its federation."""

import tomllib
from pathlib import Path

import pytest

import fedrobust
from fedrobust.checks import check_data
from fedrobust.config import Experiment
from fedrobust.config.centralized import FEDERATED, centralized
from fedrobust.config.keys import default
from fedrobust.study import Study

STUDIES = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))


def values(experiment):
    return {
        f"{table}.{key}": value
        for table, keys in experiment.to_dict().items()
        if isinstance(keys, dict)
        for key, value in keys.items()
    }


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_one_client_has_all_images_and_everything_else_stays(file):
    if "sweep" in file.stem or "seed" in tomllib.loads(file.read_text()):
        pytest.skip("a sweep is no study")
    study = Experiment.load(file)
    central = centralized(study)
    before, after = values(study), values(central)
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert changed <= {*FEDERATED, "federation.clients"}
    assert central.federation.clients == 1
    assert central.name == f"{study.name}-central"
    assert all(
        getattr(central.federation, name) == default(Experiment, f"federation.{name}")
        for name in ("aggregator",)
    )
    assert not central.malicious


@pytest.mark.parametrize(
    "settings",
    [
        {"poisoning__attack": "alie", "poisoning__malicious": 3, "poisoning__knowledge": "own"},
        {"distillation__teacher": "class-logits", "distillation__gamma": 2.0},
        {"distillation__teacher": "clients"},
        {
            "poisoning__attack": "sign-flip",
            "poisoning__malicious": 2,
            "federation__availability": ["malicious: dropout(probability=0.5)"],
        },
    ],
)
def test_what_only_a_federation_has_is_left_out(settings):
    study = Experiment.of(data__samples=200, **settings)
    check_data(Study(study))
    check_data(Study(centralized(study)))


def test_a_central_model_learns_and_its_folder_is_a_run(tmp_path):
    central = fedrobust.train(
        None,
        out=tmp_path / "central",
        data__samples=200,
        federation__rounds=1,
        federation__aggregator="median",
        poisoning__attack="sign-flip",
        poisoning__malicious=2,
        evaluation__attacks=[],
        evaluation__examples=0,
        audit__enabled=False,
        distillation__enabled=False,
        export__enabled=False,
        output__report=False,
    )
    (found,) = central.record.rounds
    assert (found.clients.sampled, central.record.status) == (1, "finished")
    assert Experiment.load(tmp_path / "central" / "experiment.toml").federation.clients == 1
