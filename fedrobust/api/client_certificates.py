"""A vote of models that disjoint groups of clients train, and how many malicious clients cannot change it.

TensorFlow is imported inside functions, so that settings are checked without it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fedrobust.api.model_request import data_of, write_json
from fedrobust.api.studies import experiment, resume, run
from fedrobust.config import ConfigError, Experiment
from fedrobust.evaluation.client_votes import certified_clients, groups_of, majority
from fedrobust.runs.events import Listener
from fedrobust.runs.run import Run
from fedrobust.study.of_run import study_of_run

ONLY_THE_MODEL: dict[str, Any] = {
    "audit__enabled": False,
    "distillation__enabled": False,
    "export__enabled": False,
    "output__report": False,
    "evaluation__attacks": [],
}
"""Settings of a group's run: only its model is used."""


def certify_clients(
    study: str | Path | Experiment | None = None,
    groups: int = 5,
    *listeners: Listener,
    out: str | Path = "runs/certify-clients",
    split: str = "test",
    images: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Train one model for each of `groups` disjoint groups of clients, and return what their vote certifies.

    FLCert-D (Cao et al., 2022, arXiv:2210.00584, theorem 1). The answer is the class that most of the models give.
    A malicious client is in one group and changes one vote at most: the certificate holds for every attack by that
    many clients, whatever they send in whichever rounds. More groups certify more clients, of models that learn from
    fewer. The groups are drawn from the study's seed. Runs that are finished in `out` are used again, others resumed.

    Args:
        study: path of a study file, an experiment, or None for the quickstart on phantoms.
        groups: number of groups, at least 3; at most as many as clients.
        listeners: called with the events of each run.
        out: folder of the runs, and of ``client-certificate.json``, which has the result.
        split: of the data set that is certified.
        images: number of images of the split, stratified by class; 0 for all.
        settings: ``federation__clients=20``.

    Returns:
        ``certified``: for each number of malicious ``clients``, from 0, the share of images that the vote gives their
        label whatever so many clients do: ``accuracy`` (``value``, ``successes``, ``n``, ``interval``) and
        ``balanced-accuracy``. Beside it ``groups`` (members, and accuracy of the model), ``majority``: the constant
        classifier, which is certified against everybody, and ``malicious``: the attackers of the study itself.

    Raises:
        ConfigError: the study has lines of availability, several findings an image, or too few clients; or its data
            changed since `out` has runs of it.
        RunFolderError: `out` has runs of another study.

    Example:
        >>> found = fedrobust.certify_clients("breast", groups=5)  # doctest: +SKIP
        >>> found["certified"][1]["accuracy"]["value"]  # doctest: +SKIP
        0.74
    """
    whole = experiment(study, (), **settings).changed(**ONLY_THE_MODEL)
    federation = whole.federation
    _check(groups, federation.clients, federation.availability)
    from fedrobust.audit.certified import share
    from fedrobust.audit.images import chosen_split

    members = groups_of(federation.clients, groups, whole.seed)
    folders = [Path(out) / f"group-{number}" for number in range(groups)]
    runs = [
        _trained(whole.changed(federation__availability=_only(group, federation.clients)), folder, listeners)
        for group, folder in zip(members, folders, strict=True)
    ]
    for one in runs:
        # Groups that were trained before are of no use on other images.
        study_of_run(one)
    dataset = data_of(folders[0], "", "")
    stored, labels, described = chosen_split(dataset, split, images)
    shown = stored.astype(np.float32) / np.float32(255)
    answers = np.stack([_answers(one, shown) for one in runs])
    classes = len(dataset.label_names)
    vote, withstood = majority(answers, classes), certified_clients(answers, classes)
    found = {
        "data": described,
        "seed": whole.seed,
        "n": len(labels),
        "malicious": sorted({client for one in runs for client in _malicious(one)}),
        "majority": share(labels == np.bincount(labels).argmax()),
        "groups": [
            {"clients": group, "accuracy": share(given == labels)}
            for group, given in zip(members, answers, strict=True)
        ],
        "certified": [
            _against(number, (vote == labels) & (withstood >= number), labels)
            for number in range(groups // 2 + 1)
        ],
        "images": [
            {"label": int(label), "answer": int(answer), "clients": int(number)}
            for label, answer, number in zip(labels, vote, withstood, strict=True)
        ],
    }
    write_json(Path(out) / "client-certificate.json", found)
    return found


def _check(groups: int, clients: int, availability: Any) -> None:
    if not 3 <= groups <= clients:
        raise ConfigError(
            f"groups = {groups}: choose 3 to federation.clients = {clients}; a vote of two withstands nobody"
        )
    if availability:
        raise ConfigError(
            f"federation.availability = {list(availability)}: leave it out; each group's run has lines of its own"
        )


def _only(group: list[int], clients: int) -> list[str]:
    """Return the lines of availability with which the clients of `group` alone take part."""
    others = [str(client) for client in range(clients) if client not in group]
    return [f"{', '.join(others)}: absent(first=1, last=1000000)"]


def _trained(study: Experiment, folder: Path, listeners: tuple[Listener, ...]) -> Run:
    """Return the run of `study` in `folder`: the finished one, the unfinished one resumed, or a new one.

    Raises:
        ConfigError: the folder has the run of another study.
    """
    if not (folder / "experiment.toml").is_file():
        return run(study, *listeners, out=folder)
    before = resume(folder, *listeners)
    same = {"output", "engine"}
    kept, wanted = (
        {name: section for name, section in one.to_dict().items() if name not in same}
        for one in (before.experiment, study)
    )
    if kept != wanted:
        raise ConfigError(
            f"out = {str(folder.parent)!r} has the runs of another study: choose another folder"
        )
    return before


def _malicious(one: Run) -> set[int]:
    """Return the clients that were malicious in a round of the run."""
    return {
        client for entry in one.result["rounds"] for client in (entry["defence"] or {}).get("malicious", ())
    }


def _answers(one: Run, images: np.ndarray) -> np.ndarray:
    model = one.model()
    return np.concatenate(
        [
            np.asarray(model(images[first : first + 256])).argmax(axis=1)
            for first in range(0, len(images), 256)
        ]
    )


def _against(clients: int, holds: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    from fedrobust.audit.certified import share

    recalls = [float(holds[labels == label].mean()) for label in np.unique(labels)]
    return {"clients": clients, "accuracy": share(holds), "balanced-accuracy": float(np.mean(recalls))}
