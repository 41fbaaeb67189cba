"""Checks of the protocol: test data, attacks that the training used, images that a file can hold."""

import numpy as np

from fedrobust.audit.attack_suite import AttackSuite, broken_images
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
        "The model was attacked by attacks that its training did not use."
        if unseen
        else "The model was attacked only by the attack of its training.",
        "Carlini et al. (2019), arXiv:1902.06705",
        {"unseen": unseen, "n": len(suite.cache.audited)},
    )


def realisable(suite: AttackSuite) -> Finding:
    """The attack also succeeds with 8-bit images."""
    plan, n = suite.cache.plan, len(suite.cache.audited)
    rule = "reported: the accuracy under PGD with floats and with 8-bit images"
    if plan.threat.space != "native" or plan.threat.bits or not suite.cache.differentiable:
        return not_applicable(
            "not realisable: 8-bit images break less",
            rule,
            "The perturbation is applied after resizing and conversion to colour: no image file can hold it."
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
        else f"{100 * gap:.1f} points of the attack's effect need values between grey levels, which no image "
        f"file holds.",
        "this project",
        {"floats": floats, "8-bit": stored, "n": n},
    )


def split_and_n(suite: AttackSuite) -> Finding:
    """The figures are those of the whole test set: the official one, where there is one."""
    audited = suite.cache.audited
    official, n, split = audited.data.get("official"), len(audited), audited.data.get("split", "test")
    seen = split != "test"
    whole = audited.data.get("of", n) if official is None else official
    failed = seen or n != whole
    return Finding(
        "selected test data: not the whole official split",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{n} images of {audited.data.get('name', 'own data')}, {split} split"
        + (f"; the official test set has {official}" if official else f" of {whole}"),
        "images of the test split, all of them",
        "These images may have been used in training or model selection."
        if seen
        else "Part of the test set was used: the figures cannot be compared with those of all of it."
        if failed
        else "The images are the official test set."
        if official
        else "The data have no official test set.",
        "this project; Yang et al. (2023), MedMNIST v2",
        {"n": n, "official": official},
    )


LARGEST_FALL = 0.2


def catastrophic_overfitting(suite: AttackSuite) -> Finding:
    """Robustness against iterated attacks did not collapse during training.

    The rounds up to the kept one are those that are watched. The adversarially trained model shows it, too: FGSM leaves
    what PGD breaks, also where it never was otherwise. Two or three large steps can be learnt in place of robustness.
    A constant classifier of a frequent class that begins to learn loses accuracy under attack and no balanced accuracy;
    a collapse loses both.
    """
    check = "catastrophic overfitting: single step survives, iterations do not"
    history, used = suite.cache.audited.history, suite.cache.audited.trained_on
    rule = (
        "accuracy under PGD-5, or balanced accuracy, falls by at most 20 points from one round to the next, where that "
        "was watched; of a "
        "model trained on FGSM or PGD, PGD leaves at least half of what FGSM leaves, or at most 20 points less"
    )
    source = "Wong et al. (2020), arXiv:2001.03994"
    if len(history) < 2 and used and suite.cache.differentiable:
        return _single_step_alone(suite, check, rule, source)
    if len(history) < 2:
        return not_applicable(
            check,
            rule,
            "Robustness was not monitored during training, or the training was not adversarial.",
            source,
        )
    falls = -np.diff(np.array(history))
    if balanced := suite.cache.audited.balanced_history:
        falls = np.minimum(falls, -np.diff(np.array(balanced)))
    worst = float(falls.max())
    if worst <= LARGEST_FALL and used and suite.cache.differentiable:
        alone = _single_step_alone(suite, check, rule, source)
        if alone.outcome is Outcome.FAILED:
            return alone
    return Finding(
        check,
        outcome_of(worst > LARGEST_FALL),
        Weight.NOT_PROVEN,
        f"largest fall {100 * max(worst, 0.0):.1f} points over {len(history)} rounds",
        rule,
        "Robustness against iterated attacks collapsed during training, although the loss went on falling."
        if worst > LARGEST_FALL
        else "Robustness against iterated attacks did not collapse during training.",
        source,
        {"history": list(history)},
    )


def _single_step_alone(suite: AttackSuite, check: str, rule: str, source: str) -> Finding:
    """Return whether FGSM leaves what PGD breaks."""
    right, n = suite.cache.right, len(suite.cache.audited)
    single, many = (
        int((right & ~broken_images(suite, result)).sum()) for result in (suite.single_step, suite.pgd)
    )
    failed = 2 * many < single and single - many > LARGEST_FALL * n
    return Finding(
        check,
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(single, n)} right under FGSM, {share(many, n)} under PGD",
        rule,
        "The model withstands a single step, and not several smaller ones: it learnt the attack of its training."
        if failed
        else "The model withstands several small steps nearly as well as a single one.",
        source,
        {"single": single, "many": many, "n": n},
    )
