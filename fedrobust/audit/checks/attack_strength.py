"""Checks of the attacks: were they strong enough to be believed where they found nothing?"""

from dataclasses import replace

from fedrobust.audit.attack_suite import AttackSuite, broken_images
from fedrobust.audit.checks.skipped import not_applicable, not_made, without_gradient
from fedrobust.audit.finding import Finding, Outcome, Weight, outcome_of, share
from fedrobust.audit.mcnemar import SURE, mcnemar
from fedrobust.evasion import BoundModel


def monotone(suite: AttackSuite) -> Finding:
    """More freedom never helps the model."""
    rule = "no rise of accuracy from one epsilon to the next beyond paired chance (McNemar, 1 %)"
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
        f"accuracy rises at {names}" if rises else f"falls or stays over {len(success)} epsilons",
        rule,
        "The attack gets worse the more it may do: it is not to be believed."
        if rises
        else "The more the attack may do, the more it breaks.",
        source,
        {"rises": rises},
    )


def large_epsilon(suite: AttackSuite) -> Finding:
    """Where every pixel may become grey, nobody can be right."""
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
        "The attack fails where it could paint over the image: it does not work on this model."
        if failed
        else "Given enough freedom, the attack breaks the model.",
        source,
        {"right": right, "n": n},
    )


def converged(suite: AttackSuite) -> Finding:
    """Twice the steps find nothing new."""
    rule = "twice the steps of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(
        suite, "failing attack: more steps break more", rule, source, lambda: suite.longer, "Longer search"
    )


def restarts(suite: AttackSuite) -> Finding:
    """Five more starting points find nothing new."""
    rule = "five more restarts of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(
        suite,
        "failing attack: more restarts break more",
        rule,
        source,
        lambda: suite.restarted,
        "Starting anew",
    )


def asked_seriously(suite: AttackSuite) -> Finding:
    """Whether the model was asked by decisions, estimated gradients and many queries."""
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
        "The model was also attacked by somebody who sees nothing but its answers.",
        source,
        {"queries": queries},
    )


def attack_validated(suite: AttackSuite) -> Finding:
    """The attack works on models that are known to be weak."""
    rule = (
        "the attack breaks as many images (McNemar, 5 %) when the model's logits are multiplied by 1,024 (a known way "
        "to hide gradients), and leaves at most 5 % of the undefended control at epsilon 0.1"
    )
    source = "Carlini et al. (2019), arXiv:1902.06705; the hiding is that of arXiv:1511.04508, broken in 1608.04644"
    if (
        skipped := without_gradient(suite, "failing attack: planted masking is not seen", rule, source)
    ) is not None:
        return skipped
    audited, n = suite.cache.audited, len(suite.cache.audited)
    broken = suite.pgd.success[0]
    plain, failed, figure = int(broken.sum()), False, f"{n} images"
    details: dict[str, object] = {"plain": plain, "n": n}
    if audited.control is None and not plain:
        sentence = "Nothing was broken, and no control was given: there is nothing to try the attack on."
        return not_applicable("failing attack: planted masking is not seen", rule, sentence, source)
    if isinstance(audited.target, BoundModel):
        # A power of two: the products are exact, and only what the scale does to the attack can differ.
        hidden = suite.cache.run(
            suite.plain, target=replace(audited.target, scale=1024.0), of="logits x 1024"
        ).success[0]
        sharp, lost, won = int(hidden.sum()), int((broken & ~hidden).sum()), int((hidden & ~broken).sum())
        failed = lost - won > max(1, 0.01 * n) and mcnemar(lost, won) < SURE
        figure = f"{sharp} of {n} broken through hidden gradients, {plain} without"
        details["hidden"] = sharp
    if audited.control is not None:
        name, control = audited.control
        far = 0.1 if suite.cache.plan.threat.norm == "linf" else suite.epsilon * 10
        left = int(
            (~suite.cache.run(suite.plain, [far], target=control, of=f"control {name}").success[0]).sum()
        )
        failed |= left > 0.05 * n
        figure += f"; {share(left, n)} of the control left at {far:.3g}"
        details["control left"] = left
    return Finding(
        "failing attack: planted masking is not seen",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        figure,
        rule,
        "The attack does not break what is known to be breakable: its silence about this model proves nothing."
        if failed
        else "The attack breaks what is known to be breakable.",
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
        f"{what} breaks more: the search had not come to its end, and neither may this one have."
        if failed
        else f"{what} finds nothing new.",
        source,
        {"before": int(before.sum()), "after": int(after.sum()), "n": n},
    )
