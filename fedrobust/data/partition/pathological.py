"""A few classes a client."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import DataError, listed
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, Rng

TRIES = 1000
"""How often `pathological` draws again before it exchanges classes."""


@PARTITIONS.register("pathological")
def pathological(
    labels: Labels, clients: int, rng: Rng, *, classes_per_client: int, class_assignment: str
) -> list[Indices]:
    """Give each client exactly `classes_per_client` classes; holders of a class share it evenly.

    ``"deterministic"``: client p holds the classes p, p + 1, ... modulo their number. ``"random"``: drawn
    without replacement. ``"first-deterministic"``: class p modulo their number, the others drawn. Draws are
    repeated until every class is held and none by more clients than it has images. Li et al., 2021, Federated
    Learning on Non-IID Data Silos: An Experimental Study, arXiv:2102.02079.
    """
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    classes = len(members)
    if not 1 <= classes_per_client <= classes:
        raise DataError(
            f"data.classes-per-client = {classes_per_client}: allowed: 1 to {classes}, the number of classes"
        )
    if class_assignment not in ASSIGNMENTS:
        raise DataError(
            f'data.class-assignment = "{class_assignment}": choose one of: {", ".join(ASSIGNMENTS)}'
        )
    if clients * classes_per_client < classes:
        raise DataError(
            f'data.partition = "pathological": {clients} clients with {classes_per_client} classes each '
            f"cannot hold all {classes} classes; raise data.classes-per-client to {-(-classes // clients)} "
            f"or federation.clients to {-(-classes // classes_per_client)}"
        )
    per_class = np.array([len(indices) for indices in members])
    holds = held(per_class, clients, classes_per_client, class_assignment, rng)
    parts: list[list[Indices]] = [[] for _ in range(clients)]
    for label, indices in enumerate(members):
        holders = np.flatnonzero(holds[:, label])
        for client, part in zip(holders, np.array_split(rng.permutation(indices), len(holders)), strict=True):
            parts[client].append(part)
    return [np.concatenate(part) for part in parts]


def held(
    per_class: NDArray[np.int64], clients: int, classes_per_client: int, assignment: str, rng: Rng
) -> NDArray[np.bool_]:
    """Return which classes each client holds, bool (clients, classes)."""
    classes = len(per_class)
    for _ in range(1 if assignment == "deterministic" else TRIES):
        chosen = ASSIGNMENTS[assignment](clients, classes, rng)[:, :classes_per_client]
        holds = np.zeros((clients, classes), np.bool_)
        np.put_along_axis(holds, chosen, True, axis=1)
        holders = holds.sum(axis=0)
        if holders.min() > 0 and (holders <= per_class).all():
            return holds
    if assignment != "deterministic" and (rehoused := spread(holds, per_class)) is not None:
        return rehoused
    if holders.min() == 0:
        raise DataError(
            f'data.partition = "pathological": with data.class-assignment = "{assignment}", {clients} '
            f"clients with {classes_per_client} classes each left class "
            f"{listed(np.flatnonzero(holders == 0).tolist())} to nobody; raise data.classes-per-client or "
            "federation.clients"
        )
    crowded = int(np.argmax(holders - per_class))
    raise DataError(
        f'data.partition = "pathological": class {crowded} has {per_class[crowded]} images but '
        f"{holders[crowded]} of {clients} clients would share it; lower federation.clients or "
        "data.classes-per-client"
    )


def spread(holds: NDArray[np.bool_], per_class: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Return `holds` with classes exchanged until each is held, by no more clients than it has images.

    One at a time, a holder of the most crowded class takes the emptiest instead. None where that comes to no end.

    Args:
        holds: which classes each client holds, bool (clients, classes).
        per_class: images of each class.
    """
    holds = holds.copy()
    for _ in range(holds.size):
        holders = holds.sum(axis=0)
        room = per_class - holders
        if holders.min() > 0 and room.min() >= 0:
            return holds
        wanted = int(holders.argmin()) if holders.min() == 0 else int(room.argmax())
        givers = holders > 1 if holders.min() == 0 else room < 0
        for crowded in np.argsort(room, kind="stable"):
            movable = np.flatnonzero(holds[:, crowded] & ~holds[:, wanted])
            if givers[crowded] and room[wanted] > 0 and len(movable):
                holds[movable[0], [crowded, wanted]] = False, True
                break
        else:
            return None
    return None


def random_classes(clients: int, classes: int, rng: Rng) -> Indices:
    """Return a random order of the classes for every client, (clients, classes)."""
    return np.argsort(rng.random((clients, classes)), axis=1)


def consecutive_classes(clients: int, classes: int, rng: Rng) -> Indices:
    """Return the classes in turn, client p beginning with p modulo their number."""
    return (np.arange(clients)[:, None] + np.arange(classes)) % classes


def first_class_in_turn(clients: int, classes: int, rng: Rng) -> Indices:
    """Return class p modulo their number first, then the others in random order."""
    keys = rng.random((clients, classes))
    keys[np.arange(clients), np.arange(clients) % classes] = -1.0
    return np.argsort(keys, axis=1)


ASSIGNMENTS: dict[str, Callable[[int, int, Rng], Indices]] = {
    "random": random_classes,
    "deterministic": consecutive_classes,
    "first-deterministic": first_class_in_turn,
}
"""How `pathological` chooses the order in which a client would take the classes."""
