"""Attacks by a malicious server on head-only training: heads of its choice, and what single clients make of them."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.exposure.membership import evenly
from fedrobust.exposure.membership_record import record_of_clients
from fedrobust.exposure.updates import Updates
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import CraftedHeadAttack
from fedrobust.models.layout import Weights
from fedrobust.randomness import Purpose, generator
from fedrobust.runs.record.leakage import MembershipRecord


def why_not_crafted(updates: Updates, attack: CraftedHeadAttack) -> str:
    """Return why a study's clients cannot be sent crafted heads; "" if they can."""
    experiment = updates.study.experiment
    if not experiment.training.features_are_cached or updates.study.classifier.defence is not None:
        return (
            f'training.layers = "{experiment.training.layers}": crafted heads need training of the head alone, '
            'training.layers = "head" without model.defence'
        )
    if 2 * attack.pairs > experiment.federation.rounds:
        return (
            f"pairs = {attack.pairs}: heads are sent in {2 * attack.pairs} rounds, and the study has "
            f"federation.rounds = {experiment.federation.rounds}; lower pairs"
        )
    return ""


@dataclass(frozen=True, eq=False)
class CraftedHeads:
    """A malicious server that asks clients for images.

    Attributes:
        updates: of the run.
        seed: of the choice of images, and of intervals.
    """

    updates: Updates
    seed: int

    def on_clients(self, name: str, attack: CraftedHeadAttack) -> MembershipRecord:
        """Return the figures of an attack: which client has an image.

        Images are drawn from the attacked clients; each of these clients is asked for all of them.
        """
        began, study = time.perf_counter(), self.updates.study
        shards = study.partition.shards
        honest = [client for client in range(len(shards)) if client not in study.schedule.malicious]
        clients = evenly(honest, attack.clients)
        draw = generator(self.seed, Purpose.LEAKAGE)
        rows = np.concatenate(
            [np.sort(draw.permutation(shards[client])[: attack.images]) for client in clients]
        )
        asked = study.dataset.train.of_rows(rows)
        features, own = (
            np.asarray(study.features.of(images), np.float64)
            for images in (asked.images, study.dataset.validation.images)
        )
        scores = np.array(
            [
                [
                    self.score(attack, client, own, *image)
                    for image in zip(features, asked.labels, strict=True)
                ]
                for client in clients
            ]
        )
        inside = np.stack([np.isin(rows, shards[client]) for client in clients])
        return record_of_clients(name, attack, scores, inside, asked.labels, self.seed, began)

    def score(
        self, attack: CraftedHeadAttack, client: int, own: Floats, features: Floats, label: int
    ) -> float:
        """Return the score of an image at a client."""
        heads = attack.heads(features, int(label), own, self.updates.study.problem.classes)
        answers = [
            np.stack([self.update(client, 2 * pair + place + 1, head) for place, head in enumerate(heads)])
            for pair in range(attack.pairs)
        ]
        return attack.score(features, int(label), np.mean(answers, axis=0))

    def update(self, client: int, round: int, head: Floats) -> NDArray[np.float64]:
        """Return what a client changes of a head (d + 1, classes) that it is sent in a round."""
        sent = head.astype(np.float32).ravel()
        start = Weights(sent, self.updates.initial.statistics)
        after = self.updates.sent(client, round, start=start).trainable
        return (after.astype(np.float64) - sent).reshape(head.shape)
