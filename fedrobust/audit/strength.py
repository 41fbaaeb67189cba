"""Checks of the attacks: were they strong enough to be believed where they found nothing?"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from fedrobust.audit.evidence import Result
from fedrobust.audit.finding import Finding, Outcome, Weight, share
from fedrobust.audit.search import Search
from fedrobust.evasion import WhiteBox

SURE = 0.05
"""Error probability of a paired test."""


def loss_swap(search: Search) -> Finding:
    """PGD finds no more with the margin than with cross-entropy."""
    rule = (
        "PGD on the margin breaks at most 1 point more than on cross-entropy, or no more than chance explains"
    )
    source = "Carlini and Wagner (2016), arXiv:1608.04644"
    if (skipped := _without_gradient(search, "loss swap", rule, source)) is not None:
        return skipped
    by_entropy, by_margin = _broken(search, search.textbook), _broken(search, search.margin)
    only_margin, only_entropy = int((by_margin & ~by_entropy).sum()), int((by_entropy & ~by_margin).sum())
    n = len(by_margin)
    gain = (only_margin - only_entropy) / n
    failed = gain > 0.01 and mcnemar(only_margin, only_entropy) < SURE
    return Finding(
        "loss swap",
        _outcome(failed),
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


def iterative_beats_single_step(search: Search) -> Finding:
    """What one step breaks, many steps break too."""
    rule = "at most 1 % of the images are broken by FGSM and not by PGD"
    source = "Athalye et al. (2018), arXiv:1802.00420; Carlini et al. (2019), arXiv:1902.06705"
    if (skipped := _without_gradient(search, "iterative at least single step", rule, source)) is not None:
        return skipped
    single = _broken(search, search.single_step)
    many = _broken(search, search.pgd) | _broken(search, search.longer)
    n, lost = len(single), int((single & ~many).sum())
    failed = lost > max(1, 0.01 * n)
    return Finding(
        "iterative at least single step",
        _outcome(failed),
        Weight.NOT_PROVEN,
        f"{share(lost, n)} broken by one step and not by many",
        rule,
        "Small steps fail where one large one succeeds: the gradient near the images misleads."
        if failed
        else "Many small steps find what one large one finds.",
        source,
        {"lost": lost, "n": n},
    )


def monotone(search: Search) -> Finding:
    """More freedom never helps the model."""
    rule = "no rise of accuracy from one epsilon to the next beyond paired chance (McNemar, 1 %)"
    source = "Carlini et al. (2019), arXiv:1902.06705, section 5"
    if (skipped := _without_gradient(search, "monotone in epsilon", rule, source)) is not None:
        return skipped
    success = search.curve.success
    rises = []
    for place in range(len(success) - 1):
        lost, won = success[place] & ~success[place + 1], success[place + 1] & ~success[place]
        if lost.sum() > won.sum() and mcnemar(int(lost.sum()), int(won.sum())) < 0.01:
            rises.append(search.curve.epsilons[place + 1])
    names = ", ".join(f"{epsilon:.4g}" for epsilon in rises)
    return Finding(
        "monotone in epsilon",
        _outcome(bool(rises)),
        Weight.NOT_PROVEN,
        f"accuracy rises at {names}" if rises else f"falls or stays over {len(success)} epsilons",
        rule,
        "The attack gets worse the more it may do: it is not to be believed."
        if rises
        else "The more the attack may do, the more it breaks.",
        source,
        {"rises": rises},
    )


def large_epsilon(search: Search) -> Finding:
    """Where every pixel may become grey, nobody can be right."""
    classes = search.evidence.subject.target.classes
    rule = f"at epsilon 0.5 accuracy is at most chance, {100 / classes:.0f} %"
    source = "Carlini et al. (2019), arXiv:1902.06705, section 5"
    if (skipped := _without_gradient(search, "large epsilon", rule, source)) is not None:
        return skipped
    broken = search.unbounded.success[0]
    right, n = int((~broken).sum()), len(broken)
    failed = right / n > 1 / classes
    return Finding(
        "large epsilon",
        _outcome(failed),
        Weight.NOT_PROVEN,
        f"{share(right, n)} right where every pixel may become grey",
        rule,
        "The attack fails where it could paint over the image: it does not work on this model."
        if failed
        else "Given enough freedom, the attack breaks the model.",
        source,
        {"right": right, "n": n},
    )


def converged(search: Search) -> Finding:
    """Twice the steps find nothing new."""
    rule = "twice the steps of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(search, "converged", rule, source, lambda: search.longer, "Longer search")


def restarts(search: Search) -> Finding:
    """Five more starting points find nothing new."""
    rule = "five more restarts of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(search, "restarts", rule, source, lambda: search.restarted, "Starting anew")


def black_box(search: Search) -> Finding:
    """Attacks that only ask find nothing that attacks by gradient did not."""
    rule = "noise and Square break at most 0.2 points (at least one image) of what gradient attacks left standing"
    source = "Croce and Hein (2020), AutoAttack's flags; Carlini et al. (2019), arXiv:1902.06705"
    n = len(search.evidence.subject)
    found = {result.name: int(result.success[0].sum()) for result in search.black_box}
    total = int(np.any([_broken(search, result) for result in search.black_box], axis=0).sum())
    failed = total > max(1, 0.002 * n)
    return Finding(
        "black box at most white box",
        _outcome(failed),
        Weight.NOT_PROVEN,
        f"{share(total, n)} broken by asking only, after gradients had failed",
        rule,
        "Blind search beats attacks that can see: the gradients are masked."
        if failed
        else "Blind search adds nothing to attacks by gradient.",
        source,
        {**found, "n": n},
    )


def transfer(search: Search) -> Finding:
    """Adversaries of other models find nothing that attacks by gradient did not."""
    rule = (
        "adversaries of other models break at most 0.2 points (at least one image) of what gradient attacks left "
        "standing"
    )
    source = "Papernot et al. (2016), arXiv:1602.02697; Carlini et al. (2019), arXiv:1902.06705"
    if not search.transferred:
        return Finding(
            "transfer at most white box",
            Outcome.NOT_APPLICABLE,
            Weight.NOT_PROVEN,
            "-",
            rule,
            "No other model was given; at the quick effort none is trained.",
            source,
            {},
        )
    n = len(search.evidence.subject)
    found = {result.name: int(result.success[0].sum()) for result in search.transferred}
    total = int(np.any([_broken(search, result) for result in search.transferred], axis=0).sum())
    failed = total > max(1, 0.002 * n)
    return Finding(
        "transfer at most white box",
        _outcome(failed),
        Weight.NOT_PROVEN,
        f"{share(total, n)} broken by adversaries of {len(found)} other model(s), after gradients had failed",
        rule,
        "Somebody who never saw the model breaks what we could not: its gradients are masked."
        if failed
        else "Who does not know the model does no better than who does.",
        source,
        {**found, "n": n},
    )


def label_leaking(search: Search) -> Finding:
    """Attacked images are not easier than clean ones."""
    rule = "accuracy under FGSM is at no epsilon above the clean one (McNemar, 5 %)"
    source = "Kurakin et al. (2016), arXiv:1611.01236, section 4.1"
    if (skipped := _without_gradient(search, "label leaking", rule, source)) is not None:
        return skipped
    right = search.evidence.right
    rises = []
    for epsilon, success in zip(search.single_step.epsilons, search.single_step.success, strict=True):
        gained, lost = int((~success & ~right).sum()), int((success & right).sum())
        if gained > lost and mcnemar(gained, lost) < SURE:
            rises.append(f"{epsilon:.4g} ({gained - lost:+d} images)")
    return Finding(
        "label leaking",
        _outcome(bool(rises)),
        Weight.NOT_PROVEN,
        f"better than clean at {', '.join(rises)}" if rises else "never better than clean",
        rule,
        "The model reads the true class off the attack itself: trained on one step, it has learnt that step."
        if rises
        else "The attack does not give the right answer away.",
        source,
        {"rises": rises},
    )


def attack_validated(search: Search) -> Finding:
    """The attack works on models that are known to be weak."""
    rule = (
        "the attack breaks as many images (McNemar, 5 %) when the model's logits are multiplied by 1,024 (a known way "
        "to hide gradients), and leaves at most 5 % of the undefended control at epsilon 0.1"
    )
    source = "Carlini et al. (2019), arXiv:1902.06705; the hiding is that of arXiv:1511.04508, broken in 1608.04644"
    if (skipped := _without_gradient(search, "attack validated", rule, source)) is not None:
        return skipped
    subject, n = search.evidence.subject, len(search.evidence.subject)
    broken = search.pgd.success[0]
    plain, failed, figure = int(broken.sum()), False, f"{n} images"
    details: dict[str, object] = {"plain": plain, "n": n}
    if subject.control is None and not plain:
        sentence = "Nothing was broken, and no control was given: there is nothing to try the attack on."
        return Finding(
            "attack validated", Outcome.NOT_APPLICABLE, Weight.NOT_PROVEN, "-", rule, sentence, source, {}
        )
    if isinstance(subject.target, WhiteBox):
        # A power of two: the products are exact, and only what the scale does to the attack can differ.
        hidden = search.evidence.run(
            search.plain, target=replace(subject.target, scale=1024.0), of="logits x 1024"
        ).success[0]
        sharp, lost, won = int(hidden.sum()), int((broken & ~hidden).sum()), int((hidden & ~broken).sum())
        failed = lost - won > max(1, 0.01 * n) and mcnemar(lost, won) < SURE
        figure = f"{sharp} of {n} broken through hidden gradients, {plain} without"
        details["hidden"] = sharp
    if subject.control is not None:
        name, control = subject.control
        far = 0.1 if search.evidence.plan.threat.norm == "linf" else search.epsilon * 10
        left = int(
            (~search.evidence.run(search.plain, [far], target=control, of=f"control {name}").success[0]).sum()
        )
        failed |= left > 0.05 * n
        figure += f"; {share(left, n)} of the control left at {far:.3g}"
        details["control left"] = left
    return Finding(
        "attack validated",
        _outcome(failed),
        Weight.NOT_PROVEN,
        figure,
        rule,
        "The attack does not break what is known to be breakable: its silence about this model proves nothing."
        if failed
        else "The attack breaks what is known to be breakable.",
        source,
        details,
    )


def mcnemar(more: int, less: int) -> float:
    """Return the one-sided probability of so many more discordant pairs one way, if both ways are equally likely.

    McNemar's exact test (1947).

    Example:
        >>> mcnemar(5, 0)
        0.03125
    """
    return 1.0 if more + less == 0 else float(binomtest(more, more + less, 0.5, alternative="greater").pvalue)


def _more(search: Search, name: str, rule: str, source: str, result: object, what: str) -> Finding:
    if (skipped := _without_gradient(search, name, rule, source)) is not None:
        return skipped
    assert callable(result)
    before, after = _broken(search, search.pgd), _broken(search, result())
    n = len(before)
    gain = (int(after.sum()) - int(before.sum())) / n
    failed = gain * n > max(1, 0.01 * n)
    return Finding(
        name,
        _outcome(failed),
        Weight.NOT_PROVEN,
        f"{100 * gain:+.1f} points of {n} images",
        rule,
        f"{what} breaks more: the search had not come to its end, and neither may this one have."
        if failed
        else f"{what} finds nothing new.",
        source,
        {"before": int(before.sum()), "after": int(after.sum()), "n": n},
    )


def _without_gradient(search: Search, name: str, rule: str, source: str) -> Finding | None:
    if search.evidence.differentiable:
        return None
    sentence = "The model has no gradient to attack by: see gradient health."
    return Finding(name, Outcome.NOT_APPLICABLE, Weight.NOT_PROVEN, "-", rule, sentence, source, {})


def _broken(search: Search, result: Result) -> NDArray[np.bool_]:
    return result.broken(search.epsilon, len(search.evidence.subject))


def _outcome(failed: bool) -> Outcome:
    return Outcome.FAILED if failed else Outcome.PASSED
