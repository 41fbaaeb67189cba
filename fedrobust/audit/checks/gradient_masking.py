"""Checks for gradient masking: does any other attack break more than PGD along the model's own gradient?"""

import numpy as np

from fedrobust.audit.attack_suite import AttackSuite, broken_images
from fedrobust.audit.checks.skipped import not_applicable, not_made, without_gradient
from fedrobust.audit.finding import Finding, Outcome, Weight, outcome_of, share
from fedrobust.audit.mcnemar import SURE, mcnemar
from fedrobust.audit.result import Result

ALLOWED = 0.005
"""Share of the images that attacks without the model's gradient may break in addition, by luck."""


def loss_swap(suite: AttackSuite) -> Finding:
    """PGD on the margin breaks no more than on cross-entropy."""
    rule = "PGD on the margin breaks at most 1 point more than on cross-entropy, or no more than by chance"
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
        "Another loss breaks images that cross-entropy does not: an evaluation by cross-entropy alone, as in most "
        "papers, would overestimate the robustness."
        if failed
        else "Both losses break about as many images.",
        source,
        {"only margin": only_margin, "only cross-entropy": only_entropy, "n": n},
    )


def iterative_beats_single_step(suite: AttackSuite) -> Finding:
    """PGD breaks the images that FGSM breaks."""
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
        f"{share(lost, n)} broken by FGSM and not by PGD",
        rule,
        "Many small steps fail where one large step succeeds: the gradient near the images is misleading."
        if failed
        else "PGD breaks the images that FGSM breaks.",
        source,
        {"lost": lost, "n": n},
    )


def substitute_gradients(suite: AttackSuite) -> Finding:
    """Substitute gradients of operations that round, stop or saturate (BPDA) break no more."""
    rule = "PGD along substitute gradients breaks at most 0.5 points more than the model's own gradients"
    source = "Athalye et al. (2018), arXiv:1802.00420, section 4.1 (BPDA)"
    check = "gradient masking: BPDA breaks more"
    if suite.cache.substituted is None:
        sentence = "The graph of the model has no operation that rounds, stops or saturates."
        return not_applicable(check, rule, sentence, source)
    kinds = ", ".join(suite.cache.substituted[1])
    return _adds(
        suite,
        check,
        suite.substituted,
        rule,
        source,
        f"Substitute gradients of {kinds} break more than the model's own: its gradients are masked.",
        f"Substitute gradients of {kinds} break no more than the model's own.",
    )


def below_the_head(suite: AttackSuite) -> Finding:
    """Attacks on hidden layers break no more than those on the logits."""
    rule = "PGD along read-outs of hidden layers, fitted on clean images, breaks at most 0.5 points more"
    source = "Carlini and Wagner (2016), arXiv:1608.04644; Tramer et al. (2020), arXiv:2002.08347"
    check = "gradient masking: hidden layers break more"
    if suite.cache.plan.effort == "quick":
        return not_made(check, rule, source)
    if not suite.hidden_layer_attacks:
        sentence = "No hidden layer was found whose gradient differs from the model's."
        return Finding(check, Outcome.PASSED, Weight.NOT_PROVEN, "no such layer", rule, sentence, source, {})
    return _adds(
        suite,
        check,
        suite.hidden_layer_attacks,
        rule,
        source,
        "Attacks on hidden layers break more than the model's own gradient: the last layers mask it.",
        "Attacks on hidden layers break no more than the model's own gradient.",
    )


def smoothed_gradients(suite: AttackSuite) -> Finding:
    """Gradients averaged over noisy copies break no more than those at one point."""
    rule = "PGD along gradients averaged around each image breaks at most 0.5 points more"
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
        "Gradients averaged over a neighbourhood break more than those at one point, which are noisy or oscillate.",
        "Gradients averaged over a neighbourhood break no more.",
    )


def black_box(suite: AttackSuite) -> Finding:
    """Black-box attacks break no more than white-box attacks."""
    return _adds(
        suite,
        "gradient masking: black-box beats white-box",
        suite.black_box,
        "black-box attacks (noise, radial probes, Square; above the quick effort also decision-based and estimated "
        "gradients) break at most 0.5 points more than gradient attacks",
        "Croce and Hein (2020), AutoAttack's flags; Carlini et al. (2019), arXiv:1902.06705",
        "Black-box attacks break images that gradient attacks did not: the gradients are masked.",
        "Black-box attacks break no more than gradient attacks.",
    )


def transfer(suite: AttackSuite) -> Finding:
    """Transfer attacks break no more than white-box attacks."""
    rule = (
        "adversarial images of a surrogate, trained on the model's outputs, and of other models break at most 0.5 "
        "points more than gradient attacks"
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
        "Transfer attacks break images that gradient attacks did not: the gradients are masked.",
        "Transfer attacks break no more than gradient attacks.",
    )


def label_leaking(suite: AttackSuite) -> Finding:
    """Accuracy under FGSM is not above clean accuracy."""
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
        "The model infers the true class from the single-step perturbation that it was trained on."
        if rises
        else "The perturbation does not reveal the true class.",
        source,
        {"rises": rises},
    )


def _adds(
    suite: AttackSuite, check: str, results: list[Result], rule: str, source: str, bad: str, good: str
) -> Finding:
    """Return whether attacks without the model's gradients broke images that gradient attacks did not."""
    n, counts = len(suite.cache.audited), {}
    for result in results:
        counts[result.name] = int(broken_images(suite, result)[result.rows].sum()) if len(result.rows) else 0
    total = int(np.any([broken_images(suite, result) for result in results], axis=0).sum()) if results else 0
    failed = total > ALLOWED * n
    return Finding(
        check,
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(total, n)} broken by {len(counts)} more {'attack' if len(counts) == 1 else 'attacks'}, after gradient "
        "attacks had failed",
        rule,
        bad if failed else good,
        source,
        {**counts, "n": n},
    )
