"""Checks of the answers: does the model do its task at all, under attack, and better than without its defence?"""

from typing import Any

import numpy as np

from fedrobust.audit.finding import Finding, Outcome, Weight, share
from fedrobust.audit.search import Search
from fedrobust.audit.strength import SURE, mcnemar
from fedrobust.evaluation.clinical import figures
from fedrobust.evaluation.intervals import mean_of_proportions, wilson
from fedrobust.evasion import StraightThrough
from fedrobust.evasion.target import Logits

ONE_CLASS = 0.95
"""Share of one answer from which on a classifier is called constant."""

KEPT = 0.75
"""Share of its lead over a constant classifier that a robust model keeps under attack.

A choice, and a lenient one: a model that is right on 90 % of two equal classes may fall to 80 %.
"""


def collapse_of_counts(correct: int, n: int, majority_rate: float) -> bool:
    """Return whether so many correct answers can be a constant classifier's.

    For tables that print nothing but accuracies: the 95 % interval of the accuracy (Wilson) does not lie above the
    majority rate.

    Example:
        >>> collapse_of_counts(117, 156, 114 / 156), collapse_of_counts(541, 624, 390 / 624)
        (True, False)
    """
    return wilson(correct, n)[0] <= majority_rate


def signs_of_collapse(labels: np.ndarray, logits: Logits) -> list[str]:
    """Return the signs that these answers are a constant classifier's; empty if there are none."""
    found = figures(labels, logits)
    answers = np.bincount(logits.argmax(axis=1), minlength=logits.shape[1])
    most, n = int(answers.max()), len(labels)
    signs = []
    if most / n > ONE_CLASS:
        signs.append(f"class {int(answers.argmax())} is the answer to {share(most, n)}")
    accuracy, balanced, mcc = found["accuracy"], found["balanced accuracy"], found["mcc"]
    assert accuracy.interval is not None
    assert balanced.interval is not None
    assert mcc.interval is not None
    # A set of equal classes has no majority to hide behind; balanced accuracy says the same there.
    if accuracy.constant is not None and accuracy.interval[0] <= accuracy.constant:
        signs.append(
            f"accuracy {_limits(accuracy.interval)} is not above the majority rate {100 * accuracy.constant:.1f} %"
        )
    if balanced.constant is not None and balanced.interval[0] <= balanced.constant:
        signs.append(
            f"balanced accuracy {_limits(balanced.interval)} is not above a constant's {100 * balanced.constant:.1f} %"
        )
    if mcc.interval[0] <= 0:
        signs.append(f"Matthews' correlation {mcc.interval[0]:.2f} to {mcc.interval[1]:.2f} is not above 0")
    return signs


def collapse_clean(search: Search) -> Finding:
    """The model knows more than the most frequent class."""
    signs = _serious(signs_of_collapse(search.evidence.subject.labels, search.evidence.clean))
    return Finding(
        "collapse, clean",
        Outcome.FAILED if signs else Outcome.PASSED,
        Weight.DEGENERATE,
        "; ".join(signs) or "no sign of it",
        "no class is over 95 % of the answers; the intervals of balanced accuracy and Matthews' correlation lie above "
        "those of a constant classifier",
        "The model cannot be told from one that always gives the same answer: what no attack can change is no "
        "robustness."
        if signs
        else "The model tells the classes apart.",
        "this project",
        {"signs": signs},
    )


def collapse_attacked(search: Search) -> Finding:
    """Under the worst attack the model still knows more than the most frequent class."""
    labels = search.evidence.subject.labels
    before = signs_of_collapse(labels, search.evidence.clean)
    signs = signs_of_collapse(labels, search.worst_logits)
    if before != _serious(before):
        # Its accuracy was not above the majority rate before the attack, either: that is not the attack's doing.
        signs = _serious(signs)
    return Finding(
        "collapse, attacked",
        Outcome.FAILED if signs else Outcome.PASSED,
        Weight.NOT_ROBUST,
        "; ".join(signs) or "no sign of it",
        "under the worst case of all attacks: no class is over 95 % of the answers; the intervals of accuracy (where "
        "the clean one does), balanced accuracy and Matthews' correlation lie above those of a constant classifier",
        "Under attack the model is worth no more than one that always gives the same answer."
        if signs
        else "Under attack the model is still better than one that always gives the same answer.",
        "this project",
        {"signs": signs},
    )


