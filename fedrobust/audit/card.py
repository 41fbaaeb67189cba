"""The audit of a model: all checks, the verdict and the card."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fedrobust.audit.attack_cache import AttackCache
from fedrobust.audit.attack_suite import NOBODY, AttackSuite
from fedrobust.audit.checks import (
    attack_strength,
    behaviour,
    comparison,
    gradient_masking,
    model,
    obfuscated_gradients,
    protocol,
)
from fedrobust.audit.figures import clinical_record, share_record
from fedrobust.audit.finding import Finding
from fedrobust.audit.model_under_audit import ModelUnderAudit
from fedrobust.audit.predictions import predictions_record
from fedrobust.audit.verdict import Tally, Verdict
from fedrobust.audit.vocabulary import evidence
from fedrobust.config import ConfigError
from fedrobust.evasion import NotDifferentiableError, Threat
from fedrobust.runs.record import CardRecord, MetricsRecord
from fedrobust.runs.record.card import (
    AuditedAttackRecord,
    AuditedClassRecord,
    AuditedDataRecord,
    AuditedModelRecord,
    AuditSettingsRecord,
    CostRecord,
    ThreatRecord,
    VerdictRecord,
)

Check = Callable[[AttackSuite], Finding]


def of_model(check: Callable[[AttackCache], Finding]) -> Check:
    """Return a check of the model as a check of the attack suite."""
    return lambda suite: check(suite.cache)


CHECKS: tuple[Check, ...] = (
    of_model(model.outputs_are_logits),
    of_model(model.deterministic),
    protocol.split_and_n,
    behaviour.enough_images,
    behaviour.collapse_clean,
    of_model(model.batchnorm_gap),
    of_model(model.gradient_health),
    of_model(obfuscated_gradients.gradient_predicts_the_change),
    of_model(obfuscated_gradients.no_jump_at_the_boundary),
    gradient_masking.loss_swap,
    gradient_masking.iterative_beats_single_step,
    attack_strength.monotone,
    attack_strength.large_epsilon,
    attack_strength.converged,
    attack_strength.restarts,
    gradient_masking.substitute_gradients,
    gradient_masking.below_the_head,
    gradient_masking.smoothed_gradients,
    gradient_masking.black_box,
    attack_strength.asked_seriously,
    gradient_masking.transfer,
    gradient_masking.label_leaking,
    attack_strength.attack_validated,
    protocol.catastrophic_overfitting,
    behaviour.collapse_attacked,
    behaviour.keeps_its_lead,
    comparison.control,
    protocol.unseen_attack,
    protocol.realisable,
    comparison.int8_twin,
)


@dataclass(frozen=True)
class Card:
    """The result of an audit.

    Attributes:
        verdict: the word and the checks that decided it.
        findings: of all checks.
        record: the content of ``card.json``.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    record: CardRecord

    @cached_property
    def content(self) -> dict[str, Any]:
        """The content of ``card.json``, as plain data."""
        return self.record.to_json()


def audit(
    cache: AttackCache,
    note: Callable[[Finding], None] = lambda finding: None,
    environment: Mapping[str, Any] | None = None,
) -> Card:
    """Run every check on a model, and return the card.

    Args:
        cache: the model, its images, the threat model.
        note: called with each finding.
        environment: versions, processor and threads.

    Raises:
        ConfigError: the threat model's norm is l0, or a companion model cannot be compared.
    """
    if cache.plan.threat.norm == "l0":
        raise ConfigError(
            'norm = "l0": an audit is made in linf or l2; run attacks on few pixels with `fedrobust attack`'
        )
    _check_companions(cache.audited)
    suite, findings = AttackSuite(cache), []
    for check in CHECKS:
        finding = check(suite)
        findings.append(finding)
        note(finding)
    return made(suite, findings, environment)


def _check_companions(audited: ModelUnderAudit) -> None:
    """Check that companion models have the same images and classes, and a gradient."""
    target = audited.target
    for what in ("control", "teacher", "edge"):
        companion = getattr(audited, what)
        if companion is None:
            continue
        name, other = companion
        if (other.shape, other.classes) != (target.shape, target.classes):
            raise ConfigError(
                f"{what} = {name!r}: it takes images of {other.shape} and knows {other.classes} classes, the model "
                f"under audit {target.shape} and {target.classes}: leave it out, or audit in the space that both share"
            )
        if what == "edge":
            continue
        try:
            other.gradient(audited.images[:1], audited.labels[:1], "margin")
        except NotDifferentiableError as error:
            raise ConfigError(
                f"{what} = {name!r}: it has no gradient ({error}); give a model that has one, or leave it out"
            ) from error


