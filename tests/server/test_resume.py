"""Where a stopped run goes on, and which studies are not that run's."""

import pytest
from small_study import Partition, dataset, stages, weights

from fedrobust.algorithms import Ditto, FedAvg, FedDyn, FedNova, Scaffold
from fedrobust.config import ConfigError, Experiment
from fedrobust.runs.checkpoint import Checkpoint
from fedrobust.runs.folder import RunFolder
from server.resume import check_states, resumed_from

VERSIONS = {"tensorflow": "2.21", "keras": "3.11", "numpy": "2.3", "workers": 0}


@pytest.fixture
def folder(tmp_path):
    """The folder of a run that stopped."""
    found = RunFolder(tmp_path / "run")
    found.path.mkdir()
    Partition().write(found.file("partition.json"))
    return found


def resumed(folder, changed=(), deployed=False, rounds=5, **before):
    """Return where the run in `folder` stopped, which noted `before`, for a study with `changed` settings."""
    noted = {
        "schema": 2,
        "experiment": Experiment.of(federation__rounds=rounds).to_dict(),
        "dataset": {"digest": dataset().digest},
        "environment": VERSIONS,
        **before,
    }
    Checkpoint(2, weights(4.0), weights(3.0), 0.75, "", noted).save(folder)
    settings = Experiment.of(**{"federation__rounds": rounds, **dict(changed)}).to_dict()
    return resumed_from(folder, settings, dataset(), Partition(), VERSIONS, deployed=deployed)


def test_the_newest_checkpoint_is_found(folder, told):
    state = resumed(folder)
    assert (state.round, state.score, state.weights.digest()) == (2, 0.75, weights(4.0).digest())
    assert stages(told) == []


def test_other_packages_are_told(folder, told):
    state = resumed(folder, environment={**VERSIONS, "keras": "3.9", "numpy": "2.2"})
    assert stages(told) == [
        "resuming with other packages, so the bits may differ: keras 3.9 -> 3.11, numpy 2.2 -> 2.3"
    ]
    assert state.round == 2


def test_another_study_is_not_gone_on_with(folder):
    with pytest.raises(ConfigError) as refused:
        resumed(folder, changed={"seed": 7, "federation__rounds": 3, "engine__workers": 3})
    assert str(refused.value) == (
        f"{folder.path}: the run was started with other values of federation.rounds, seed: a resumed run may change "
        "engine.*, output.report and output.keep-every only"
    )


def test_data_of_another_digest_are_told(folder):
    with pytest.raises(ConfigError) as refused:
        resumed(folder, dataset={"digest": "fedcba9876543210"})
    assert str(refused.value) == (
        f"{folder.path}: made-up has digest 0123456789ab, the run was started on fedcba987654: the data changed"
    )


def test_another_partition_is_told(folder):
    folder.write_json("partition.json", {"hash": "other"})
    with pytest.raises(ConfigError, match=r"run: partition\.json is not the partition of this study$"):
        resumed(folder)


SITES = [{"client": 0, "name": "bern", "images": 70}, {"client": 1, "name": "chur", "images": None}]


def test_a_run_of_real_sites_is_not_simulated_to_its_end(folder):
    with pytest.raises(ConfigError) as refused:
        resumed(folder, sites=SITES)
    assert str(refused.value) == (
        f"{folder.path}: the run was trained at the sites of a deployment (bern, chur), and a simulation would go on "
        "with the server's own images in place of theirs: resume it with fedrobust deploy run SERVER --set "
        f"output.resume=true --set output.dir={folder.path} (SERVER is the server's folder)"
    )
    assert resumed(folder, deployed=True, sites=SITES).round == 2


def test_a_simulated_run_is_not_trained_to_its_end_at_real_sites(folder):
    with pytest.raises(
        ConfigError, match=r"the run was simulated, .* resume it with fedrobust run --resume .*/run, or"
    ):
        resumed(folder, deployed=True)


@pytest.mark.parametrize("deployed", [True, False])
def test_where_no_round_remains_a_run_is_concluded_anywhere(folder, deployed):
    assert resumed(folder, deployed=deployed, rounds=2, sites=SITES).round == 2
    assert resumed(folder, deployed=deployed, rounds=2).round == 2


@pytest.mark.parametrize(("name", "algorithm"), [("scaffold", Scaffold()), ("feddyn", FedDyn())])
def test_servers_states_without_those_of_the_nodes_are_not_gone_on_with(folder, name, algorithm):
    with pytest.raises(ConfigError) as refused:
        check_states(folder, algorithm, name, 3)
    assert str(refused.value) == (
        f'{folder.path}: training.algorithm = "{name}": the nodes keep its state in memory for one run, and the '
        "server's state does not match nodes without theirs: this run cannot be resumed at nodes; start a new one"
    )
    assert check_states(folder, algorithm, name, 0) == "", "nobody has a state yet"


def test_states_that_nodes_alone_have_begin_anew_with_a_remark(folder):
    assert check_states(folder, Ditto(), "ditto", 3) == (
        'training.algorithm = "ditto": resumed after round 3, when the clients began anew with what is their own: '
        "nodes keep it in memory for one run"
    )


@pytest.mark.parametrize("algorithm", [FedAvg(), FedNova()])
def test_without_states_nothing_is_said(folder, algorithm):
    assert check_states(folder, algorithm, "it", 3) == ""
