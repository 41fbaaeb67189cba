"""Checks of how the model was trained and judged: data, attacks, images that a file can hold."""

import numpy as np

from fedrobust.audit.attack_suite import AttackSuite
from fedrobust.audit.checks.skipped import not_applicable
from fedrobust.audit.finding import Finding, Outcome, Weight, outcome_of, share


def unseen_attack(suite: AttackSuite) -> Finding:
    """At least one attack was made that the training did not use."""
    used = suite.cache.audited.trained_on
    run = [result.name for result in suite.attacks if len(result.rows)]
    unseen = [name for name in run if not any(name.startswith(one) for one in used)]
    return Finding(
        "unseen attack: only the training attack was made",
        Outcome.PASSED if unseen else Outcome.FAILED,
        Weight.NOT_PROVEN,
        f"{len(unseen)} of {len(run)} attacks; trained on: {', '.join(used) or 'none known'}",
        "at least one attack was not used in training",
        "The model was tried with attacks that it never saw."
        if unseen
        else "The model was only tried with what it was trained on.",
        "Carlini et al. (2019), arXiv:1902.06705",
        {"unseen": unseen, "n": len(suite.cache.audited)},
    )


def realisable(suite: AttackSuite) -> Finding:
    """How much of the attack fits into an 8-bit image."""
    plan, n = suite.cache.plan, len(suite.cache.audited)
    rule = "reported: the accuracy under PGD with floats and with 8-bit images"
    if plan.threat.space != "native" or plan.threat.bits or not suite.cache.differentiable:
        return not_applicable(
            "not realisable: 8-bit images break less",
            rule,
            "The perturbed tensor lies behind resizing and colouring: nobody can send such an image."
            if plan.threat.space != "native"
            else "The attack is on 8-bit images already, or there is no gradient.",
            "this project",
            Weight.REPORT,
        )
    floats, stored = int(suite.pgd.success[0].sum()), int(suite.eight_bit().success[0].sum())
    unfit = plan.threat.norm == "linf" and plan.value < 1 / 255
    gap = (floats - stored) / n
    return Finding(
        "not realisable: 8-bit images break less",
        outcome_of(unfit),
        Weight.REPORT,
        f"{share(n - floats, n)} right with floats, {share(n - stored, n)} with 8-bit images",
        rule + "; epsilon is at least one grey level",
        f"Epsilon is {plan.value * 255:.2f} grey levels: no 8-bit image can carry it."
        if unfit
        else f"Of the attack's effect, {100 * gap:.1f} points exist only in numbers that no image file holds.",
        "this project",
        {"floats": floats, "8-bit": stored, "n": n},
    )


def split_and_n(suite: AttackSuite) -> Finding:
    """The figures are about the whole official test set."""
    audited = suite.cache.audited
    official, n, split = audited.data.get("official"), len(audited), audited.data.get("split", "test")
    seen = split != "test"
    failed = seen or (official is not None and n != official)
    return Finding(
        "selected test data: not the whole official split",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{n} images of {audited.data.get('name', 'own data')}, {split} split"
        + (f"; the official test set has {official}" if official else ""),
        "images of the test split; all of them, where it is an official one",
        "These images may have been used in training, or in choosing among models."
        if seen
        else "Part of the test set was used: the figures cannot be compared with anybody's."
        if failed
        else "The images are those that others report on."
        if official
        else "The data have no official test set to compare with.",
        "this project; Yang et al. (2023), MedMNIST v2",
        {"n": n, "official": official},
    )


def catastrophic_overfitting(suite: AttackSuite) -> Finding:
    """Robustness did not suddenly go away in training."""
    history = suite.cache.audited.history
    rule = "accuracy under PGD-5 falls by at most 20 points from one round to the next"
    source = "Wong et al. (2020), arXiv:2001.03994"
    if len(history) < 2:
        return not_applicable(
            "catastrophic overfitting: single step survives, iterations do not",
            rule,
            "The training was not watched, or did not use adversarial images.",
            source,
        )
    falls = -np.diff(np.array(history))
    worst = float(falls.max())
    return Finding(
        "catastrophic overfitting: single step survives, iterations do not",
        outcome_of(worst > 0.2),
        Weight.NOT_PROVEN,
        f"largest fall {100 * max(worst, 0.0):.1f} points over {len(history)} rounds",
        rule,
        "In training, robustness against many steps broke down while the loss went on falling."
        if worst > 0.2
        else "In training, robustness against many steps did not break down.",
        source,
        {"history": list(history)},
    )
