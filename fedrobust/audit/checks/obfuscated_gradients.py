"""Checks of the gradient by finite differences: does it predict the change of the logits?"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrobust.audit.attack_cache import SAMPLE, AttackCache, spread
from fedrobust.audit.checks.skipped import not_applicable
from fedrobust.audit.finding import Finding, Weight, outcome_of, share
from fedrobust.audit.finite_differences import explained, jumps, lengths_of
from fedrobust.evasion.rng import keys_of, uniform

EXPLAINED = (0.95, 0.5, 0.2)
"""Share of the images whose gradient has to predict the change along itself over the short, middle and long step.

Measured at 2/255 on PneumoniaMNIST. Networks without gradient masking: 0.98 to 1.0 over the short step; over a quarter
of epsilon and over all of it 1.0 and 0.99 (three convolutions), 0.82 and 0.46 (MobileNetV2 trained with FGSM). Networks
whose gradient is another model's, stopped, flipped, or that of a ripple: below 0.1 over at least one of them.
"""


PAIRS = 128
"""Pairs of images of different classes between which the decision boundary is searched."""


JUMP = 0.2
"""Share of the margin between two images that may be lost within a sixteenth of epsilon.

Measured on PneumoniaMNIST at 2/255: up to 0.02 for networks without gradient masking, at least 0.84 for saturated ones.
"""


def gradient_predicts_the_change(cache: AttackCache) -> Finding:
    """The gradient predicts the change of the logits (finite differences)."""
    check = "obfuscated gradients: finite differences disagree"
    rule = (
        "clean and at a random point of the ball, the gradient predicts the change of the margin within a half: over a "
        "step of 0.0001 for at least 95 % of the images, along itself and along random directions, white and of low "
        "frequency; along itself over a quarter of epsilon (at most half a grey level) for 50 %, over all of it (at "
        "most two) for 20 %"
    )
    source = (
        "finite differences; Athalye et al. (2018), arXiv:1802.00420; Carlini et al. (2019), arXiv:1902.06705"
    )
    if not cache.differentiable:
        sentence = "The model has no gradient: see vanishing gradient."
        return not_applicable(check, rule, sentence, source)
    audited, plan = cache.audited, cache.plan
    rows = spread(np.flatnonzero(cache.right), SAMPLE)
    if not len(rows):
        sentence = "No image is classified correctly: there is no margin to follow."
        return not_applicable(check, rule, sentence, source)
    clean, labels = audited.images[rows], audited.labels[rows]
    keys = keys_of(plan.seed, rows)
    change = 2 * uniform(keys, 0, clean.shape[1:]) - 1
    inside = plan.threat.project(
        clean + np.float32(plan.value) * change.astype(np.float32), clean, plan.value
    )
    shares: dict[str, dict[str, Any]] = {}
    for place, images in (("clean", clean), ("in the ball", inside)):
        seen = explained(cache.target, images, labels, plan.threat, plan.value, plan.seed)
        shares[place] = {
            "everywhere": float(seen.nearby.mean()),
            "along the gradient": [float(value) for value in seen.along.mean(axis=1)],
            "along random directions": float(seen.white.mean()),
            "along low frequencies": float(seen.low.mean()),
        }
    nearby = min(one["everywhere"] for one in shares.values())
    along = np.min([one["along the gradient"] for one in shares.values()], axis=0)
    n = len(rows)
    failed = nearby < EXPLAINED[0] or bool((along[1:] < EXPLAINED[1:]).any())
    return Finding(
        check,
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"the gradient predicts the change for {100 * nearby:.1f} % of {n} images nearby, for "
        f"{100 * along[1]:.0f} and {100 * along[2]:.0f} % along itself further away",
        rule,
        "The gradient does not predict the change of the logits over a small step: it is not that of the model, or is "
        "useless for steps of this size, and misleads gradient attacks."
        if failed
        else "The gradient predicts the change of the logits.",
        source,
        {"n": n, "steps": list(lengths_of(plan.value, plan.threat, clean[0].size)), **shares},
    )


def no_jump_at_the_boundary(cache: AttackCache) -> Finding:
    """The margin changes gradually at the decision boundary."""
    check = "obfuscated gradients: saturated at the class boundary"
    rule = (
        f"between two images of different classes at most {100 * JUMP:.0f} % of the change of the margin happens "
        "within a sixteenth of epsilon of the boundary, for at least 95 % of the pairs"
    )
    source = "this project; on saturated outputs: Carlini and Wagner (2016), arXiv:1608.04644"
    audited, plan = cache.audited, cache.plan
    first, second = _pairs(cache)
    if not len(first):
        sentence = "There are no two correctly classified images of different classes."
        return not_applicable(check, rule, sentence, source)
    lost = jumps(audited.target, audited.images[first], audited.images[second], plan.threat, plan.value / 16)
    jumping, n = int((~(lost <= JUMP)).sum()), len(lost)
    failed = jumping > 0.05 * n
    return Finding(
        check,
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"{share(jumping, n)} pairs jump; the median pair loses {100 * float(np.median(lost)):.1f} % there",
        rule,
        "The margin jumps at the decision boundary and is flat elsewhere: the outputs are saturated, and gradient "
        "attacks get no direction."
        if failed
        else "The margin falls gradually towards the decision boundary: its gradient can guide an attack.",
        source,
        {"jumping": jumping, "n": n, "median": float(np.median(lost))},
    )


def _pairs(cache: AttackCache) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of pairs of correctly classified images of different classes."""
    labels, right = cache.audited.labels, np.flatnonzero(cache.right)
    draw = np.random.default_rng(cache.plan.seed)
    first, second = draw.permutation(right), draw.permutation(right)
    # Every image meets a few others; pairs of one class are left out.
    partners = [(first, np.roll(second, turn)) for turn in range(8)]
    one, other = (np.concatenate(side) for side in zip(*partners, strict=True))
    different = labels[one] != labels[other]
    return one[different][:PAIRS], other[different][:PAIRS]
