"""The audit: every check of a model, the verdict, and the card that says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.audit import answers, outputs, slopes, strength
from fedrobust.audit.evidence import Evidence
from fedrobust.audit.finding import Finding
from fedrobust.audit.search import NOBODY, Search
from fedrobust.audit.subject import Subject
from fedrobust.audit.verdict import Tally, Verdict
from fedrobust.config import ConfigError
from fedrobust.evaluation.clinical import Figure, figures
from fedrobust.evaluation.intervals import wilson
from fedrobust.evasion import NotDifferentiableError

Check = Callable[[Search], Finding]


def of_model(check: Callable[[Evidence], Finding]) -> Check:
    """Return a check of the model as one of the search that looks at it."""
    return lambda search: check(search.evidence)


CHECKS: tuple[Check, ...] = (
    of_model(outputs.outputs_are_logits),
    of_model(outputs.deterministic),
    answers.split_and_n,
    answers.enough_images,
    answers.collapse_clean,
    of_model(outputs.batchnorm_gap),
    of_model(outputs.gradient_health),
    of_model(slopes.gradient_predicts_the_change),
    of_model(slopes.no_jump_at_the_boundary),
    strength.loss_swap,
    strength.iterative_beats_single_step,
    strength.monotone,
    strength.large_epsilon,
    strength.converged,
    strength.restarts,
    strength.substitute_gradients,
    strength.below_the_head,
    strength.smoothed_gradients,
    strength.black_box,
    strength.asked_seriously,
    strength.transfer,
    strength.label_leaking,
    strength.attack_validated,
    answers.catastrophic_overfitting,
    answers.collapse_attacked,
    answers.keeps_its_lead,
    answers.control,
    answers.unseen_attack,
    answers.realisable,
    answers.int8_twin,
)


@dataclass(frozen=True)
class Card:
    """What an audit says of a model: the content of ``card.json``.

    Attributes:
        verdict: the word and what decided it.
        findings: of every check.
        content: everything, as plain data.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    content: dict[str, Any]


def audit(evidence: Evidence, note: Callable[[Finding], None] = lambda finding: None, **about: Any) -> Card:
    """Run every check on the evidence, and return the card.

    Args:
        evidence: the model, its images, the threat.
        note: called with every finding as it comes.
        about: further entries of the card, such as ``environment``.

    Raises:
        ConfigError: the threat's norm is l0, or a model to compare with cannot be.
    """
    if evidence.plan.threat.norm == "l0":
        raise ConfigError(
            'norm = "l0": an audit is made in linf or l2; run attacks on few pixels with `fedrobust attack`'
        )
    _check_companions(evidence.subject)
    search, findings = Search(evidence), []
    for check in CHECKS:
        finding = check(search)
        findings.append(finding)
        note(finding)
    return made(search, findings, **about)


def _check_companions(subject: Subject) -> None:
    """Refuse models to compare with that see other images, know other classes, or have no gradient."""
    target = subject.target
    for what in ("control", "teacher", "edge"):
        companion = getattr(subject, what)
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
            other.gradient(subject.images[:1], subject.labels[:1], "margin")
        except NotDifferentiableError as error:
            raise ConfigError(
                f"{what} = {name!r}: it has no gradient ({error}); give a model that has one, or leave it out"
            ) from error


