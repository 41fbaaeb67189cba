"""The study of a server: a simulation's study without its clients' images."""

from pathlib import Path

from fedrobust.config import Experiment
from fedrobust.data.search_path import resolve
from fedrobust.deployment.deployable import check_deployable
from fedrobust.deployment.folder_file import DeploymentError

WAIT = 3600.0
"""Seconds after which a round goes on without a silent site, where the study sets no limit."""


def site_files(experiment: Experiment) -> dict[str, Path]:
    """Return the files of a study's simulated hospitals, by name, in the order of its clients.

    Sites that are held out have no client.

    Raises:
        DataError: a file does not exist.
    """
    data, base = experiment.data, Path(experiment.base) if experiment.base else None
    files = [resolve(file, base, data.root).resolve() for file in data.clients]
    return {path.stem: path for path in files if path.stem not in data.held_out_sites}


def server_study(experiment: Experiment, sites: int, evaluation: str = "") -> Experiment:
    """Return the study that the server of `sites` sites runs.

    The sites' images are not there: the server validates and tests the models on images of its own.

    Args:
        experiment: a study that may have been simulated.
        sites: number of sites, each of which is a client.
        evaluation: a data set or an ``.npz`` file for validation and test; empty: that of ``data.name``.

    Raises:
        DeploymentError: the study needs the sites' images in one place, or attacks them.
        DataError: there is no such file.
    """
    check_deployable(experiment)
    data, base = experiment.data, Path(experiment.base) if experiment.base else None
    if data.clients and not evaluation:
        raise DeploymentError(
            "data.clients: these images stay at their sites, and the server has none to measure the model on: name a "
            "file of its own with --evaluation FILE.npz (validation and test images of the same classes)"
        )
    name = evaluation or data.name
    if name.lower().endswith(".npz"):
        name = str(resolve(name, None if evaluation else base, data.root).resolve())
    return experiment.changed(
        data__clients=[],
        data__held_out_sites=[],
        data__name=name,
        # The server's training images are not trained on.
        data__partition="iid",
        federation__clients=sites,
        engine__name="threads",
        engine__client_timeout=experiment.engine.client_timeout or WAIT,
        output__root="runs",
        output__dir="",
    )


def changes(simulated: Experiment, deployed: Experiment) -> list[str]:
    """Return the settings of a federation that differ between a study and that of its server, as text.

    Example:
        >>> study = Experiment.of(federation__clients=10)
        >>> changes(study, study.changed(federation__clients=3, engine__client_timeout=3600.0))
        ['federation.clients = 3 (10)', 'engine.client-timeout = 3600.0 (0.0)']
    """
    values = (
        ("federation.clients", simulated.federation.clients, deployed.federation.clients),
        ("engine.client-timeout", simulated.engine.client_timeout, deployed.engine.client_timeout),
        ("data.name", simulated.data.name, deployed.data.name),
        ("data.partition", simulated.data.partition, deployed.data.partition),
    )
    return [f"{key} = {after} ({before})" for key, before, after in values if before != after]
