"""All attacks on the privacy of one run, and their record."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.exposure.membership import Membership
from fedrobust.exposure.shadows import trained_shadows
from fedrobust.exposure.updates import Updates, check_replayable
from fedrobust.lazy import tf
from fedrobust.leakage import LeakageAttack, MembershipAttack
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.runs.record.leakage import LeakageRecord, MembershipRecord
from fedrobust.runs.run import Run
from fedrobust.study import Study

BATCH = 128
"""Images in a call of the final model."""


@dataclass(frozen=True, eq=False)
class Leak:
    """The attacks on one run.

    Attributes:
        run: finished.
        study: of the run.
        attacks: by the text that names them.
        seed: of everything random.
        tell: told of the progress.
        workers: shadow federations at a time; 0: one per core.
    """

    run: Run
    study: Study
    attacks: Mapping[str, LeakageAttack]
    seed: int
    tell: Callable[[str], None]
    workers: int = 0

    def made(self, environment: Mapping[str, Any]) -> LeakageRecord:
        """Make all attacks, and return their record.

        Raises:
            ConfigError: a shadow federation failed.
        """
        began, skipped = time.perf_counter(), self.skipped()
        left = {name: attack for name, attack in self.attacks.items() if name not in skipped}
        count = max((attack.federations for attack in left.values()), default=0)
        shadows = (
            trained_shadows(
                self.study.experiment,
                count,
                self.run.folder.file("shadows"),
                len(self.study.dataset.undivided.train),
                self.tell,
                self.workers,
            )
            if count
            else ()
        )
        membership = Membership(self.study, self.kept, self.answers(), shadows, self.seed)
        rows: list[MembershipRecord] = []
        for name, attack in left.items():
            if isinstance(attack, MembershipAttack):
                self.tell(name)
                rows += self.of_membership(membership, name, attack)
        model = self.run.record.model
        return LeakageRecord(
            run=self.run.record.name,
            model=(model and model.digest) or "",
            seed=self.seed,
            shadows=count,
            membership=tuple(rows),
            skipped=tuple(f"{name}: {why}" for name, why in skipped.items()),
            seconds=time.perf_counter() - began,
            environment=environment,
        )

    @property
    def kept(self) -> KeptRounds:
        """The kept global models of the run."""
        return KeptRounds(self.run.folder)

    def skipped(self) -> dict[str, str]:
        """Return the attacks that cannot be made on this run, and why."""
        without = "the run kept no global models of its rounds; run it with output.keep-every = 1, or a larger number"
        found = {}
        for name, attack in self.attacks.items():
            if attack.sees == "rounds" and not self.kept.numbers:
                found[name] = without
            if attack.sees == "updates":
                try:
                    check_replayable(self.study)
                except ConfigError as error:
                    found[name] = str(error)
        return found

    def of_membership(
        self, membership: Membership, name: str, attack: MembershipAttack
    ) -> Sequence[MembershipRecord]:
        """Return the entries of one attack: on the run, on shadows; or on its clients' updates."""
        if attack.sees == "updates":
            return [membership.on_clients(name, attack, Updates(self.study, self.kept))]
        on_run = membership.on_model(name, attack)
        return [on_run, membership.on_shadows(name, attack)] if membership.shadows else [on_run]

    def answers(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the final model as a function of stored images, uint8 (n, height, width, channels), to logits."""
        model = self.run.model()
        call = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

        def answers(images: np.ndarray) -> np.ndarray:
            parts = [
                np.asarray(call(tf.cast(tf.constant(images[at : at + BATCH]), tf.float32) / 255.0))
                for at in range(0, len(images), BATCH)
            ]
            return np.concatenate(parts)

        return answers
