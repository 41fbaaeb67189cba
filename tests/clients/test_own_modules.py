"""A hospital's node runs what is installed, whatever the settings of the study name."""

import sys

import numpy as np
import pytest
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict

from clients.app import app
from fedrobust.config import Experiment
from fedrobust.data.phantom import phantom
from fedrobust.data.problem import Problem
from fedrobust.errors import FedrobustError
from fedrobust.flower.identity import RUN_ID, server_identity
from fedrobust.flower.records import problem_config, weights_record
from fedrobust.models.layout import Weights
from fedrobust.own_modules import only
from fedrobust.registry import UnknownNameError, import_dotted

PROBLEM = Problem((28, 28, 1), 2)

MODULE = """
import os
from subprocess import run
from fedrobust.training.recipes.plain import Plain


class Mine(Plain):
    pass


def touch(path=""):
    open(path, "w").close()
    return Mine()
"""


@pytest.fixture
def hospital(tmp_path, monkeypatch):
    """Return a function that asks a node with images of its own for its introduction, with settings of the study."""
    (tmp_path / "my_recipes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    train = phantom(train=12, seed=0).train
    np.savez(tmp_path / "mine.npz", train_images=train.images, train_labels=train.labels)

    def asked(kind=MessageType.QUERY, own=None, **settings):
        experiment = Experiment.of(data__samples=60, federation__clients=2, engine__workers=1)
        run_config = experiment.to_run_config() | settings
        config = ConfigRecord({"round": 1, **problem_config(PROBLEM)})
        content = RecordDict(
            {"weights": weights_record(Weights(np.zeros(3, "f4"), np.zeros(0, "f4"))), "config": config}
        )
        node_config = {"partition-id": 0, "data-path": str(tmp_path / "mine.npz")}
        with server_identity():
            message = Message(content, 1, kind)
            message.metadata.__dict__["_message_id"] = "asked"
            context = Context(
                RUN_ID, 1, node_config | ({"own-modules": own} if own else {}), RecordDict(), run_config
            )
            return app(message, context)

    return asked


CALL = "os:system(command='touch {file}')"


@pytest.mark.parametrize("kind", [MessageType.QUERY, MessageType.TRAIN])
@pytest.mark.parametrize(
    "settings",
    [
        {"training.recipe": CALL},
        {"training.recipe": "awp(recipe=\"os:system(command='touch {file}')\")"},
        {"training.recipe": "my_recipes:touch(path='{file}')"},
        {"training.optimizer": CALL},
        {"training.loss": CALL},
        {"training.algorithm": CALL},
        {"training.augmentations": CALL},
        {"federation.postprocessors": CALL},
        {"model.defence": CALL},
        {"model.name": "my_recipes:touch"},
    ],
    ids=str,
)
def test_settings_call_nothing_of_other_modules(hospital, tmp_path, settings, kind):
    file = tmp_path / "touched"
    given = {key: value.replace("{file}", str(file)) for key, value in settings.items()}
    listed = ("training.augmentations", "federation.postprocessors")
    given = {key: f"[{value!r}]" if key in listed else value for key, value in given.items()}
    with pytest.raises(FedrobustError, match="this node runs the installed fedrobust only"):
        hospital(kind, **given)
    assert not file.exists()
    assert "my_recipes" not in sys.modules


def test_a_module_that_the_hospital_allows_is_used(hospital):
    assert not hospital(own="my_recipes", **{"training.recipe": "my_recipes:Mine"}).has_error()
    sys.modules.pop("my_recipes")


@pytest.mark.parametrize("name", ["os.system", "run", "os"])
def test_what_an_allowed_module_imported_is_not_its_own(hospital, name):
    with only(["my_recipes"]), pytest.raises(UnknownNameError, match="runs the installed fedrobust only"):
        import_dotted(f"my_recipes:{name}")
    sys.modules.pop("my_recipes", None)


def test_a_folder_of_another_machine_is_not_searched(hospital, tmp_path):
    (tmp_path / "base").mkdir()
    hospital(base=str(tmp_path / "base"))
    assert str(tmp_path / "base") not in sys.path
