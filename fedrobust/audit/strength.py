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


ALLOWED = 0.005
"""Share of the images that attacks without the model's gradient may break on top: searches have luck, too."""


def loss_swap(search: Search) -> Finding:
    """PGD finds no more with the margin than with cross-entropy."""
    rule = (
        "PGD on the margin breaks at most 1 point more than on cross-entropy, or no more than chance explains"
    )
    source = "Carlini and Wagner (2016), arXiv:1608.04644"
    if (
        skipped := _without_gradient(search, "gradient masking: another loss breaks more", rule, source)
    ) is not None:
        return skipped
    by_entropy, by_margin = _broken(search, search.textbook), _broken(search, search.margin)
    only_margin, only_entropy = int((by_margin & ~by_entropy).sum()), int((by_entropy & ~by_margin).sum())
    n = len(by_margin)
    gain = (only_margin - only_entropy) / n
    failed = gain > 0.01 and mcnemar(only_margin, only_entropy) < SURE
    return Finding(
        "gradient masking: another loss breaks more",
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
    if (
        skipped := _without_gradient(search, "gradient masking: single step beats iterations", rule, source)
    ) is not None:
        return skipped
    single = _broken(search, search.single_step)
    many = _broken(search, search.pgd) | _broken(search, search.longer)
    n, lost = len(single), int((single & ~many).sum())
    failed = lost > max(1, 0.01 * n)
    return Finding(
        "gradient masking: single step beats iterations",
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
    if (
        skipped := _without_gradient(search, "failing attack: breaks less at a larger epsilon", rule, source)
    ) is not None:
        return skipped
    success = search.curve.success
    rises = []
    for place in range(len(success) - 1):
        lost, won = success[place] & ~success[place + 1], success[place + 1] & ~success[place]
        if lost.sum() > won.sum() and mcnemar(int(lost.sum()), int(won.sum())) < 0.01:
            rises.append(search.curve.epsilons[place + 1])
    names = ", ".join(f"{epsilon:.4g}" for epsilon in rises)
    return Finding(
        "failing attack: breaks less at a larger epsilon",
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
    if (
        skipped := _without_gradient(
            search, "failing attack: images survive an unbounded epsilon", rule, source
        )
    ) is not None:
        return skipped
    broken = search.unbounded.success[0]
    right, n = int((~broken).sum()), len(broken)
    failed = right / n > 1 / classes
    return Finding(
        "failing attack: images survive an unbounded epsilon",
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
    return _more(
        search, "failing attack: more steps break more", rule, source, lambda: search.longer, "Longer search"
    )


def restarts(search: Search) -> Finding:
    """Five more starting points find nothing new."""
    rule = "five more restarts of PGD break less than 1 point more"
    source = "Carlini et al. (2019), arXiv:1902.06705"
    return _more(
        search,
        "failing attack: more restarts break more",
        rule,
        source,
        lambda: search.restarted,
        "Starting anew",
    )


def substitute_gradients(search: Search) -> Finding:
    """What is rounded, stopped or saturated hides nothing."""
    rule = "PGD along substitute gradients breaks at most 0.5 points of what the model's own gradients left"
    source = "Athalye et al. (2018), arXiv:1802.00420, section 4.1 (BPDA)"
    check = "gradient masking: BPDA breaks more"
    if search.evidence.substituted is None:
        sentence = "No operation of the model rounds, stops or saturates, as far as its graph can be read."
        return Finding(check, Outcome.NOT_APPLICABLE, Weight.NOT_PROVEN, "-", rule, sentence, source, {})
    kinds = ", ".join(search.evidence.substituted[1])
    return _adds(
        search,
        check,
        search.substituted,
        rule,
        source,
        f"Behind {kinds} lie gradients that break more than those that the model shows: it masks them.",
        f"Gradients passed through {kinds} add nothing to the model's own.",
    )


def below_the_head(search: Search) -> Finding:
    """The last layers pass on the gradients of the layers below them."""
    rule = "PGD along read-outs of hidden layers, fitted on clean images, breaks at most 0.5 points on top"
    source = "Carlini and Wagner (2016), arXiv:1608.04644; Tramer et al. (2020), arXiv:2002.08347"
    check = "gradient masking: hidden layers break more"
    if search.evidence.plan.effort == "quick":
        return _not_made(check, rule, source)
    if not search.below:
        sentence = "No hidden layer was found whose gradient leads elsewhere than the model's."
        return Finding(check, Outcome.PASSED, Weight.NOT_PROVEN, "no such layer", rule, sentence, source, {})
    return _adds(
        search,
        check,
        search.below,
        rule,
        source,
        "Hidden layers show the way to adversaries that the model's own gradient does not: its head masks them.",
        "Hidden layers add nothing to the model's own gradient.",
    )


def smoothed_gradients(search: Search) -> Finding:
    """The gradient at one point is no noise that a mean would see through."""
    rule = "PGD along gradients averaged around each image breaks at most 0.5 points on top"
    source = (
        "Athalye et al. (2018), arXiv:1802.00420, section 4.2 (EOT); Smilkov et al. (2017), arXiv:1706.03825"
    )
    check = "obfuscated gradients: smoothing breaks more"
    if search.evidence.plan.effort == "quick":
        return _not_made(check, rule, source)
    if (skipped := _without_gradient(search, check, rule, source)) is not None:
        return skipped
    return _adds(
        search,
        check,
        search.smoothed,
        rule,
        source,
        "Gradients averaged over a neighbourhood break more than those at one point: these are noise or ripples.",
        "Averaging gradients over a neighbourhood adds nothing.",
    )


def black_box(search: Search) -> Finding:
    """Attacks that only ask find nothing that attacks by gradient did not."""
    return _adds(
        search,
        "gradient masking: black-box beats white-box",
        search.black_box,
        "what only asks (noise, radii, Square; above the quick effort also decision-based and estimated gradients) "
        "breaks at most 0.5 points of what gradients left standing",
        "Croce and Hein (2020), AutoAttack's flags; Carlini et al. (2019), arXiv:1902.06705",
        "Blind search beats attacks that can see: the gradients are masked.",
        "Blind search adds nothing to attacks by gradient.",
    )


def asked_seriously(search: Search) -> Finding:
    """Whether the model was asked by decisions, estimated gradients and many queries."""
    plan = search.evidence.plan
    rule = "decision-based search, estimated gradients and Square with thousands of queries were made"
    source = "Chen et al. (2019), arXiv:1904.02144; Carlini et al. (2019), arXiv:1902.06705"
    if plan.effort == "quick":
        return _not_made("black-box attacks: made", rule, source)
    queries = {result.name: round(result.queries) for result in search.black_box if len(result.rows)}
    images = max((len(result.rows) for result in search.black_box), default=0)
    return Finding(
        "black-box attacks: made",
        Outcome.PASSED,
        Weight.NOT_PROVEN,
        f"{len(queries)} searches, up to {max(queries.values(), default=0)} queries for each of up to {images} images",
        rule,
        "The model was also attacked by somebody who sees nothing but its answers.",
        source,
        {"queries": queries},
    )


def transfer(search: Search) -> Finding:
    """Adversaries of other models find nothing that attacks by gradient did not."""
    rule = (
        "adversaries of a copy learnt from answers, and of other models, break at most 0.5 points of what "
        "gradients left standing"
    )
    source = "Papernot et al. (2016), arXiv:1602.02697; Carlini et al. (2019), arXiv:1902.06705"
    check = "gradient masking: transfer beats white-box"
    if not search.transferred:
        return _not_made(check, rule, source)
    return _adds(
        search,
        check,
        search.transferred,
        rule,
        source,
        "Somebody who never saw the model breaks what we could not: its gradients are masked.",
        "Who does not know the model does no better than who does.",
    )


def label_leaking(search: Search) -> Finding:
    """Attacked images are not easier than clean ones."""
    rule = "accuracy under FGSM is at no epsilon above the clean one (McNemar, 5 %)"
    source = "Kurakin et al. (2016), arXiv:1611.01236, section 4.1"
    if (
        skipped := _without_gradient(search, "label leaking: attacked beats clean", rule, source)
    ) is not None:
        return skipped
    right = search.evidence.right
    rises = []
    for epsilon, success in zip(search.single_step.epsilons, search.single_step.success, strict=True):
        gained, lost = int((~success & ~right).sum()), int((success & right).sum())
        if gained > lost and mcnemar(gained, lost) < SURE:
            rises.append(f"{epsilon:.4g} ({gained - lost:+d} images)")
    return Finding(
        "label leaking: attacked beats clean",
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
    if (
        skipped := _without_gradient(search, "failing attack: planted masking is not seen", rule, source)
    ) is not None:
        return skipped
    subject, n = search.evidence.subject, len(search.evidence.subject)
    broken = search.pgd.success[0]
    plain, failed, figure = int(broken.sum()), False, f"{n} images"
    details: dict[str, object] = {"plain": plain, "n": n}
    if subject.control is None and not plain:
        sentence = "Nothing was broken, and no control was given: there is nothing to try the attack on."
        return Finding(
            "failing attack: planted masking is not seen",
            Outcome.NOT_APPLICABLE,
            Weight.NOT_PROVEN,
            "-",
            rule,
            sentence,
            source,
            {},
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
        "failing attack: planted masking is not seen",
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


def _adds(
    search: Search, check: str, results: list[Result], rule: str, source: str, bad: str, good: str
) -> Finding:
    """Return whether attacks that do not follow the model's gradients broke what those that do left standing."""
    n, counts = len(search.evidence.subject), {}
    for result in results:
        counts[result.name] = int(_broken(search, result)[result.rows].sum()) if len(result.rows) else 0
    total = int(np.any([_broken(search, result) for result in results], axis=0).sum()) if results else 0
    failed = total > ALLOWED * n
    return Finding(
        check,
        _outcome(failed),
        Weight.NOT_PROVEN,
        f"{share(total, n)} broken by {len(counts)} more {'search' if len(counts) == 1 else 'searches'}, after "
        "gradients had failed",
        rule,
        bad if failed else good,
        source,
        {**counts, "n": n},
    )


def _not_made(check: str, rule: str, source: str) -> Finding:
    sentence = "Not made at the quick effort: run the audit with --effort standard."
    return Finding(check, Outcome.NOT_MADE, Weight.NOT_PROVEN, "-", rule, sentence, source, {})


def _without_gradient(search: Search, name: str, rule: str, source: str) -> Finding | None:
    if search.evidence.differentiable:
        return None
    sentence = "The model has no gradient to attack by: see vanishing gradient."
    return Finding(name, Outcome.NOT_APPLICABLE, Weight.NOT_PROVEN, "-", rule, sentence, source, {})


def _broken(search: Search, result: Result) -> NDArray[np.bool_]:
    return result.broken(search.epsilon, len(search.evidence.subject))


def _outcome(failed: bool) -> Outcome:
    return Outcome.FAILED if failed else Outcome.PASSED
