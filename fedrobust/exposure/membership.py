"""Attacks on membership in a run: from its final model, from the models of its rounds, from single updates."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.data.dataset import Split
from fedrobust.exposure.confidences import Confidences
from fedrobust.exposure.membership_record import record, record_of_clients
from fedrobust.exposure.rates import FALSE_POSITIVE_RATES, area, pooled, rate_at
from fedrobust.exposure.shadows import Shadow
from fedrobust.exposure.trained_rows import trained_rows
from fedrobust.exposure.updates import Updates
from fedrobust.leakage import Evidence, MembershipAttack, confidence
from fedrobust.leakage.confidence import Floats
from fedrobust.memoize import part
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.runs.record.leakage import MembershipRecord
from fedrobust.study import Study

CONTROLS = 8
"""Shadow federations that are attacked as controls."""

MOST_CLIENTS, MOST_ROUNDS = 10, 5
"""Whose updates are attacked, evenly over all."""


@dataclass(frozen=True, eq=False)
class Membership:
    """The membership attacks on one run.

    Attributes:
        study: of the run.
        kept: its kept global models.
        answers: logits (n, classes) of its final model on stored images, uint8.
        shadows: finished shadow federations.
        seed: of intervals.
        last: the round of the final model; 0: the study's last one.
    """

    study: Study
    kept: KeptRounds
    answers: Callable[[np.ndarray], np.ndarray]
    shadows: tuple[Shadow, ...]
    seed: int
    last: int = 0

    @part
    def train(self) -> Split:
        """All training images, whether the run was trained on them or not."""
        return self.study.dataset.undivided.train

    @part
    def rows(self) -> NDArray[np.bool_]:
        """Which of them the run was trained on, (n,); see `trained_rows`."""
        return trained_rows(self.study, self.kept.folder, self._last)

    @property
    def left_out(self) -> bool:
        """Whether a random share of the training images was left out: others from the same distribution."""
        return self.study.experiment.data.train_share < 1

    @part
    def images(self) -> Split:
        """The images that are attacked: all training images; and the test images, if none of the others is left out."""
        test = [] if self.left_out else [self.study.dataset.test]
        return Split.joined([self.train, *test])

    @property
    def others(self) -> str:
        """What the images are that are no members."""
        if self.left_out:
            return "training images left out"
        return (
            "test images" if self.rows.all() else "test images, and training images that no client trained on"
        )

    @part
    def rounds(self) -> tuple[int, ...]:
        """The kept rounds of the run, evenly at most `MOST_ROUNDS` of them, without the last."""
        return evenly([number for number in self.kept.numbers if number < self._last], MOST_ROUNDS - 1)

    @part
    def target(self) -> Floats:
        """Confidences of the run's models in the images, (rounds, n), the final model's last."""
        ask, images = Confidences(self.study), self.images
        before = [ask(self.kept.weights(number), images) for number in self.rounds]
        return np.stack([*before, self.final(images)])

    def final(self, split: Split) -> Floats:
        """Return the final model's confidences (n,)."""
        return confidence(self.answers(split.images), split.labels)

    @part
    def of_shadows(self) -> Floats:
        """Confidences of the shadows' models, (shadows, rounds, n)."""
        ask, images, last = Confidences(self.study), self.images, self._last
        return np.stack(
            [
                np.stack([ask(shadow.rounds.weights(number), images) for number in (*self.rounds, last)])
                for shadow in self.shadows
            ]
        )

    @part
    def members(self) -> NDArray[np.bool_]:
        """Whether each shadow was trained on each image, (shadows, n)."""
        test = np.zeros(len(self.images) - len(self.train), bool)
        return np.stack([np.concatenate([shadow.rows, test]) for shadow in self.shadows])

    @part
    def populations(self) -> tuple[Floats, Floats]:
        """Confidences in the validation images: of the final model (z,), and of the shadows (shadows, z)."""
        ask, split, last = Confidences(self.study), self.study.dataset.validation, self._last
        return self.final(split), np.stack([ask(one.rounds.weights(last), split) for one in self.shadows])

    @property
    def _last(self) -> int:
        return self.last or self.study.experiment.federation.rounds

    def on_model(self, name: str, attack: MembershipAttack) -> MembershipRecord:
        """Return the figures of an attack on the run itself."""
        began, inside = time.perf_counter(), self._inside
        evidence = self._evidence(attack, None)
        scores = attack(evidence)
        auc, interval = area(scores, inside)
        rates = [rate_at(scores, inside, asked) for asked in FALSE_POSITIVE_RATES]
        control = None
        if not self.left_out and len(self.shadows):
            control = float(
                np.mean([self._shifted(attack, place) for place in range(min(CONTROLS, len(self.shadows)))])
            )
        return record(
            name,
            attack,
            "model",
            1,
            self.others,
            (auc, interval),
            rates,
            began,
            control="" if control is None else "training against test images, all left out of a shadow",
            control_auc=control,
        )

    def on_shadows(self, name: str, attack: MembershipAttack) -> MembershipRecord:
        """Return the figures of an attack on each shadow by the others, pooled: the leakage of the study's training.

        The shadow that was trained on the other half is left out, so that members and others have as many shadows.
        """
        began, n = time.perf_counter(), len(self.train)
        scores = np.stack([attack(self._evidence(attack, place))[:n] for place in range(len(self.shadows))])
        found = pooled(scores, self.members[:, :n], self.seed)
        figures = found.auc, found.interval
        return record(
            name,
            attack,
            "shadows",
            len(self.shadows),
            "training images left out",
            figures,
            found.rates,
            began,
        )

    def on_clients(self, name: str, attack: MembershipAttack, updates: Updates) -> MembershipRecord:
        """Return the figures of an attack on single updates: which client has an image of all clients' images."""
        began, study = time.perf_counter(), self.study
        train, shards = study.dataset.train, study.partition.shards
        honest = [client for client in range(len(shards)) if client not in study.schedule.malicious]
        clients, rounds = evenly(honest, MOST_CLIENTS), evenly(updates.rounds, MOST_ROUNDS)
        cosines = np.stack(
            [
                updates.alignments(
                    np.stack([updates.of(client, number) for client in clients]), number, train
                )
                for number in rounds
            ]
        )
        scores = np.stack(
            [attack(Evidence(np.zeros((1, len(train))), alignments=each)) for each in cosines.swapaxes(0, 1)]
        )
        inside = np.zeros(scores.shape, bool)
        for place, client in enumerate(clients):
            inside[place, shards[client]] = True
        return record_of_clients(name, attack, scores, inside, train.labels, self.seed, began)

    @part
    def _inside(self) -> NDArray[np.bool_]:
        return np.concatenate([self.rows, np.zeros(len(self.images) - len(self.train), bool)])

    def _evidence(self, attack: MembershipAttack, attacked: int | None) -> Evidence:
        """Return what an attack sees of the run, or of one shadow."""
        if not attack.federations:
            return Evidence(self.target if attacked is None else self.of_shadows[attacked])
        its, of_shadows = self.populations
        if attacked is None:
            whole = Evidence(self.target, self.of_shadows, self.members, its, of_shadows)
            return whole.with_shadows(attack.federations)
        used = [place for place in range(len(self.shadows)) if place // 2 != attacked // 2][
            : attack.federations
        ]
        return Evidence(
            self.of_shadows[attacked],
            self.of_shadows[used],
            self.members[used],
            of_shadows[attacked],
            of_shadows[used],
        )

    def _shifted(self, attack: MembershipAttack, attacked: int) -> float:
        """Return the AUC of an attack between training images and test images that a shadow was not trained on."""
        scores = attack(self._evidence(attack, attacked))
        outside = ~self.members[attacked]
        of_training = np.arange(len(scores)) < len(self.train)
        return area(scores[outside], of_training[outside])[0]


def evenly(values: Sequence[int], most: int) -> tuple[int, ...]:
    """Return at most so many of the values, evenly over all, the first and the last among them.

    Example:
        >>> evenly([1, 2, 3, 4, 5, 6, 7], 3), evenly([1, 2], 3)
        ((1, 4, 7), (1, 2))
    """
    if len(values) <= most:
        return tuple(values)
    return tuple(values[int(place)] for place in np.linspace(0, len(values) - 1, most).round())
