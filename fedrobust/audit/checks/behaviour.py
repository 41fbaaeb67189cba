"""Checks of the predictions: does the model solve its task, without an attack and under one?"""

import numpy as np

from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.checks.skipped import without_images
from fedrobust.audit.collapse import (
    FEWEST,
    FEWEST_OF_A_CLASS,
    serious,
    shows_collapse,
    signs_of_collapse,
    too_few,
)
from fedrobust.audit.finding import SHOWN, Finding, Weight, outcome_of
from fedrobust.audit.lead import Lead

KEPT = 2 / 3
"""Share of its lead over a constant classifier that a robust model keeps under attack.

A choice, and a lenient one: accuracy on two equal classes may fall from 90 % to 77 %. The whole 95 % interval has to
be above it for "robust", and below it for "not robust".
"""


def enough_images(suite: AttackSuite) -> Finding:
    """There are enough images, of more than one class."""
    labels = suite.cache.audited.labels
    reason = too_few(labels)
    return Finding(
        "too few images",
        outcome_of(reason),
        Weight.NOT_PROVEN,
        reason or f"{len(labels)} images of {len(np.unique(labels))} classes",
        f"at least {FEWEST} images, {FEWEST_OF_A_CLASS} each of two classes",
        "So few images, or images of one class, allow no conclusion about the model."
        if reason
        else "There are enough images to tell the model from a constant classifier.",
        "this project",
        {"n": len(labels), "classes": len(np.unique(labels))},
    )


def collapse_clean(suite: AttackSuite) -> Finding:
    """The model is better than the constant classifier."""
    rule = (
        "no class is over 95 % of the predictions with at most 5 % recall of all others; the intervals of balanced "
        "accuracy and Matthews' correlation lie above those of a constant classifier"
    )
    if (
        skipped := without_images(suite, "collapsed classifier: clean images", rule, Weight.DEGENERATE)
    ) is not None:
        return skipped
    signs = serious(signs_of_collapse(suite.cache.audited.labels, suite.cache.clean))
    shown = {SHOWN: shows_collapse(suite.cache.audited.labels, suite.cache.clean)} if signs else {}
    return Finding(
        "collapsed classifier: clean images",
        outcome_of(signs),
        Weight.DEGENERATE,
        "; ".join(signs) or "no sign of it",
        rule,
        "On these images the model cannot be told from a constant classifier: that no attack changes its predictions "
        "is no robustness."
        if signs
        else "The model discriminates between the classes.",
        "this project",
        {"signs": signs, **shown},
    )


def collapse_attacked(suite: AttackSuite) -> Finding:
    """Under the worst attack the model is better than the constant classifier."""
    rule = (
        "under the worst case of all attacks: no class is over 95 % of the predictions with at most 5 % recall of all "
        "others; the intervals of accuracy (where the clean one does, and two thirds of the lead are not kept), "
        "balanced accuracy and Matthews' "
        "correlation lie above those of a constant classifier"
    )
    if (
        skipped := without_images(suite, "collapsed classifier: under attack", rule, Weight.NOT_ROBUST)
    ) is not None:
        return skipped
    labels = suite.cache.audited.labels
    before = signs_of_collapse(labels, suite.cache.clean)
    signs = signs_of_collapse(labels, suite.worst_logits)
    kept = Lead.of(labels, suite.cache.right, suite.standing).interval[0] >= KEPT
    if kept or before != serious(before):
        # Its accuracy was not, or hardly, above the majority rate before the attack: that is not the attack's doing.
        signs = serious(signs)
    return Finding(
        "collapsed classifier: under attack",
        outcome_of(signs),
        Weight.NOT_ROBUST,
        "; ".join(signs) or "no sign of it",
        rule,
        "Under attack the model cannot be told from a constant classifier."
        if signs
        else "Under attack the model is better than a constant classifier.",
        "this project",
        {"signs": signs},
    )


def keeps_its_lead(suite: AttackSuite) -> Finding:
    """The model keeps at least two thirds of its lead over a constant classifier."""
    rule = (
        "under the worst case of all attacks at least two thirds of the lead in balanced accuracy over a constant "
        "classifier is left: all of the 95 % interval for robust, none of it for not robust"
    )
    if (
        skipped := without_images(
            suite, "robust accuracy: lead over the constant classifier lost", rule, Weight.NOT_ROBUST
        )
    ) is not None:
        return skipped
    audited, n = suite.cache.audited, len(suite.cache.audited)
    lead = Lead.of(audited.labels, suite.cache.right, suite.standing)
    low, high = lead.interval
    undecided = low < KEPT <= high
    return Finding(
        "robust accuracy: lead over the constant classifier lost",
        outcome_of(low < KEPT),
        Weight.NOT_PROVEN if undecided else Weight.NOT_ROBUST,
        f"{100 * lead.kept:.1f} % ({100 * low:.1f} to {100 * high:.1f} %) of the lead over a constant classifier is "
        f"kept: balanced accuracy {100 * lead.attacked:.1f} % of {100 * lead.clean:.1f} %",
        rule,
        f"{n} images are too few to tell whether attacks within the threat model cost more than a third of its lead "
        "over the constant classifier."
        if undecided
        else f"Attacks within the threat model cost {100 * (1 - lead.kept):.0f} % of its lead over the constant "
        "classifier.",
        "this project",
        {"kept": lead.kept, "interval": [low, high], "clean": lead.clean, "attacked": lead.attacked, "n": n},
    )
