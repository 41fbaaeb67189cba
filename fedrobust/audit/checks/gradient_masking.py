"""Checks for masked gradients: does anything break more than PGD along the model's own gradient?"""

import numpy as np

from fedrobust.audit.attack_suite import AttackSuite, broken_images
from fedrobust.audit.checks.skipped import not_applicable, not_made, without_gradient
from fedrobust.audit.finding import Finding, Outcome, Weight, outcome_of, share
from fedrobust.audit.mcnemar import SURE, mcnemar
from fedrobust.audit.result import Result

ALLOWED = 0.005
"""Share of the images that attacks without the model's gradient may break on top: searches have luck, too."""


def loss_swap(suite: AttackSuite) -> Finding:
    """PGD finds no more with the margin than with cross-entropy."""
    rule = (
        "PGD on the margin breaks at most 1 point more than on cross-entropy, or no more than chance explains"
    )
    source = "Carlini and Wagner (2016), arXiv:1608.04644"
    if (
        skipped := without_gradient(suite, "gradient masking: another loss breaks more", rule, source)
    ) is not None:
        return skipped
    by_entropy, by_margin = broken_images(suite, suite.textbook), broken_images(suite, suite.margin)
    only_margin, only_entropy = int((by_margin & ~by_entropy).sum()), int((by_entropy & ~by_margin).sum())
    n = len(by_margin)
    gain = (only_margin - only_entropy) / n
    failed = gain > 0.01 and mcnemar(only_margin, only_entropy) < SURE
    return Finding(
        "gradient masking: another loss breaks more",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"the margin breaks {100 * gain:+.1f} points of {n} images against cross-entropy",
        rule,
        "Another loss breaks images that cross-entropy cannot: an evaluation by cross-entropy alone, as in most "
        "papers, would overrate this model."
        if failed
        else "It does not matter which loss is attacked.",
        source,
        {"only margin": only_margin, "only cross-entropy": only_entropy, "n": n},
    )


def iterative_beats_single_step(suite: AttackSuite) -> Finding:
    """What one step breaks, many steps break too."""
    rule = "at most 1 % of the images are broken by FGSM and not by PGD"
    source = "Athalye et al. (2018), arXiv:1802.00420; Carlini et al. (2019), arXiv:1902.06705"
    if (
        skipped := without_gradient(suite, "gradient masking: single step beats iterations", rule, source)
    ) is not None:
        return skipped
    single = broken_images(suite, suite.single_step)
    many = broken_images(suite, suite.pgd) | broken_images(suite, suite.longer)
    n, lost = len(single), int((single & ~many).sum())
    failed = lost > max(1, 0.01 * n)
    return Finding(
        "gradient masking: single step beats iterations",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(lost, n)} broken by one step and not by many",
        rule,
        "Small steps fail where one large one succeeds: the gradient near the images misleads."
        if failed
        else "Many small steps find what one large one finds.",
        source,
        {"lost": lost, "n": n},
    )


def substitute_gradients(suite: AttackSuite) -> Finding:
    """What is rounded, stopped or saturated hides nothing."""
    rule = "PGD along substitute gradients breaks at most 0.5 points of what the model's own gradients left"
    source = "Athalye et al. (2018), arXiv:1802.00420, section 4.1 (BPDA)"
    check = "gradient masking: BPDA breaks more"
    if suite.cache.substituted is None:
        sentence = "No operation of the model rounds, stops or saturates, as far as its graph can be read."
        return not_applicable(check, rule, sentence, source)
    kinds = ", ".join(suite.cache.substituted[1])
    return _adds(
        suite,
        check,
        suite.substituted,
        rule,
        source,
        f"Behind {kinds} lie gradients that break more than those that the model shows: it masks them.",
        f"Gradients passed through {kinds} add nothing to the model's own.",
    )


def below_the_head(suite: AttackSuite) -> Finding:
    """The last layers pass on the gradients of the layers below them."""
    rule = "PGD along read-outs of hidden layers, fitted on clean images, breaks at most 0.5 points on top"
    source = "Carlini and Wagner (2016), arXiv:1608.04644; Tramer et al. (2020), arXiv:2002.08347"
    check = "gradient masking: hidden layers break more"
    if suite.cache.plan.effort == "quick":
        return not_made(check, rule, source)
    if not suite.below:
        sentence = "No hidden layer was found whose gradient leads elsewhere than the model's."
        return Finding(check, Outcome.PASSED, Weight.NOT_PROVEN, "no such layer", rule, sentence, source, {})
    return _adds(
        suite,
        check,
        suite.below,
        rule,
        source,
        "Hidden layers show the way to adversaries that the model's own gradient does not: its head masks them.",
        "Hidden layers add nothing to the model's own gradient.",
    )


