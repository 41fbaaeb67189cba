"""A study whose network is in a Keras file: threads train it, and its digest is part of the study's identity."""

import keras
import pytest

import fedrobust
from clients.app import check_network
from fedrobust.checks import check
from fedrobust.config import ConfigError, Experiment
from fedrobust.engines.simulate import resumed
from fedrobust.models.architecture import ModelError
from fedrobust.runs.events import RoundFinished
from fedrobust.study import Study
from fedrobust.sweeps.cell import content_hash

STUDY = """
[data]
samples = 60
[model]
name = "mine.keras"
weights = "file"
image-size = 28
[federation]
clients = 2
rounds = 2
[evaluation]
attacks = []
examples = 0
[audit]
enabled = false
[distillation]
enabled = false
[export]
enabled = false
"""


@pytest.fixture
def study(tmp_path):
    write(tmp_path, seed=1)
    (tmp_path / "study.toml").write_text(STUDY)
    return Experiment.load(tmp_path / "study.toml", output__root=str(tmp_path / "runs"))


def write(folder, seed):
    """Write the network with the weights of a seed."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 3, strides=2)(inputs)
    x = keras.layers.Dropout(0.2)(keras.layers.ReLU()(keras.layers.BatchNormalization()(x)))
    x = keras.layers.Dense(5, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    keras.Model(inputs, x).save(folder / "mine.keras")


def test_a_file_beside_the_study_is_federated_and_a_changed_one_is_not_resumed(study, tmp_path):
    def stop(event):
        if isinstance(event, RoundFinished) and event.record.round == 1:
            raise KeyboardInterrupt

    with pytest.raises(ModelError, match=r'has 5 outputs, the data 2 classes; set model.head = "new"'):
        fedrobust.run(study)
    new = study.changed(model__head="new")
    whole = fedrobust.run(new)
    assert whole.result["model"]["name"] == "mine.keras"
    assert whole.result["model"]["network-digest"] == Study.of(new).network_digest
    assert whole.result["remarks"][:1] == [
        'model.head = "new": the last layer of mine.keras, of 5 outputs, is not used'
    ]
    with pytest.raises(KeyboardInterrupt):
        fedrobust.run(new, stop, out=tmp_path / "stopped")
    write(tmp_path, seed=2)
    Study.of.__globals__["_study"]._results.clear()  # a later process
    with pytest.raises(ConfigError, match="the file changed"):
        resumed(tmp_path / "stopped")
    write(tmp_path, seed=1)


def test_the_files_content_is_part_of_a_cells_hash(study, tmp_path):
    first = content_hash(study.changed(name="first"))
    assert content_hash(study.changed(name="again")) == first
    write(tmp_path, seed=2)
    assert content_hash(study.changed(name="other")) != first


def test_a_client_with_another_file_refuses_to_train(study):
    check_network("ab", "ab", study.model)
    with pytest.raises(ModelError, match="the file has digest ab here, cd at the server"):
        check_network("ab", "cd", study.model)


def test_a_missing_file_is_told_with_the_folders_searched(study, tmp_path):
    with pytest.raises(
        ConfigError, match=r'model.name = "no.keras": no.keras: no such file; searched'
    ) as refused:
        check(Study.of(study.changed(model__name="no.keras")))
    assert str(tmp_path) in str(refused.value)
