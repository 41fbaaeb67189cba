"""Checks of the answers: does the model do its task at all, under attack, and better than without its defence?"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrobust.audit.collapse import FEWEST, FEWEST_OF_A_CLASS, serious, signs_of_collapse, too_few
from fedrobust.audit.finding import Finding, Outcome, Weight, share
from fedrobust.audit.search import Search
from fedrobust.audit.strength import SURE, mcnemar
from fedrobust.evaluation.intervals import mean_of_proportions
from fedrobust.evasion import StraightThrough, Transfer

KEPT = 2 / 3
"""Share of its lead over a constant classifier that a robust model keeps under attack.

A choice, and a lenient one: a model that is right on 90 % of two equal classes may fall to 77 %. The 95 % interval
has to lie above it for "robust", and below it for "not robust".
"""


def enough_images(search: Search) -> Finding:
    """There are images enough, of more than one class."""
    labels = search.evidence.subject.labels
    reason = too_few(labels)
    return Finding(
        "too few images",
        Outcome.FAILED if reason else Outcome.PASSED,
        Weight.NOT_PROVEN,
        reason or f"{len(labels)} images of {len(np.unique(labels))} classes",
        f"at least {FEWEST} images, {FEWEST_OF_A_CLASS} each of two classes",
        "From so few images, or images of one class, nothing can be concluded about the model."
        if reason
        else "There are images enough to tell the model from one that always gives the same answer.",
        "this project",
        {"n": len(labels), "classes": len(np.unique(labels))},
    )


def _nothing_to_conclude(search: Search, check: str, weight: Weight, rule: str) -> Finding | None:
    if not too_few(search.evidence.subject.labels):
        return None
    sentence = "There are too few images to conclude anything."
    return Finding(check, Outcome.NOT_APPLICABLE, weight, "-", rule, sentence, "this project", {})


def collapse_clean(search: Search) -> Finding:
    """The model knows more than the most frequent class."""
    rule = (
        "no class is over 95 % of the answers; the intervals of balanced accuracy and Matthews' correlation lie above "
        "those of a constant classifier"
    )
    if (
        skipped := _nothing_to_conclude(search, "collapsed classifier: clean images", Weight.DEGENERATE, rule)
    ) is not None:
        return skipped
    signs = serious(signs_of_collapse(search.evidence.subject.labels, search.evidence.clean))
    return Finding(
        "collapsed classifier: clean images",
        Outcome.FAILED if signs else Outcome.PASSED,
        Weight.DEGENERATE,
        "; ".join(signs) or "no sign of it",
        rule,
        "The model cannot be told from one that always gives the same answer: what no attack can change is no "
        "robustness."
        if signs
        else "The model tells the classes apart.",
        "this project",
        {"signs": signs},
    )


def collapse_attacked(search: Search) -> Finding:
    """Under the worst attack the model still knows more than the most frequent class."""
    rule = (
        "under the worst case of all attacks: no class is over 95 % of the answers; the intervals of accuracy (where "
        "the clean one does), balanced accuracy and Matthews' correlation lie above those of a constant classifier"
    )
    if (
        skipped := _nothing_to_conclude(search, "collapsed classifier: under attack", Weight.NOT_ROBUST, rule)
    ) is not None:
        return skipped
    labels = search.evidence.subject.labels
    before = signs_of_collapse(labels, search.evidence.clean)
    signs = signs_of_collapse(labels, search.worst_logits)
    if before != serious(before):
        # Its accuracy was not above the majority rate before the attack, either: that is not the attack's doing.
        signs = serious(signs)
    return Finding(
        "collapsed classifier: under attack",
        Outcome.FAILED if signs else Outcome.PASSED,
        Weight.NOT_ROBUST,
        "; ".join(signs) or "no sign of it",
        rule,
        "Under attack the model is worth no more than one that always gives the same answer."
        if signs
        else "Under attack the model is still better than one that always gives the same answer.",
        "this project",
        {"signs": signs},
    )


@dataclass(frozen=True)
class Lead:
    """What is left under attack of a model's lead in balanced accuracy over a constant classifier.

    Attributes:
        clean: balanced accuracy of the clean images.
        attacked: balanced accuracy under attack.
        kept: share of the lead that is left, 0 to 1.
        interval: its 95 % interval: the loss and the lead each by MOVER over the classes' Wilson intervals, their ratio
            by MOVER-R (Donner and Zou, 2012, Statistical Methods in Medical Research 21(4)).
    """

    clean: float
    attacked: float
    kept: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, labels: np.ndarray, right: np.ndarray, standing: np.ndarray) -> "Lead":
        """Return the lead of a model that is `right` about (n,) images of which those `standing` are left.

        Example:
            >>> labels = np.repeat([0, 1], 300)
            >>> right, standing = np.arange(600) % 10 > 0, np.arange(600) % 10 > 1
            >>> lead = Lead.of(labels, right, standing)
            >>> round(lead.kept, 3), [round(limit, 2) for limit in lead.interval]
            (0.75, [0.68, 0.8])
        """
        present = [labels == label for label in np.unique(labels)]
        counts = [int(rows.sum()) for rows in present]
        of_right, of_lost = (
            [int((one & rows).sum()) for rows in present] for one in (right, right & ~standing)
        )
        constant = 1 / len(present)
        clean, lost = (float(np.mean(np.divide(some, counts))) for some in (of_right, of_lost))
        lead = clean - constant
        low, high = (limit - constant for limit in mean_of_proportions(of_right, counts))
        if low <= 0:
            return cls(clean, clean - lost, max(0.0, 1 - lost / lead) if lead > 0 else 0.0, (0.0, 1.0))
        least, most = _ratio(lost, mean_of_proportions(of_lost, counts), lead, (low, high))
        return cls(clean, clean - lost, max(0.0, 1 - lost / lead), (max(0.0, 1 - most), min(1.0, 1 - least)))


def _ratio(
    above: float, about_above: tuple[float, float], below: float, about_below: tuple[float, float]
) -> tuple[float, float]:
    """Return the limits of a ratio of two estimates, from the limits of each (MOVER-R)."""
    (l1, u1), (l2, u2), product = about_above, about_below, above * below
    least = product - math.sqrt(max(0.0, product**2 - l1 * u2 * (2 * above - l1) * (2 * below - u2)))
    most = product + math.sqrt(max(0.0, product**2 - u1 * l2 * (2 * above - u1) * (2 * below - l2)))
    return max(0.0, least / (u2 * (2 * below - u2))) if 2 * below > u2 else 0.0, most / (
        l2 * (2 * below - l2)
    )


def keeps_its_lead(search: Search) -> Finding:
    """The model keeps at least two thirds of its lead over a constant classifier."""
    rule = (
        "under the worst case of all attacks at least two thirds of the lead in balanced accuracy over a constant "
        "classifier is left: all of the 95 % interval for robust, none of it for not robust"
    )
    if (
        skipped := _nothing_to_conclude(
            search, "robust accuracy above the constant classifier", Weight.NOT_ROBUST, rule
        )
    ) is not None:
        return skipped
    subject, n = search.evidence.subject, len(search.evidence.subject)
    lead = Lead.of(subject.labels, search.evidence.right, search.standing)
    low, high = lead.interval
    undecided = low < KEPT <= high
    return Finding(
        "robust accuracy above the constant classifier",
        Outcome.FAILED if low < KEPT else Outcome.PASSED,
        Weight.NOT_PROVEN if undecided else Weight.NOT_ROBUST,
        f"{100 * lead.kept:.1f} % ({100 * low:.1f} to {100 * high:.1f} %) of the lead over a constant classifier is "
        f"kept: balanced accuracy {100 * lead.attacked:.1f} % of {100 * lead.clean:.1f} %",
        rule,
        f"These {n} images do not tell whether an attacker takes more than a third of what the model knows beyond a "
        "constant answer."
        if undecided
        else f"An attacker takes {100 * (1 - lead.kept):.0f} % of what the model knows beyond a constant answer.",
        "this project",
        {"kept": lead.kept, "interval": [low, high], "clean": lead.clean, "attacked": lead.attacked, "n": n},
    )


def control(search: Search) -> Finding:
    """The defence does better than the same model without it."""
    rule = (
        "more images stand than of the same architecture without the defence, attacked alike (McNemar, 5 %)"
    )
    source = "Carlini et al. (2019), arXiv:1902.06705"
    subject = search.evidence.subject
    if subject.control is None:
        return Finding(
            "control: no better than the undefended model",
            Outcome.NOT_APPLICABLE,
            Weight.NOT_PROVEN,
            "-",
            rule,
            "No undefended twin was given: whether the defence is what helps cannot be said.",
            source,
            {},
        )
    if not search.evidence.differentiable:
        sentence = "The model has no gradient to attack by, its control has: they cannot be attacked alike."
        return Finding(
            "control: no better than the undefended model",
            Outcome.NOT_APPLICABLE,
            Weight.NOT_PROVEN,
            "-",
            rule,
            sentence,
            source,
            {},
        )
    name, target = subject.control
    stands, n = ~search.pgd.success[0], len(subject)
    theirs = ~search.evidence.run(search.plain, target=target, of=f"control {name}").success[0]
    only_here, only_there = int((stands & ~theirs).sum()), int((theirs & ~stands).sum())
    failed = mcnemar(only_here, only_there) >= SURE
    return Finding(
        "control: no better than the undefended model",
        Outcome.FAILED if failed else Outcome.PASSED,
        Weight.NOT_PROVEN,
        f"{share(int(stands.sum()), n)} stand PGD, {share(int(theirs.sum()), n)} of the control's",
        rule,
        "The same model without the defence stands as much: the defence is not what helps."
        if failed
        else "More stands with the defence than without it.",
        source,
        {"only here": only_here, "only there": only_there, "n": n},
    )


def unseen_attack(search: Search) -> Finding:
    """At least one attack was made that the training did not use."""
    used = search.evidence.subject.trained_on
    run = [result.name for result in search.attacks if len(result.rows)]
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
        {"unseen": unseen, "n": len(search.evidence.subject)},
    )


def realisable(search: Search) -> Finding:
    """How much of the attack fits into an 8-bit image."""
    plan, n = search.evidence.plan, len(search.evidence.subject)
    rule = "reported: the accuracy under PGD with floats and with 8-bit images"
    if plan.threat.space != "native" or plan.threat.bits or not search.evidence.differentiable:
        return Finding(
            "not realisable: 8-bit images break less",
            Outcome.NOT_APPLICABLE,
            Weight.REPORT,
            "-",
            rule,
            "The perturbed tensor lies behind resizing and colouring: nobody can send such an image."
            if plan.threat.space != "native"
            else "The attack is on 8-bit images already, or there is no gradient.",
            "this project",
            {},
        )
    floats, stored = int(search.pgd.success[0].sum()), int(search.eight_bit().success[0].sum())
    unfit = plan.threat.norm == "linf" and plan.value < 1 / 255
    gap = (floats - stored) / n
    return Finding(
        "not realisable: 8-bit images break less",
        Outcome.FAILED if unfit else Outcome.PASSED,
        Weight.REPORT,
        f"{share(n - floats, n)} right with floats, {share(n - stored, n)} with 8-bit images",
        rule + "; epsilon is at least one grey level",
        f"Epsilon is {plan.value * 255:.2f} grey levels: no 8-bit image can carry it."
        if unfit
        else f"Of the attack's effect, {100 * gap:.1f} points exist only in numbers that no image file holds.",
        "this project",
        {"floats": floats, "8-bit": stored, "n": n},
    )


def split_and_n(search: Search) -> Finding:
    """The figures are about the whole official test set."""
    subject = search.evidence.subject
    official, n, split = subject.data.get("official"), len(subject), subject.data.get("split", "test")
    seen = split != "test"
    failed = seen or (official is not None and n != official)
    return Finding(
        "selected test data: not the whole official split",
        Outcome.FAILED if failed else Outcome.PASSED,
        Weight.NOT_PROVEN,
        f"{n} images of {subject.data.get('name', 'own data')}, {split} split"
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


def catastrophic_overfitting(search: Search) -> Finding:
    """Robustness did not suddenly go away in training."""
    history = search.evidence.subject.history
    rule = "accuracy under PGD-5 falls by at most 20 points from one round to the next"
    source = "Wong et al. (2020), arXiv:2001.03994"
    if len(history) < 2:
        return Finding(
            "catastrophic overfitting: single step survives, iterations do not",
            Outcome.NOT_APPLICABLE,
            Weight.NOT_PROVEN,
            "-",
            rule,
            "The training was not watched, or did not use adversarial images.",
            source,
            {},
        )
    falls = -np.diff(np.array(history))
    worst = float(falls.max())
    return Finding(
        "catastrophic overfitting: single step survives, iterations do not",
        Outcome.FAILED if worst > 0.2 else Outcome.PASSED,
        Weight.NOT_PROVEN,
        f"largest fall {100 * max(worst, 0.0):.1f} points over {len(history)} rounds",
        rule,
        "In training, robustness against many steps broke down while the loss went on falling."
        if worst > 0.2
        else "In training, robustness against many steps did not break down.",
        source,
        {"history": list(history)},
    )


def int8_twin(search: Search) -> Finding:
    """The exported file is not more robust than the model it came from."""
    subject, n = search.evidence.subject, len(search.evidence.subject)
    rule = "under no single attack is the int8 file more robust than the float model by over 2 points"
    source = "Bernhard et al. (2019), arXiv:1909.12741"
    if subject.edge is None:
        sentence = "No exported file was given."
        return Finding("int8 twin", Outcome.NOT_APPLICABLE, Weight.REPORT, "-", rule, sentence, source, {})
    if not search.evidence.differentiable:
        sentence = "The model has no gradient, so that nothing guides an attack on its exported file."
        return Finding("int8 twin", Outcome.NOT_APPLICABLE, Weight.REPORT, "-", rule, sentence, source, {})
    name, edge = subject.edge
    queries = min(300, search.evidence.plan.queries)
    through = StraightThrough(edge, subject.target)
    runs: dict[str, Any] = {
        "float transfer": search.evidence.run(
            Transfer(surrogate=subject.target), target=edge, of=f"int8 {name}"
        ),
        "straight-through PGD": search.evidence.run(
            search.plain, target=through, of=f"int8 {name}, straight through"
        ),
        "Square": search.evidence.run(f"square(queries={queries})", target=edge, of=f"int8 {name}"),
    }
    right = {attack: int((~result.success[0]).sum()) for attack, result in runs.items()}
    stands = np.all([~result.success[0] for result in runs.values()], axis=0)
    float_right = {
        "straight-through PGD": int((~search.pgd.success[0]).sum()),
        "Square": int((~search.evidence.run(f"square(queries={queries})").success[0]).sum()),
    }
    gains = {attack: (right[attack] - float_right[attack]) / n for attack in float_right}
    failed = max(gains.values()) > 0.02
    return Finding(
        "int8 twin",
        Outcome.FAILED if failed else Outcome.PASSED,
        Weight.REPORT,
        f"{share(int(stands.sum()), n)} right under the worst of {', '.join(runs)}",
        rule,
        "Rounding hides the gradient of the exported file: its robustness is the float model's at best."
        if failed
        else "The exported file is about as robust as the model it came from.",
        source,
        {"right": right, "float": float_right, "n": n},
    )