def smoothed_gradients(suite: AttackSuite) -> Finding:
    """The gradient at one point is no noise that a mean would see through."""
    rule = "PGD along gradients averaged around each image breaks at most 0.5 points on top"
    source = (
        "Athalye et al. (2018), arXiv:1802.00420, section 4.2 (EOT); Smilkov et al. (2017), arXiv:1706.03825"
    )
    check = "obfuscated gradients: smoothing breaks more"
    if suite.cache.plan.effort == "quick":
        return not_made(check, rule, source)
    if (skipped := without_gradient(suite, check, rule, source)) is not None:
        return skipped
    return _adds(
        suite,
        check,
        suite.smoothed,
        rule,
        source,
        "Gradients averaged over a neighbourhood break more than those at one point: these are noise or ripples.",
        "Averaging gradients over a neighbourhood adds nothing.",
    )


def black_box(suite: AttackSuite) -> Finding:
    """Attacks that only ask find nothing that attacks by gradient did not."""
    return _adds(
        suite,
        "gradient masking: black-box beats white-box",
        suite.black_box,
        "what only asks (noise, radii, Square; above the quick effort also decision-based and estimated gradients) "
        "breaks at most 0.5 points of what gradients left standing",
        "Croce and Hein (2020), AutoAttack's flags; Carlini et al. (2019), arXiv:1902.06705",
        "Blind search beats attacks that can see: the gradients are masked.",
        "Blind search adds nothing to attacks by gradient.",
    )


def transfer(suite: AttackSuite) -> Finding:
    """Adversaries of other models find nothing that attacks by gradient did not."""
    rule = (
        "adversaries of a copy learnt from answers, and of other models, break at most 0.5 points of what "
        "gradients left standing"
    )
    source = "Papernot et al. (2016), arXiv:1602.02697; Carlini et al. (2019), arXiv:1902.06705"
    check = "gradient masking: transfer beats white-box"
    if not suite.transferred:
        return not_made(check, rule, source)
    return _adds(
        suite,
        check,
        suite.transferred,
        rule,
        source,
        "Somebody who never saw the model breaks what we could not: its gradients are masked.",
        "Who does not know the model does no better than who does.",
    )


def label_leaking(suite: AttackSuite) -> Finding:
    """Attacked images are not easier than clean ones."""
    rule = "accuracy under FGSM is at no epsilon above the clean one (McNemar, 5 %)"
    source = "Kurakin et al. (2016), arXiv:1611.01236, section 4.1"
    if (skipped := without_gradient(suite, "label leaking: attacked beats clean", rule, source)) is not None:
        return skipped
    right = suite.cache.right
    rises = []
    for epsilon, success in zip(suite.single_step.epsilons, suite.single_step.success, strict=True):
        gained, lost = int((~success & ~right).sum()), int((success & right).sum())
        if gained > lost and mcnemar(gained, lost) < SURE:
            rises.append(f"{epsilon:.4g} ({gained - lost:+d} images)")
    return Finding(
        "label leaking: attacked beats clean",
        outcome_of(bool(rises)),
        Weight.NOT_PROVEN,
        f"better than clean at {', '.join(rises)}" if rises else "never better than clean",
        rule,
        "The model reads the true class off the attack itself: trained on one step, it has learnt that step."
        if rises
        else "The attack does not give the right answer away.",
        source,
        {"rises": rises},
    )


def _adds(
    suite: AttackSuite, check: str, results: list[Result], rule: str, source: str, bad: str, good: str
) -> Finding:
    """Return whether attacks that do not follow the model's gradients broke what those that do left standing."""
    n, counts = len(suite.cache.audited), {}
    for result in results:
        counts[result.name] = int(broken_images(suite, result)[result.rows].sum()) if len(result.rows) else 0
    total = int(np.any([broken_images(suite, result) for result in results], axis=0).sum()) if results else 0
    failed = total > ALLOWED * n
    return Finding(
        check,
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(total, n)} broken by {len(counts)} more {'search' if len(counts) == 1 else 'searches'}, after "
        "gradients had failed",
        rule,
        bad if failed else good,
        source,
        {**counts, "n": n},
    )
