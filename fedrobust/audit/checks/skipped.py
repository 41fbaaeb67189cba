"""Findings of checks that were left out, with the reason."""

from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.collapse import too_few
from fedrobust.audit.finding import Finding, Outcome, Weight


def not_applicable(
    check: str, rule: str, sentence: str, source: str, weight: Weight = Weight.NOT_PROVEN
) -> Finding:
    """Return the finding of a check that is not applicable; `sentence` says why."""
    return Finding(check, Outcome.NOT_APPLICABLE, weight, "-", rule, sentence, source, {})


def not_made(check: str, rule: str, source: str) -> Finding:
    """Return the finding of a check that costs more than the quick effort allows."""
    sentence = "Not made at the quick effort: run the audit with --effort standard."
    return Finding(check, Outcome.NOT_MADE, Weight.NOT_PROVEN, "-", rule, sentence, source, {})


def without_gradient(suite: AttackSuite, check: str, rule: str, source: str) -> Finding | None:
    """Return the finding of a check that compares gradient attacks, where the model has no gradient; else None."""
    if suite.cache.differentiable:
        return None
    sentence = "The model has no gradient for gradient attacks: see vanishing gradient."
    return not_applicable(check, rule, sentence, source)


def without_images(suite: AttackSuite, check: str, rule: str, weight: Weight) -> Finding | None:
    """Return the finding of a check that concludes from images, where there are too few of them; else None."""
    if not too_few(suite.cache.audited.labels):
        return None
    return not_applicable(check, rule, "There are too few images for a conclusion.", "this project", weight)
