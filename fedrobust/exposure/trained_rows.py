"""The images that the model of a run was trained on: those of the clients that took part in its rounds."""

import numpy as np
from numpy.typing import NDArray

from fedrobust.config import ConfigError
from fedrobust.data.train_share import drawn_rows
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.folder import RunFolder
from fedrobust.runs.record import RunRecord
from fedrobust.study import Study
from fedrobust.study.sampled_clients import sampled_clients


def trained_rows(study: Study, folder: RunFolder, last: int) -> NDArray[np.bool_]:
    """Return which of all training images were trained on by a client that took part in a round up to `last`, (n,).

    Args:
        study: of a simulated run, whose partition deals the images out.
        folder: of the run.
        last: the round of the model.

    Raises:
        ConfigError: no client took part.
    """
    data = study.experiment.data
    rows = drawn_rows(len(study.dataset.undivided.train), data.train_share, data.train_draw)
    drawn, trained = np.flatnonzero(rows), np.zeros(len(rows), bool)
    for client in participants(study, folder.record(), last):
        trained[drawn[study.partition.shards[client]]] = True
    if not trained.any():
        raise ConfigError(
            f"{folder.path}: no client took part in the rounds up to {last}: no image was trained on"
        )
    return trained


def participants(study: Study, record: RunRecord, last: int) -> list[int]:
    """Return the clients with a valid reply in a round up to `last` whose model was taken, ascending.

    The record names the clients that failed, but not always those that were drawn: a simulation draws them by its seed.
    """
    federation, found = study.experiment.federation, set[int]()
    for each in record.rounds:
        if each.round > last or each.kept:
            continue
        members = study.availability.present(each.round, range(federation.clients))
        draw = generator(study.seed, Purpose.SAMPLING, each.round)
        failed = {failure.partition for failure in each.clients.failures}
        found.update(set(sampled_clients(federation, members, draw)) - failed)
    return sorted(found)
