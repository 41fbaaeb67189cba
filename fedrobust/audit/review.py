"""What a reviewer would call a check that failed, and what to do next."""

from typing import NamedTuple


class Advice(NamedTuple):
    """The field's term for a failed check, and the next step in one sentence."""

    called: str
    next: str


MASKED = "gradient masking"

ADVICE = {
    "outputs are logits": Advice(
        "vanishing gradient", "Save the model without its softmax or sigmoid, and audit that file."
    ),
    "deterministic": Advice(
        "stochastic defence",
        "Fix the randomness for the audit, or report accuracy under an attack that averages more draws.",
    ),
    "split and n": Advice("selected test data", "Audit all images of the official test split: --images 0."),
    "enough images": Advice("too few images", "Audit more images, of at least two classes."),
    "collapse, clean": Advice(
        "collapsed classifier", "Train the model further, or look for what its labels mean."
    ),
    "collapse, attacked": Advice("broken", "Train with adversarial images, at this epsilon or above."),
    "keeps its lead": Advice("broken", "Train with adversarial images, at this epsilon or above."),
    "BatchNorm gap": Advice(
        "stale BatchNorm statistics", 'Recalibrate the statistics (model.batchnorm-policy = "recalibrate").'
    ),
    "gradient health": Advice(
        "vanishing gradient",
        "Give the layers that cut the gradient a differentiable stand-in, and attack through it.",
    ),
    "gradient predicts the change": Advice(
        "obfuscated gradients",
        "Find the layer whose gradient is not its own, and attack the model without it.",
    ),
    "no jump at the boundary": Advice(
        "saturated outputs", "Attack the scores before the saturating layer; give a file that ends there."
    ),
    "loss swap": Advice(MASKED, "Report the attack on the margin; cross-entropy overrates this model."),
    "iterative at least single step": Advice(
        MASKED, "Use random starts and larger steps; look at the loss surface."
    ),
    "monotone in epsilon": Advice("a failing attack", "Use more steps and restarts at the larger epsilons."),
    "large epsilon": Advice(
        "a failing attack", "Find out why the attack fails where no image is left to see."
    ),
    "converged": Advice("a search that was too short", "Run the audit with --effort full."),
    "restarts": Advice("a search that was too short", "Run the audit with --effort full."),
    "substitute gradients": Advice(MASKED, "Attack the model without the operations that are named."),
    "below the head": Advice(MASKED, "Attack the hidden layer that is named; give a file that ends there."),
    "smoothed gradients": Advice(
        "obfuscated gradients", "Attack with the mean of gradients around an image."
    ),
    "black box at most white box": Advice(
        MASKED, "Report the attack that only asks; find what hides the gradient."
    ),
    "asked by decisions": Advice(
        "an evaluation without black-box attacks", "Run the audit with --effort standard."
    ),
    "transfer at most white box": Advice(
        MASKED, "Report the transferred attack; find what hides the gradient."
    ),
    "label leaking": Advice(
        "label leaking", "Train with several steps or random starts, and audit that model."
    ),
    "attack validated": Advice(
        "a failing attack", "Do not believe these attacks on this model; look at its scores."
    ),
    "catastrophic overfitting": Advice(
        "catastrophic overfitting",
        "Take the model of the round before the fall, or train with several steps.",
    ),
    "control": Advice(
        "no effect of the defence", "Compare with the control at more images or a larger epsilon."
    ),
    "unseen attack": Advice(
        "robustness to the training attack only", "Attack with what the training did not use."
    ),
    "realisable": Advice("an unrealisable threat", "Choose an epsilon of at least 1/255."),
    "int8 twin": Advice(MASKED, "Report the robustness of the float model for the exported file."),
}
"""By the check's name."""
