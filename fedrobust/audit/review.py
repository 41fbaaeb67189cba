"""The field's term for each failed check, and the next step."""

from typing import NamedTuple


class Advice(NamedTuple):
    """The field's term for a failed check, and the next step in one sentence."""

    called: str
    next: str


MASKED = "gradient masking"

ADVICE = {
    "vanishing gradient: softmax hides the logits": Advice(
        "vanishing gradient", "Save the model without its softmax or sigmoid, and audit that file."
    ),
    "stochastic defence: answers vary": Advice(
        "stochastic defence",
        "Fix the randomness for the audit, or report accuracy under an attack that averages more draws.",
    ),
    "selected test data: not the whole official split": Advice(
        "selected test data", "Audit all images of the test split: --images 0."
    ),
    "too few images": Advice("too few images", "Audit more images, of at least two classes."),
    "collapsed classifier: clean images": Advice(
        "collapsed classifier",
        "Train the model further, check the meaning of its labels, or audit more images.",
    ),
    "collapsed classifier: under attack": Advice(
        "broken", "Train with adversarial images, at this epsilon or above."
    ),
    "robust accuracy: lead over the constant classifier lost": Advice(
        "broken", "Train with adversarial images, at this epsilon or above."
    ),
    "BatchNorm: stale statistics": Advice(
        "stale BatchNorm statistics", 'Recalibrate the statistics (model.batchnorm-policy = "recalibrate").'
    ),
    "vanishing gradient: zero or not finite": Advice(
        "vanishing gradient",
        "Give the layers that cut the gradient a differentiable stand-in, and attack through it.",
    ),
    "obfuscated gradients: finite differences disagree": Advice(
        "obfuscated gradients",
        "Find the layer with a replaced gradient, and attack the model without it.",
    ),
    "obfuscated gradients: saturated at the class boundary": Advice(
        "saturated outputs", "Attack the logits before the saturating layer: give a file that ends there."
    ),
    "gradient masking: another loss breaks more": Advice(
        MASKED, "Report the attack on the margin: cross-entropy overestimates the robustness."
    ),
    "gradient masking: single step beats iterations": Advice(
        MASKED, "Use random starts and larger steps; look at the loss surface."
    ),
    "failing attack: breaks less at a larger epsilon": Advice(
        "a failing attack", "Use more steps and restarts at the larger epsilons."
    ),
    "failing attack: images survive an unbounded epsilon": Advice(
        "a failing attack", "Find out why the attack fails although it may replace the whole image."
    ),
    "failing attack: more steps break more": Advice(
        "a search that was too short", "Run the audit with --effort full."
    ),
    "failing attack: more restarts break more": Advice(
        "a search that was too short", "Run the audit with --effort full."
    ),
    "gradient masking: BPDA breaks more": Advice(
        MASKED, "Attack the model without the operations that are named."
    ),
    "gradient masking: hidden layers break more": Advice(
        MASKED, "Attack the hidden layer that is named: give a file that ends there."
    ),
    "obfuscated gradients: smoothing breaks more": Advice(
        "obfuscated gradients", "Attack with gradients averaged over noisy copies of an image."
    ),
    "gradient masking: black-box beats white-box": Advice(
        MASKED, "Report the black-box attack; find the layer that masks the gradient."
    ),
    "black-box attacks: not made": Advice(
        "an evaluation without black-box attacks", "Run the audit with --effort standard."
    ),
    "gradient masking: transfer beats white-box": Advice(
        MASKED, "Report the transfer attack; find the layer that masks the gradient."
    ),
    "label leaking: attacked beats clean": Advice(
        "label leaking", "Train with several steps or random starts, and audit that model."
    ),
    "failing attack: planted masking is not seen": Advice(
        "a failing attack", "Do not rely on these attacks on this model; inspect its logits."
    ),
    "catastrophic overfitting: single step survives, iterations do not": Advice(
        "catastrophic overfitting",
        "Use the model of the round before the fall, or train longer, or with more and smaller steps.",
    ),
    "control: no better than the undefended model": Advice(
        "no effect of the defence", "Compare with the control at more images or a larger epsilon."
    ),
    "unseen attack: only the training attack was made": Advice(
        "robustness to the training attack only", "Run an attack that the training did not use."
    ),
    "not realisable: 8-bit images break less": Advice(
        "an unrealisable threat", "Choose an epsilon of at least 1/255."
    ),
    "gradient masking: int8 file beats its float model": Advice(
        MASKED, "Report the robustness of the float model for the exported file."
    ),
}
"""By the check's name."""

UNDECIDED = {
    "robust accuracy: lead over the constant classifier lost": Advice(
        "too few images", "Audit more images, if the test split has more: --images 0."
    ),
}
"""In place of it, where a check fails because its interval includes the limit."""
