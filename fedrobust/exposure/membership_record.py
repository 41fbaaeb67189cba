"""The entry of a membership attack in the record of a run."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedrobust.exposure.rates import Rate, pooled
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LeakageAttack
from fedrobust.runs.record.leakage import MembershipRecord, RateRecord


def record(
    name: str,
    attack: LeakageAttack,
    target: str,
    targets: int,
    others: str,
    figures: tuple[float, tuple[float, float]],
    rates: Sequence[Rate],
    began: float,
    control: str = "",
    control_auc: float | None = None,
) -> MembershipRecord:
    """Return the entry of an attack on one kind of target."""
    return MembershipRecord(
        attack=name,
        sees=attack.sees,
        target=target,
        targets=targets,
        shadows=attack.federations,
        others=others,
        auc=figures[0],
        interval=figures[1],
        rates=tuple(
            RateRecord(
                false_positive_rate=rate.asked,
                value=rate.value,
                interval=rate.interval,
                found=rate.found,
                members=rate.members,
                false=rate.false,
                others=rate.others,
            )
            for rate in rates
        ),
        control=control,
        control_auc=control_auc,
        seconds=time.perf_counter() - began,
    )


def record_of_clients(
    name: str,
    attack: LeakageAttack,
    scores: Floats,
    inside: NDArray[np.bool_],
    labels: NDArray[np.integer],
    seed: int,
    began: float,
) -> MembershipRecord:
    """Return the entry of an attack that tells which client has an image, beside what labels alone tell.

    Args:
        name: of the attack with its settings.
        attack: the attack.
        scores: (clients, images); the higher, the more an image looks like the client's.
        inside: (clients, images), whether it is.
        labels: (images,).
        seed: of the intervals.
        began: when the attack began, by `time.perf_counter`.
    """
    found = pooled(scores, inside, seed)
    return record(
        name,
        attack,
        "clients",
        len(scores),
        "images of the other clients",
        (found.auc, found.interval),
        found.rates,
        began,
        control="the label alone",
        control_auc=pooled(label_shares(labels, inside), inside, seed).auc,
    )


def label_shares(labels: NDArray[np.integer], inside: NDArray[np.bool_]) -> Floats:
    """Return the share of each image's label at each client, less that among all images: (clients, n).

    Example:
        >>> label_shares(np.array([0, 1]), np.array([[True, False]])).tolist()
        [[0.5, -0.5]]
    """
    classes = np.arange(labels.max() + 1)
    one_hot = (labels[:, None] == classes).astype(float)
    at_clients = inside @ one_hot / np.maximum(inside.sum(axis=1, keepdims=True), 1)
    found: Floats = (at_clients - one_hot.mean(axis=0))[:, labels]
    return found
