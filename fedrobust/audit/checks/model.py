"""Checks of a model's outputs and gradients."""

import numpy as np

from fedrobust.audit.attack_cache import AttackCache
from fedrobust.audit.checks.skipped import not_applicable
from fedrobust.audit.collapse import signs_of_collapse
from fedrobust.audit.finding import Finding, Outcome, Weight, outcome_of, share


def outputs_are_logits(cache: AttackCache) -> Finding:
    """The model returns logits, or its softmax could be removed."""
    output = cache.audited.output
    clean = cache.raw_logits
    silent = int((~np.isfinite(clean).all(axis=1)).sum())
    rows = bool((clean >= 0).all() and (clean <= 1).all() and np.allclose(clean.sum(axis=1), 1, atol=1e-3))
    hidden = output == "probabilities" or rows
    rule = "finite rows that do not lie in [0, 1] with sum 1"
    source = "Croce and Hein (2020), AutoAttack's flags"
    if silent:
        return Finding(
            "vanishing gradient: softmax hides the logits",
            Outcome.FAILED,
            Weight.NOT_PROVEN,
            f"not finite for {share(silent, len(clean))}",
            rule,
            "The model returns NaN or infinity for some clean images; they count as misclassified.",
            source,
            {"output": output, "silent": silent},
        )
    sentence = {
        "logits": "The attacks use the model's logits.",
        "unwrapped": "The file ends in a softmax or sigmoid; it was removed, so that the attacks use logits.",
        "probabilities": "The model returns probabilities alone: at high confidence their gradient is zero, and "
        "gradient attacks are weaker than they could be.",
    }[output]
    return Finding(
        "vanishing gradient: softmax hides the logits",
        outcome_of(hidden),
        Weight.NOT_PROVEN,
        output,
        rule,
        sentence,
        source,
        {"output": output},
    )


def deterministic(cache: AttackCache) -> Finding:
    """Five passes over the same images agree, on grey levels and between them."""
    varying, n, draws = cache.varying, len(cache.sampled), cache.plan.draws
    failed = any(varying.values())
    return Finding(
        "stochastic defence: answers vary",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        f"outputs differ on {share(varying['clean'], n)} clean, on {share(varying['moved'], n)} perturbed images",
        "five passes agree to a thousandth of the largest logit, on clean images and on random ones within epsilon",
        f"The model is stochastic: its outputs for one image differ. All attacks used the mean of {draws} outputs and "
        f"gradients (EOT), and an image counts as misclassified if the mean of {cache.confirmed} new outputs is wrong: "
        "chance breaks few images, those whose mean output is close to undecided. An attacker who averages more "
        "gradients may break more."
        if failed
        else "The model is deterministic.",
        "Croce and Hein (2020), AutoAttack's flags; Athalye et al. (2018), arXiv:1802.00420",
        {**varying, "n": n},
    )


def gradient_health(cache: AttackCache) -> Finding:
    """The gradient of the loss at the images is finite and not zero."""
    rule = "at most 1 % of the images have a gradient that is zero or not finite, for cross-entropy and for the margin"
    source = "Croce and Hein (2020), AutoAttack's flags; Pintor et al. (2021), arXiv:2106.09947"
    if not cache.differentiable:
        return Finding(
            "vanishing gradient: zero or not finite",
            Outcome.FAILED,
            Weight.NOT_PROVEN,
            "no gradient at all",
            rule,
            "The model contains an operation without a gradient: only black-box attacks could be run, which break "
            "fewer images.",
            source,
            {},
        )
    images, labels = cache.audited.images, cache.audited.labels
    bad = {}
    for loss in ("cross-entropy", "margin"):
        gradients = cache.target.gradient(images, labels, loss).gradients
        finite = np.isfinite(gradients).all(axis=(1, 2, 3))
        bad[loss] = int((~finite | (gradients == 0).all(axis=(1, 2, 3))).sum())
    failed = max(bad.values()) > 0.01 * len(labels)
    return Finding(
        "vanishing gradient: zero or not finite",
        outcome_of(failed),
        Weight.NOT_PROVEN,
        "no gradient on "
        + " and ".join(f"{share(count, len(labels))} for {loss}" for loss, count in bad.items()),
        rule,
        "The gradients vanish or are not finite: gradient attacks fail on this model, other attacks may not."
        if failed
        else "The gradients can guide an attack.",
        source,
        {**bad, "n": len(labels)},
    )


def batchnorm_gap(cache: AttackCache) -> Finding:
    """BatchNorm's moving statistics are as good as those of the batch."""
    rule = "accuracy in training mode and in inference mode differ by at most 5 points"
    source = (
        "measured in this project: stale moving statistics make the model predict one class for every image"
    )
    if cache.audited.in_training_mode is None:
        return not_applicable(
            "BatchNorm: stale statistics",
            rule,
            "The model cannot be run in training mode.",
            source,
            Weight.DEGENERATE,
        )
    training = cache.audited.in_training_mode()
    labels = cache.audited.labels[: len(training)]
    there = int((training.argmax(axis=1) == labels).sum())
    here = int(cache.right[: len(training)].sum())
    gap = (there - here) / len(labels)
    # Better in inference mode is as it should be where dropout or small batches disturb the other.
    failed = gap > 0.05
    # With stale statistics a model may be worse than it was trained to be; it is degenerate only if it has collapsed.
    collapsed = bool(signs_of_collapse(cache.audited.labels, cache.clean))
    return Finding(
        "BatchNorm: stale statistics",
        outcome_of(failed),
        Weight.DEGENERATE if collapsed else Weight.REPORT,
        f"{share(there, len(labels))} right in training mode, {share(here, len(labels))} in inference mode",
        rule,
        "The BatchNorm statistics are stale: in inference mode the model is worse than in training mode. "
        "Recalibrate the statistics, or lower the momentum."
        if failed
        else "The BatchNorm statistics fit the weights.",
        source,
        {"training": there, "inference": here, "n": len(labels)},
    )
