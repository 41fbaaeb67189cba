"""What a user is told of a study's images: sites that do not count, classes that cannot be measured."""

import warnings

import numpy as np
import pytest

import fedrobust
from fedrobust.checks.image_remarks import StudyNotice, image_remarks, tell_of_images
from fedrobust.config import Experiment
from fedrobust.study import Study

SITES = ("bern", "chur", "genf")
UNHEEDED = (
    'data.partition = "iid": mine records 3 sites (bern, chur, genf), which do not count in this division; to make '
    "each site a client: --set data.partition=site --set federation.clients=3"
)
SMALL = {
    "model__name": "edge-cnn",
    "model__image_size": 28,
    "federation__clients": 2,
    "federation__rounds": 1,
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "evaluation__attacks": [],
}


@pytest.fixture
def mine(tmp_path):
    """Writes own data of three classes with the sites and without the classes that a test names."""

    def write(sites=SITES, val=(0, 1, 2), test=(0, 1, 2)):
        rng = np.random.default_rng(0)
        arrays = {"label_names": np.array(["healthy", "ill", "rare, very"])}
        for split, classes in (("train", (0, 1, 2)), ("val", val), ("test", test)):
            arrays[f"{split}_images"] = rng.integers(0, 256, (30, 28, 28), np.uint8)
            arrays[f"{split}_labels"] = np.resize(classes, 30)
            if sites:
                arrays[f"{split}_site"] = np.repeat(sites, 30 // len(sites))
        np.savez(tmp_path / "mine.npz", **arrays)
        return str(tmp_path / "mine.npz")

    return write


def remarks(file, divided=True, **settings):
    return image_remarks(Study(Experiment.of(data__name=file, **settings)), divided)


def test_sites_that_do_not_count_are_told_with_the_settings_that_take_them(mine):
    file = mine()
    assert remarks(file) == [UNHEEDED]
    assert remarks(file, data__partition="dirichlet(alpha=0.3, min_size=1)", federation__clients=2) == [
        UNHEEDED.replace("iid", "dirichlet(alpha=0.3, min_size=1)")
    ]
    assert remarks(file, data__partition="site", federation__clients=3) == []
    (left,) = remarks(file, data__held_out_sites=["chur"])
    assert left.endswith("federation.clients=2")


def test_of_other_files_and_of_one_client_there_is_nothing_to_say(mine):
    assert remarks(mine(sites=())) == []
    assert remarks(mine(sites=("bern",))) == []
    file = mine()
    assert remarks(file, federation__clients=1) == []
    assert remarks(file, divided=False) == []
    assert remarks(file, data__held_out_sites=["bern", "chur"]) == []
    assert remarks("phantom") == []


def test_classes_without_validation_or_test_images_are_named(mine):
    assert remarks(mine(sites=(), val=(0,), test=(0, 1))) == [
        "mine has no validation image of the class 'ill', 'rare, very', which nothing that is chosen by validation "
        "images takes into account",
        "mine has no test image of the class 'rare, very', of which no recall can be measured: means are over the "
        "others",
    ]


def test_several_studies_are_told_of_once(mine):
    file = mine()
    studies = [Study(Experiment.of(data__name=file, seed=seed)) for seed in range(3)]
    with pytest.warns(StudyNotice) as told:
        tell_of_images(studies)
    assert [str(one.message) for one in told] == [UNHEEDED]


def test_doctor_sweep_and_run_tell_the_same(mine, tmp_path):
    experiment = Experiment.of(data__name=mine(), output__root=str(tmp_path / "runs"), **SMALL)
    with pytest.warns(StudyNotice) as told:
        fedrobust.doctor(experiment)
    assert [str(one.message) for one in told if one.category is StudyNotice] == [UNHEEDED]
    with warnings.catch_warnings():
        warnings.simplefilter("error", StudyNotice)
        run = fedrobust.run(experiment)
        fedrobust.doctor(experiment, data__partition="site", federation__clients=3)
    assert run.record.remarks == (UNHEEDED,)
    sweep = tmp_path / "mine.toml"
    sweep.write_text(f'seed = [0, 1]\n[data]\nname = "{experiment.data.name}"\n')
    with pytest.warns(StudyNotice) as told:
        fedrobust.plan_bench(sweep, tmp_path / "sweep", overrides=["federation.rounds=1"])
    assert [str(one.message) for one in told if one.category is StudyNotice] == [UNHEEDED]