def made(search: Search, findings: Sequence[Finding], **about: Any) -> Card:
    """Return the card of a search whose checks are done."""
    evidence = search.evidence
    subject, plan, n = evidence.subject, evidence.plan, len(evidence.subject)
    standing = int(search.standing.sum())
    numbers = tally(search)
    verdict = Verdict.of(findings, numbers)
    present = np.unique(subject.labels)
    content = {
        "schema": 2,
        "model": {"name": subject.name, "digest": subject.digest, "output": subject.output},
        "data": {**subject.data, "n": n},
        "threat": {
            "norm": plan.threat.norm,
            "epsilon": plan.epsilon,
            "epsilon-value": plan.value,
            "space": plan.threat.space,
            "bits": plan.threat.bits,
            "tied": plan.threat.tied,
        },
        "settings": {"effort": plan.effort, "seed": plan.seed, "steps": plan.steps, "queries": plan.queries},
        "verdict": verdict.to_json(),
        "cost": {
            "queries": numbers.queries,
            "gradients": numbers.gradients,
            "seconds": sum(result.seconds for result in evidence.results),
        },
        "notes": [*subject.notes, *_answers_of(evidence)],
        "checks": [finding.to_json() for finding in findings],
        "clean": _json(figures(subject.labels, evidence.clean, subject.disease)),
        "attacked": {
            **_json(figures(subject.labels, search.worst_logits, subject.disease)),
            "standing": {
                "value": standing / n,
                "interval": list(wilson(standing, n)),
                "constant": subject.majority_rate,
                "method": "Wilson",
                "counts": [standing, n],
            },
        },
        "classes": [
            {
                "label": int(label),
                "name": str(_label_name(subject.data, int(label))),
                "disease": int(label) in subject.disease,
                "n": int((subject.labels == label).sum()),
                "right": int((evidence.right & (subject.labels == label)).sum()),
                "standing": int((search.standing & (subject.labels == label)).sum()),
            }
            for label in present
        ],
        "curve": _curve(search),
        "broken-by": {str(name): int(count) for name, count in _counts(search.broken_by)},
        "attacks": [
            {
                "name": result.name,
                "epsilons": list(result.epsilons),
                "n": len(result.rows),
                "broken": [int(count) for count in result.success.sum(axis=1)],
                "queries": result.queries,
                "gradients": result.gradients,
                "seconds": result.seconds,
            }
            for result in evidence.results
        ],
        **about,
    }
    return Card(verdict, tuple(findings), content)


def _answers_of(evidence: Evidence) -> list[str]:
    """Return what attacks saw in the place of the model's own answers and gradients."""
    notes = []
    if evidence.target is not evidence.subject.target:
        notes.append(
            f"the model answers at random: attacks see the mean of {evidence.plan.draws} answers and gradients (EOT)"
        )
    if evidence.substituted is not None:
        kinds = ", ".join(evidence.substituted[1])
        notes.append(f"gradients of {kinds} are also replaced by substitutes (BPDA)")
    return notes


def tally(search: Search) -> Tally:
    """Return the numbers that the verdict rests on."""
    evidence = search.evidence
    breakers = [name for name, _ in _counts(search.broken_by) if name not in ("clean", NOBODY)]
    return Tally(
        n=len(evidence.subject),
        right=int(evidence.right.sum()),
        standing=int(search.standing.sum()),
        queries=round(sum(result.queries * len(result.rows) for result in search.attacks)),
        gradients=round(sum(result.gradients * len(result.rows) for result in search.attacks)),
        strongest=breakers[0] if breakers else "",
    )


def _json(found: dict[str, Figure]) -> dict[str, Any]:
    return {name: figure.to_json() for name, figure in found.items()}


def _label_name(data: dict[str, Any], label: int) -> str:
    names = data.get("labels", ())
    return str(names[label]) if label < len(names) else f"class {label}"


def _counts(values: np.ndarray) -> list[tuple[str, int]]:
    names, counts = np.unique(values, return_counts=True)
    return sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1])


def _curve(search: Search) -> list[dict[str, Any]]:
    """Return accuracy along epsilon, for FGSM and PGD."""
    evidence, rows = search.evidence, []
    if not evidence.differentiable:
        return []
    n = len(evidence.subject)
    for name, result in (("fgsm", search.single_step), ("pgd", search.curve)):
        for epsilon, success in zip(evidence.plan.curve, result.success, strict=True):
            right = int((~success).sum())
            rows.append(
                {
                    "attack": name,
                    "epsilon": epsilon,
                    "right": right,
                    "n": n,
                    "accuracy": right / n,
                    "interval": list(wilson(right, n)),
                }
            )
    return rows
