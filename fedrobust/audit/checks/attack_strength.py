"""Checks of the attacks' strength: is a model that they do not break robust?"""

from dataclasses import replace

from fedrobust.audit.attack_suite import AttackSuite, broken_images
from fedrobust.audit.checks.skipped import not_applicable, not_made, without_gradient
from fedrobust.audit.finding import Finding, Outcome, Weight, outcome_of, share
from fedrobust.audit.mcnemar import SURE, mcnemar
from fedrobust.evasion import BoundModel


def monotone(suite: AttackSuite) -> Finding:
    """Accuracy does not rise with epsilon."""
    rule = "no rise of accuracy from one epsilon to the next beyond chance (McNemar, 1 %)"
    source = "Carlini et al. (2019), arXiv:1902.06705, section 5"
    if (
        skipped := without_gradient(suite, "failing attack: breaks less at a larger epsilon", rule, source)
    ) is not None:
        return skipped
    success = suite.curve.success
    rises = []
    for place in range(len(success) - 1):
        lost, won = success[place] & ~success[place + 1], success[place + 1] & ~success[place]
        if lost.sum() > won.sum() and mcnemar(int(lost.sum()), int(won.sum())) < 0.01:
            rises.append(suite.curve.epsilons[place + 1])
    names = ", ".join(f"{epsilon:.4g}" for epsilon in rises)
    return Finding(
        "failing attack: breaks less at a larger epsilon",
        outcome_of(bool(rises)),
        Weight.NOT_PROVEN,
        f"accuracy rises at {names}" if rises else f"accuracy does not rise over {len(success)} epsilons",
        rule,
        "The attack breaks fewer images at a larger epsilon: it is not reliable."
        if rises
        else "The attack breaks at least as many images at every larger epsilon.",
        source,
        {"rises": rises},
    )


def large_epsilon(suite: AttackSuite) -> Finding:
    """No model is above chance where every pixel may become grey."""
    classes = suite.cache.audited.target.classes
    rule = f"at epsilon 0.5 accuracy is at most chance, {100 / classes:.0f} %"
    source = "Carlini et al. (2019), arXiv:1902.06705, section 5"
    if (
        skipped := without_gradient(
            suite, "failing attack: images survive an unbounded epsilon", rule, source
        )
    ) is not None:
        return skipped
    broken = suite.unbounded.success[0]
    right, n = int((~broken).sum()), len(broken)
    failed = right / n > 1 / classes
    return Finding(
        "failing attack: images survive an unbounded epsilon",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(right, n)} right where every pixel may become grey",
        rule,
        "The attack fails although it may replace the whole image: it does not work on this model."
        if failed
        else "With an unbounded epsilon the attack breaks the model.",
        source,
        {"right": right, "n": n},
    )


def converged(suite: AttackSuite) -> Finding:
    """Twice the steps break no more images."""
    rule = "twice the steps of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(
        suite, "failing attack: more steps break more", rule, source, lambda: suite.longer, "A longer search"
    )


def restarts(suite: AttackSuite) -> Finding:
    """Five more random starts break no more images."""
    rule = "five more restarts of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(
        suite,
        "failing attack: more restarts break more",
        rule,
        source,
        lambda: suite.restarted,
        "Restarting",
    )


def asked_seriously(suite: AttackSuite) -> Finding:
    """Decision-based attacks, estimated gradients and many queries were used."""
    plan = suite.cache.plan
    rule = "decision-based search, estimated gradients and Square with thousands of queries were made"
    source = "Chen et al. (2019), arXiv:1904.02144; Carlini et al. (2019), arXiv:1902.06705"
    if plan.effort == "quick":
        return not_made("black-box attacks: not made", rule, source)
    queries = {result.name: round(result.queries) for result in suite.black_box if len(result.rows)}
    images = max((len(result.rows) for result in suite.black_box), default=0)
    return Finding(
        "black-box attacks: not made",
        Outcome.PASSED,
        Weight.NOT_PROVEN,
        f"{len(queries)} searches, up to {max(queries.values(), default=0)} queries for each of up to {images} images",
        rule,
        "The model was also attacked by black-box attacks, which use its outputs alone.",
        source,
        {"queries": queries},
    )


def attack_validated(suite: AttackSuite) -> Finding:
    """The attack works on models that are known to be weak."""
    rule = (
        "the attack breaks as many images (McNemar, 5 %) when the model's logits are multiplied by 1,024 (a known form "
        "of gradient masking), and leaves at most 5 % of the undefended control at epsilon 0.1"
    )
    source = "Carlini et al. (2019), arXiv:1902.06705; the masking is that of arXiv:1511.04508, broken in 1608.04644"
    if (
        skipped := without_gradient(suite, "failing attack: planted masking is not seen", rule, source)
    ) is not None:
        return skipped
    audited, n = suite.cache.audited, len(suite.cache.audited)
    broken = suite.pgd.success[0]
    plain, failed, figure = int(broken.sum()), False, f"{n} images"
    details: dict[str, object] = {"plain": plain, "n": n}
    if audited.control is None and not plain:
        sentence = "No image was broken, and no control was given: the attack cannot be validated."
        return not_applicable("failing attack: planted masking is not seen", rule, sentence, source)
    if isinstance(audited.target, BoundModel):
        # A power of two: the products are exact, and only what the scale does to the attack can differ.
        masked = suite.cache.averaged(replace(audited.target, scale=1024.0))
        hidden = suite.cache.run(suite.plain, target=masked, of="logits x 1024").success[0]
        sharp, lost, won = int(hidden.sum()), int((broken & ~hidden).sum()), int((hidden & ~broken).sum())
        failed = lost - won > max(1, 0.01 * n) and mcnemar(lost, won) < SURE
        figure = f"{sharp} of {n} broken with masked gradients, {plain} without"
        details["hidden"] = sharp
    if audited.control is not None:
        name, control = audited.control
        far = 0.1 if suite.cache.plan.threat.norm == "linf" else suite.epsilon * 10
        left = int(
            (~suite.cache.run(suite.plain, [far], target=control, of=f"control {name}").success[0]).sum()
        )
        failed |= left > 0.05 * n
        figure += f"; {share(left, n)} of the control's images not broken at {far:.3g}"
        details["control left"] = left
    return Finding(
        "failing attack: planted masking is not seen",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        figure,
        rule,
        "The attack fails on a model that is known to be vulnerable: its failure on this model proves nothing."
        if failed
        else "The attack breaks models that are known to be vulnerable.",
        source,
        details,
    )


def _more(suite: AttackSuite, name: str, rule: str, source: str, result: object, what: str) -> Finding:
    if (skipped := without_gradient(suite, name, rule, source)) is not None:
        return skipped
    assert callable(result)
    before, after = broken_images(suite, suite.pgd), broken_images(suite, result())
    n = len(before)
    gain = (int(after.sum()) - int(before.sum())) / n
    failed = gain * n > max(1, 0.01 * n)
    return Finding(
        name,
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{100 * gain:+.1f} points of {n} images",
        rule,
        f"{what} breaks more images: the attack had not converged, and may still not have."
        if failed
        else f"{what} breaks no more images.",
        source,
        {"before": int(before.sum()), "after": int(after.sum()), "n": n},
    )