def keeps_its_lead(search: Search) -> Finding:
    """The model keeps at least three quarters of its lead over a constant classifier."""
    subject = search.evidence.subject
    present = np.unique(subject.labels)
    clean, attacked = (
        np.mean([right[subject.labels == label].mean() for label in present])
        for right in (search.evidence.right, search.standing)
    )
    constant = 1 / len(present)
    lead, left = clean - constant, attacked - constant
    kept = max(0.0, left / lead) if lead > 0 else 0.0
    counts = [int((subject.labels == label).sum()) for label in present]
    standing = [int((search.standing & (subject.labels == label)).sum()) for label in present]
    low, high = mean_of_proportions(standing, counts)
    failed = kept < KEPT
    n = len(subject)
    return Finding(
        "keeps its lead",
        Outcome.FAILED if failed else Outcome.PASSED,
        Weight.NOT_ROBUST,
        f"{share(int(search.standing.sum()), n)} right under the worst case, "
        f"{share(int(search.evidence.right.sum()), n)} clean; "
        f"balanced {100 * attacked:.1f} % ({_limits((low, high))}) of {100 * clean:.1f} %",
        "under the worst case of all attacks at least three quarters of the lead in balanced accuracy over a "
        "constant classifier is left",
        f"An attacker takes {100 * (1 - kept):.0f} % of what the model knows beyond a constant answer.",
        "this project",
        {"kept": float(kept), "clean": float(clean), "attacked": float(attacked), "n": n},
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
            "control",
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
        return Finding("control", Outcome.NOT_APPLICABLE, Weight.NOT_PROVEN, "-", rule, sentence, source, {})
    name, target = subject.control
    stands, n = ~search.pgd.success[0], len(subject)
    theirs = ~search.evidence.run(search.plain, target=target, of=f"control {name}").success[0]
    only_here, only_there = int((stands & ~theirs).sum()), int((theirs & ~stands).sum())
    failed = mcnemar(only_here, only_there) >= SURE
    return Finding(
        "control",
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
    everything = [*search.gradient_attacks, *search.black_box, *search.transferred]
    run = [result.name for result in everything if len(result.rows)]
    unseen = [name for name in run if not any(name.startswith(one) for one in used)]
    n, broken = len(search.evidence.subject), 0
    for name in unseen:
        broken = max(broken, int((search.broken_by == name).sum()))
    return Finding(
        "unseen attack",
        Outcome.PASSED if unseen else Outcome.FAILED,
        Weight.NOT_PROVEN,
        f"{len(unseen)} of {len(run)} attacks; trained on: {', '.join(used) or 'none known'}",
        "at least one attack was not used in training",
        "The model was tried with attacks that it never saw."
        if unseen
        else "The model was only tried with what it was trained on.",
        "Carlini et al. (2019), arXiv:1902.06705",
        {"unseen": unseen, "n": n},
    )


def realisable(search: Search) -> Finding:
    """How much of the attack fits into an 8-bit image."""
    plan, n = search.evidence.plan, len(search.evidence.subject)
    rule = "reported: the accuracy under PGD with floats and with 8-bit images"
    if plan.threat.space != "native" or plan.threat.bits or not search.evidence.differentiable:
        return Finding(
            "realisable",
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
        "realisable",
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
        "split and n",
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
            "catastrophic overfitting",
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
        "catastrophic overfitting",
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
    from fedrobust.evasion import Transfer

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


def _serious(signs: list[str]) -> list[str]:
    """Leave out the majority rate for clean images: of a rare disease, a good model may stay under it."""
    return [sign for sign in signs if not sign.startswith("accuracy")]


def _limits(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"
