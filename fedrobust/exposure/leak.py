"""All attacks on the privacy of one run, and their record."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from fedrobust.config import ConfigError
from fedrobust.exposure.confidences import Confidences
from fedrobust.exposure.crafted_heads import CraftedHeads, why_not_crafted
from fedrobust.exposure.dp_audit import Audited, Mechanism, audited
from fedrobust.exposure.image_canaries import ImageCanaries
from fedrobust.exposure.inversion import Inversion
from fedrobust.exposure.membership import Membership
from fedrobust.exposure.prevalence import PrevalenceInference
from fedrobust.exposure.shadows import Shadow, trained_shadows
from fedrobust.exposure.updates import Updates, check_replayable
from fedrobust.lazy import tf
from fedrobust.leakage import LeakageAttack, MembershipAttack
from fedrobust.leakage.contract import AuditAttack, CraftedHeadAttack, InversionAttack, PropertyAttack
from fedrobust.runs.kept_rounds import KeptRounds
from fedrobust.runs.record import RunRecord
from fedrobust.runs.record.leakage import (
    InversionRecord,
    LeakageRecord,
    MembershipRecord,
    PrivacyAuditRecord,
    PropertyRecord,
)
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
            ConfigError: a shadow federation failed, or no client has as many images as an inversion asks for.
        """
        began, skipped = time.perf_counter(), self.skipped()
        left = {name: attack for name, attack in self.attacks.items() if name not in skipped}
        shadows = self.shadows(max((attack.federations for attack in left.values()), default=0))
        rows: list[MembershipRecord | InversionRecord | PropertyRecord | PrivacyAuditRecord] = []
        last = selected_round(self.run.record)
        membership = Membership(self.study, self.kept, self.answers(), shadows, self.seed, last)
        for name, attack in left.items():
            self.tell(name)
            if isinstance(attack, MembershipAttack):
                rows += self.of_membership(membership, name, attack)
            elif isinstance(attack, CraftedHeadAttack):
                rows.append(CraftedHeads(self.updates, self.seed).on_clients(name, attack))
            elif isinstance(attack, InversionAttack):
                rows += self.of_inversion(name, attack)
            elif isinstance(attack, PropertyAttack):
                inference = PrevalenceInference(self.updates, attack.round, self.seed)
                rows.append(inference.made(name, attack, attack.updates))
            elif isinstance(attack, AuditAttack):
                delta = self.study.experiment.privacy.delta
                rows += [
                    audited(mechanism, delta, self.seed, number)
                    for number, mechanism in self.mechanisms(attack.canaries)
                ]
        model = self.run.record.model
        return LeakageRecord(
            run=self.run.record.name,
            model=(model and model.digest) or "",
            seed=self.seed,
            shadows=len(shadows),
            membership=tuple(one for one in rows if isinstance(one, MembershipRecord)),
            inversion=tuple(one for one in rows if isinstance(one, InversionRecord)),
            property=tuple(one for one in rows if isinstance(one, PropertyRecord)),
            audits=tuple(one for one in rows if isinstance(one, PrivacyAuditRecord)),
            skipped=tuple(f"{name}: {why}" for name, why in skipped.items()),
            seconds=time.perf_counter() - began,
            environment=environment,
        )

    @property
    def kept(self) -> KeptRounds:
        """The kept global models of the run."""
        return KeptRounds(self.run.folder)

    @property
    def updates(self) -> Updates:
        """The updates of the run's clients."""
        return Updates(self.study, self.kept)

    def mechanisms(self, canaries: int) -> list[tuple[int, Audited]]:
        """Return the run's mechanisms of differential privacy, of clients and of images, with numbers of canaries."""
        study, federation, found = self.study, self.study.experiment.federation, list[tuple[int, Audited]]()
        if study.promise is not None and not self.why_no_client_audit():
            is_drawn = federation.sampling == "poisson"
            rate = federation.participation if is_drawn else 1.0
            replies = federation.clients * rate
            found.append((canaries, Mechanism(study.postprocessors, study.promise, rate, replies)))
        if study.dp_sgd is not None:
            images = ImageCanaries.of(study, canaries, self.seed)
            found.append((len(images.canaries), images))
        return found

    def skipped(self) -> dict[str, str]:
        """Return the attacks that cannot be made on this run, and why."""
        found = {}
        for name, attack in self.attacks.items():
            if why := self.why_not(attack):
                found[name] = why
        return found

    def why_not(self, attack: LeakageAttack) -> str:
        """Return why an attack cannot be made on this run; "" if it can."""
        if isinstance(attack, AuditAttack):
            return self.why_no_audit()
        if isinstance(attack, MembershipAttack) and attack.federations and (why := self.why_no_shadows()):
            return why
        if attack.sees == "rounds" and not self.kept.numbers:
            return "the run kept no global models of its rounds; run it with output.keep-every = 1, or a larger number"
        if attack.sees not in ("updates", "active"):
            return ""
        try:
            check_replayable(self.study)
        except ConfigError as error:
            return str(error)
        if isinstance(attack, CraftedHeadAttack):
            return why_not_crafted(self.updates, attack)
        round = getattr(attack, "round", 1)
        if round not in self.updates.rounds:
            known = ", ".join(map(str, self.updates.rounds))
            return f"round = {round}: updates of rounds {known} can be computed; run with output.keep-every = 1 for all"
        return ""

    def why_no_shadows(self) -> str:
        """Return why shadow federations have no model that compares with the run's; "" if they have one."""
        settings, selected = self.study.experiment, selected_round(self.run.record)
        every = settings.output.keep_every or settings.federation.rounds
        if settings.model.removal != "none":
            return f'model.removal = "{settings.model.removal}" changes the model after its rounds; shadows have none'
        if selected % every and selected != settings.federation.rounds:
            return (
                f"the model is that of round {selected}, and shadows keep every {every}th: run with output.keep-every "
                f'= {selected} or 1, or evaluation.select = "last"'
            )
        return ""

    def why_no_audit(self) -> str:
        """Return why no promise of differential privacy can be audited; "" if one can."""
        if self.study.dp_sgd is not None:
            return ""
        if self.study.promise is None:
            return "no differential privacy was promised, which is what is audited"
        return self.why_no_client_audit()

    def why_no_client_audit(self) -> str:
        """Return why the promise to clients cannot be audited; "" if it can."""
        federation = self.study.experiment.federation
        if federation.sampling != "poisson" and federation.participation < 1:
            return (
                f"federation.participation = {federation.participation} with federation.sampling = "
                f'"{federation.sampling}": canaries are in or out, and this promise is for data that are replaced'
            )
        return ""

    def shadows(self, count: int) -> tuple[Shadow, ...]:
        """Return so many finished shadow federations."""
        if not count:
            return ()
        folder, last = self.run.folder.file("shadows"), selected_round(self.run.record)
        return trained_shadows(self.study.experiment, count, folder, last, self.tell, self.workers)

    def of_membership(
        self, membership: Membership, name: str, attack: MembershipAttack
    ) -> Sequence[MembershipRecord]:
        """Return the entries of one attack: on the run, on shadows; or on its clients' updates."""
        if attack.sees == "updates":
            return [membership.on_clients(name, attack, self.updates)]
        on_run = membership.on_model(name, attack)
        return [on_run, membership.on_shadows(name, attack)] if membership.shadows else [on_run]

    def of_inversion(self, name: str, attack: InversionAttack) -> Sequence[InversionRecord]:
        """Return the entries of one attack: one for each trial."""
        start = self.updates.start(attack.round)
        answers = partial(Confidences(self.study).logits, start)
        model = self.run.record.model
        policy = (model and model.batchnorm) or "none"
        inversion = Inversion(self.updates, attack.round, answers, self.seed, policy)
        return [inversion.on_client(name, attack, attack.images, trial) for trial in range(attack.trials)]

    def answers(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the final model as a function of stored images, uint8 (n, height, width, channels), to logits.

        A model of the study's own network answers by its weights: with the head alone trained, on features that were
        computed once for all models.
        """
        model, classifier = self.run.model(), self.study.classifier
        weights = classifier.weights_of(model) if classifier.defence is None else None
        if weights is not None:
            return partial(Confidences(self.study).logits, weights)
        call = tf.function(lambda images: model(images, training=False), reduce_retracing=True)

        def answers(images: np.ndarray) -> np.ndarray:
            parts = [
                np.asarray(call(tf.cast(tf.constant(images[at : at + BATCH]), tf.float32) / 255.0))
                for at in range(0, len(images), BATCH)
            ]
            return np.concatenate(parts)

        return answers


def selected_round(record: RunRecord) -> int:
    """Return the round whose model the run kept."""
    kept = record.model and record.model.selected_round
    return kept or (record.rounds[-1].round if record.rounds else 1)
