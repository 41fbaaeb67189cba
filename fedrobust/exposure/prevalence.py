"""The share of a class at each hospital, estimated from its update."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from fedrobust.data.dataset import Split
from fedrobust.evaluation.intervals import Interval
from fedrobust.exposure.membership import evenly
from fedrobust.exposure.updates import Updates
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import PropertyAttack
from fedrobust.randomness import Purpose, generator, sequence
from fedrobust.runs.record.leakage import PropertyRecord

MOST_CLIENTS = 10
"""Clients that are attacked, evenly over all honest ones."""


@dataclass(frozen=True, eq=False)
class PrevalenceInference:
    """Property inference on the updates of one round.

    The server draws shadow clients from its own images, the validation split, with shares of the class from 0 to 1, and
    trains them as the client is trained: as many images, the same round and global model.

    Attributes:
        updates: of the run.
        round: in which updates are captured.
        seed: of everything random.
    """

    updates: Updates
    round: int
    seed: int

    def made(self, name: str, attack: PropertyAttack, count: int) -> PropertyRecord:
        """Return the errors of an attack on the clients' shares, and of the constant answer.

        Args:
            name: of the attack, with its settings.
            attack: the attack.
            count: shadow clients for each attacked client.
        """
        began, study = time.perf_counter(), self.updates.study
        honest = [
            client for client in range(study.partition.clients) if client not in study.schedule.malicious
        ]
        clients, wanted = evenly(honest, MOST_CLIENTS), self.finding
        own = study.dataset.validation
        found, truth = [], []
        for client in clients:
            shard = study.shard(client)
            shares, rows = [], []
            for number in range(count):
                drawn = self.shadow(own, len(shard), wanted, client, number)
                shares.append(float((drawn.labels == wanted).mean()))
                # Nobody knows the client's noise: that of a shadow is another.
                noise = int(sequence(self.seed, Purpose.LEAKAGE, client + 1, number).generate_state(1)[0])
                rows.append(self.updates.of(client, self.round, drawn, noise))
            attacked = self.updates.of(client, self.round)
            answer = attack(np.array(rows, np.float64), np.array(shares), attacked[None].astype(np.float64))
            found.append(float(answer[0]))
            truth.append(float((shard.labels == wanted).mean()))
        constant = np.abs(np.array(truth) - (own.labels == wanted).mean())
        errors = np.abs(np.array(truth) - found)
        return PropertyRecord(
            attack=name,
            finding=study.dataset.label_names[wanted],
            clients=len(clients),
            updates=count,
            error=float(errors.mean()),
            constant_error=float(constant.mean()),
            interval=mean_interval(constant - errors),
            estimates=tuple(found),
            truth=tuple(truth),
            seconds=time.perf_counter() - began,
        )

    @property
    def finding(self) -> int:
        """The class: the first that means disease, else the rarest."""
        dataset = self.updates.study.dataset
        return dataset.disease[0] if dataset.disease else int(dataset.counts(dataset.train).argmin())

    def shadow(self, own: Split, images: int, wanted: int, client: int, number: int) -> Split:
        """Return the images of a shadow client, drawn with repetition, whose share of the class is uniform in 0..1."""
        draw = generator(self.seed, Purpose.LEAKAGE, client + 1, number)
        there, elsewhere = np.flatnonzero(own.labels == wanted), np.flatnonzero(own.labels != wanted)
        count = int(draw.integers(0, images + 1))
        return own.of_rows(
            np.concatenate([draw.choice(there, count), draw.choice(elsewhere, images - count)])
        )


def mean_interval(values: "Floats | Sequence[float]", confidence: float = 0.95) -> Interval:
    """Return Student's interval of a mean.

    Example:
        >>> [round(limit, 3) for limit in mean_interval([1.0, 2.0, 3.0])]
        [-0.484, 4.484]
    """
    each = np.asarray(values, np.float64)
    if len(each) < 2:
        return -1.0, 1.0
    reach = float(stdtrit(len(each) - 1, 0.5 + confidence / 2) * each.std(ddof=1) / np.sqrt(len(each)))
    return float(each.mean() - reach), float(each.mean() + reach)
