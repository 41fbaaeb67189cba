"""Pathological partition: a fixed number of classes for each client."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count
from fedrobust.data.dataset import DataError, listed
from fedrobust.data.partition.contract import PARTITIONS, Indices, Labels, Rng, rng_of

TRIES = 1000
"""Draws of `pathological` before it exchanges classes between clients."""


@PARTITIONS.register("pathological")
@dataclass(frozen=True, kw_only=True)
class Pathological:
    """Give each client exactly `classes_per_client` classes; the clients of a class share its images evenly.

    Li et al., 2021, Federated Learning on Non-IID Data Silos: An Experimental Study, arXiv:2102.02079. Draws are
    repeated until every class is held, by at most as many clients as it has images; flwr-datasets draws once.

    Attributes:
        classes_per_client: number of classes that each client has.
        class_assignment: "deterministic": client p holds the classes p, p + 1, ... modulo the number of classes.
            "random": drawn without replacement. "first-deterministic": class p modulo the number of classes, the others
            drawn.

    Example:
        >>> labels = np.tile([0, 1, 2], 6)
        >>> one_class = Pathological(classes_per_client=1, class_assignment="deterministic")
        >>> [sorted(set(labels[shard].tolist())) for shard in one_class(labels, clients=3, seed=0)]
        [[0], [1], [2]]
    """

    classes_per_client: Count = 2
    class_assignment: Literal["random", "deterministic", "first-deterministic"] = "random"

    def __call__(self, labels: Labels, clients: int, seed: int) -> list[Indices]:
        """Return a shard of each client.

        Raises:
            DataError: there are fewer classes, or a class has no client or too few images.
        """
        rng = rng_of(seed)
        members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        classes, each = len(members), self.classes_per_client
        if each > classes:
            raise DataError(f"classes_per_client = {each}: allowed: 1 to {classes}, the number of classes")
        if clients * each < classes:
            raise DataError(
                f"{clients} clients with {each} classes each cannot hold all {classes} classes; raise "
                f"classes_per_client to {-(-classes // clients)} or federation.clients to {-(-classes // each)}"
            )
        per_class = np.array([len(indices) for indices in members])
        holds = held(per_class, clients, each, self.class_assignment, rng)
        parts: list[list[Indices]] = [[] for _ in range(clients)]
        for label, indices in enumerate(members):
            holders = np.flatnonzero(holds[:, label])
            shares = np.array_split(rng.permutation(indices), len(holders))
            for client, part in zip(holders, shares, strict=True):
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
            f'with class_assignment = "{assignment}", {clients} clients with {classes_per_client} classes each left '
            f"class {listed(np.flatnonzero(holders == 0).tolist())} without a client; raise classes_per_client or "
            "federation.clients"
        )
    crowded = int(np.argmax(holders - per_class))
    raise DataError(
        f"class {crowded} has {per_class[crowded]} images but {holders[crowded]} of {clients} clients would share it; "
        "lower federation.clients or classes_per_client"
    )


def spread(holds: NDArray[np.bool_], per_class: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """Return `holds` with classes exchanged until each is held, by at most as many clients as it has images.

    One at a time, a client of the class with most clients for its images takes the one with fewest. None if this does
    not end.

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
"""Name of `class_assignment` -> function that returns each client's order of classes, (clients, classes)."""
