"""The state of a stopped run, after a check that it is the same study."""

from collections.abc import Mapping
from typing import Any

from fedrobust.algorithms import Algorithm
from fedrobust.algorithms.contract import keeps_state, pairs_states
from fedrobust.atomic import sweep
from fedrobust.config import ConfigError
from fedrobust.data.dataset import Dataset
from fedrobust.data.partition import Partition
from fedrobust.data.partition.drawn import Drawing
from fedrobust.runs.checkpoint import Checkpoint, differences
from fedrobust.runs.events import StageStarted, emit
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import RunRecord
from fedrobust.runs.resume_command import resume_command

FILES = {
    "weights": "the file of model.weights",
    "public": "the file of distillation.public",
    "annotations": "the names of classes, the disease labels or the sites in the file of images",
}
"""What `file_digests` are of."""


def resumed_from(
    folder: RunFolder,
    settings: dict[str, Any],
    dataset: Dataset,
    partition: Partition | Drawing,
    environment: Mapping[str, Any],
    network: str = "",
    files: Mapping[str, str] | None = None,
    deployed: bool = False,
) -> Checkpoint:
    """Return the state at which the run in `folder` stopped.

    Args:
        folder: of the run.
        settings: of the study, as nested plain data.
        dataset: its images.
        partition: the partition of the images.
        environment: present versions of packages; differences from the run's are reported by an event.
        network: digest of the file that the network is in; empty if it is in none.
        files: digests of the other files that the study reads, by what they are, see `file_digests`.
        deployed: whether the clients are the sites of a deployment.

    Raises:
        ConfigError: study, data, partition or a file differ from the run's, or rounds remain whose clients would be
            others: simulated ones in place of sites, or sites in place of simulated ones.
    """
    sweep(folder.path)
    checkpoint = Checkpoint.latest(folder)
    changed = differences(checkpoint, settings)
    if changed:
        raise ConfigError(
            f"{folder.path}: the run was started with other values of {', '.join(changed)}: a resumed run may "
            "change engine.*, output.report and output.keep-every only"
        )
    before = RunRecord.read(checkpoint.result)
    if checkpoint.round < settings["federation"]["rounds"]:
        _check_clients(folder, before, deployed)
    digest = before.dataset.digest if before.dataset else ""
    if digest != dataset.digest:
        raise ConfigError(
            f"{folder.path}: {dataset.name} has digest {dataset.digest[:12]}, the run was started on "
            f"{digest[:12]}: the data changed"
        )
    known = (before.model.network_digest if before.model else None) or ""
    if known != network:
        raise ConfigError(
            f"{folder.path}: the network's file has digest {network or 'none'}, the run was started on "
            f"{known or 'none'}: the file changed"
        )
    # A run of before these digests were recorded has none.
    for what, digest in (before.file_digests or {}).items():
        present = (files or {}).get(what)
        if present != digest:
            raise ConfigError(
                f"{folder.path}: {FILES[what]} changed: digest {present or 'none'}, the run was started on {digest}; "
                "put the former back, or start a new run"
            )
    if folder.read_table("partition.json").get("hash") != partition.hash:
        raise ConfigError(f"{folder.path}: partition.json is not the partition of this study")
    packages = ("tensorflow", "keras", "numpy")
    moved = [name for name in packages if before.environment.get(name) != environment[name]]
    if moved:
        versions = ", ".join(
            f"{name} {before.environment.get(name)} -> {environment[name]}" for name in moved
        )
        emit(StageStarted(f"resuming with other packages, so the bits may differ: {versions}"))
    return checkpoint


def _check_clients(folder: RunFolder, before: RunRecord, deployed: bool) -> None:
    """Refuse to train the remaining rounds at sites if the others were simulated, and the other way round."""
    if (before.sites is not None) == deployed:
        return
    if before.sites is None:
        raise ConfigError(
            f"{folder.path}: the run was simulated, and its remaining rounds would be trained at the sites of a "
            f"deployment: resume it with {resume_command(folder.path, False)}, or start a new run at the sites"
        )
    names = ", ".join(one.name for one in before.sites)
    raise ConfigError(
        f"{folder.path}: the run was trained at the sites of a deployment ({names}), "
        "and a simulation would go on with the server's own images in place of theirs: resume it with "
        f"{resume_command(folder.path, True)} (SERVER is the server's folder)"
    )


def check_states(folder: RunFolder, algorithm: Algorithm, name: str, round: int) -> str:
    """Refuse to go on after `round` at nodes if the server's state would not match those that they no longer have.

    Nodes keep the algorithm's state of a client in memory, for one run.

    Args:
        folder: of the run.
        algorithm: of the study.
        name: ``training.algorithm``.
        round: the last finished round.

    Returns:
        A remark where clients begin anew with a state that is theirs alone; "" where they have none.

    Raises:
        ConfigError: the states of server and clients have to match.
    """
    if not round or not keeps_state(algorithm):
        return ""
    if pairs_states(algorithm):
        raise ConfigError(
            f'{folder.path}: training.algorithm = "{name}": the nodes keep its state in memory for one run, and the '
            "server's state does not match nodes without theirs: this run cannot be resumed at nodes; start a new one"
        )
    return (
        f'training.algorithm = "{name}": resumed after round {round}, when the clients began anew with what is their '
        "own: nodes keep it in memory for one run"
    )