def made(
    suite: AttackSuite, findings: Sequence[Finding], environment: Mapping[str, Any] | None = None
) -> Card:
    """Return the card of a suite after its checks."""
    cache = suite.cache
    audited, plan, n = cache.audited, cache.plan, len(cache.audited)
    numbers = tally(suite)
    verdict = Verdict.of(findings, numbers)
    record = CardRecord(
        model=AuditedModelRecord(name=audited.name, digest=audited.digest, output=audited.output),
        data=data_record(audited.data, n),
        threat=threat_record(plan.threat, plan.epsilon, plan.value),
        settings=AuditSettingsRecord(
            effort=plan.effort, seed=plan.seed, steps=plan.steps, queries=plan.queries
        ),
        verdict=VerdictRecord(word=verdict.word, sentence=verdict.sentence, deciding=verdict.deciding),
        cost=CostRecord(
            queries=numbers.queries,
            gradients=numbers.gradients,
            seconds=sum(result.seconds for result in cache.results),
        ),
        notes=(*audited.notes, *_answers_of(cache)),
        checks=tuple(finding.record() for finding in findings),
        clean=clinical_record(audited.labels, cache.clean, audited.disease),
        attacked=clinical_record(audited.labels, suite.worst_logits, audited.disease),
        predictions={
            "clean": predictions_record(audited.labels, cache.clean, audited.disease),
            "attacked": predictions_record(audited.labels, suite.worst_logits, audited.disease),
        },
        standing=share_record(numbers.standing, n, audited.majority_rate),
        classes=tuple(_class(suite, int(label)) for label in np.unique(audited.labels)),
        robust=_curves(suite),
        broken_by={str(name): int(count) for name, count in _counts(suite.broken_by)},
        attacks=tuple(
            AuditedAttackRecord(
                name=result.name,
                epsilons=tuple(map(float, result.epsilons)),
                n=len(result.rows),
                broken=tuple(int(count) for count in result.success.sum(axis=1)),
                queries=float(result.queries),
                gradients=float(result.gradients),
                seconds=result.seconds,
            )
            for result in cache.results
        ),
        evidence=evidence(cache.results),
        environment=environment or {},
    )
    return Card(verdict, tuple(findings), record)


def data_record(data: Mapping[str, Any], n: int) -> AuditedDataRecord:
    """Return the card's entry for `n` images of a data set."""
    return AuditedDataRecord(
        name=data["name"],
        digest=data["digest"],
        split=data.get("split", "test"),
        labels=tuple(map(str, data.get("labels", ()))),
        disease=tuple(map(int, data.get("disease", ()))),
        official=data.get("official"),
        n=n,
    )


def threat_record(threat: Threat, epsilon: float | str | None, value: float | None) -> ThreatRecord:
    """Return the card's entry for a threat model."""
    return ThreatRecord(
        norm=threat.norm,
        epsilon=epsilon,
        epsilon_value=value,
        space=threat.space,
        bits=threat.bits,
        tied=threat.tied,
    )


def _class(suite: AttackSuite, label: int) -> AuditedClassRecord:
    cache, audited = suite.cache, suite.cache.audited
    its = audited.labels == label
    return AuditedClassRecord(
        label=label,
        name=_label_name(audited.data, label),
        disease=label in audited.disease,
        n=int(its.sum()),
        right=int((cache.right & its).sum()),
        standing=int((suite.standing & its).sum()),
    )


def averaged_answers(cache: AttackCache) -> list[str]:
    """Return the note on the averages that attacks of a stochastic model see; none for a deterministic one."""
    if cache.target is cache.audited.target:
        return []
    return [
        f"the model answers at random: attacks see the mean of {cache.plan.draws} answers and gradients (EOT), and an "
        f"image counts as misclassified if the mean of {cache.confirmed} new answers is wrong"
    ]


def _answers_of(cache: AttackCache) -> list[str]:
    """Return notes on outputs and gradients that replaced the model's own in attacks."""
    notes = averaged_answers(cache)
    if cache.substituted is not None:
        kinds = ", ".join(cache.substituted[1])
        notes.append(f"gradients of {kinds} are also replaced by substitutes (BPDA)")
    return notes


def tally(suite: AttackSuite) -> Tally:
    """Return the numbers for the verdict."""
    cache = suite.cache
    breakers = [name for name, _ in _counts(suite.broken_by) if name not in ("clean", NOBODY)]
    return Tally(
        n=len(cache.audited),
        right=int(cache.right.sum()),
        standing=int(suite.standing.sum()),
        queries=round(sum(result.queries * len(result.rows) + result.shared for result in suite.attacks)),
        gradients=round(sum(result.gradients * len(result.rows) for result in suite.attacks)),
        strongest=breakers[0] if breakers else "",
    )


def _label_name(data: dict[str, Any], label: int) -> str:
    names = data.get("labels", ())
    return str(names[label]) if label < len(names) else f"class {label}"


def _counts(values: np.ndarray) -> list[tuple[str, int]]:
    names, counts = np.unique(values, return_counts=True)
    return sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])


def _curves(suite: AttackSuite) -> dict[str, dict[str, MetricsRecord]]:
    """Return METRICS by epsilon, for FGSM and PGD."""
    cache = suite.cache
    if not cache.differentiable:
        return {}
    n = len(cache.audited)
    return {
        name: {
            str(epsilon): share_record(int((~success).sum()), n)
            for epsilon, success in zip(cache.plan.curve, result.success, strict=True)
        }
        for name, result in (("fgsm", suite.single_step), ("pgd", suite.curve))
    }
