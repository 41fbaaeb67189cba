"""The verdict of an audit: one word, and a sentence with its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrobust.audit.finding import SHOWN, Finding, Weight, share
from fedrobust.audit.review import ADVICE

ORDER = (Weight.DEGENERATE, Weight.NOT_ROBUST, Weight.NOT_PROVEN)
"""By severity: the first weight with a failed check decides."""


@dataclass(frozen=True)
class Tally:
    """The numbers for a verdict.

    Attributes:
        n: images.
        right: of these, classified correctly without an attack.
        standing: of these, classified correctly under every attack: the robust images.
        queries: forward passes of single images, over all attacks.
        gradients: gradients of single images, over all attacks.
        strongest: the attack that broke most images; "" if none were broken.
    """

    n: int
    right: int
    standing: int
    queries: int
    gradients: int
    strongest: str = ""

    @property
    def broken(self) -> int:
        """Images that are classified correctly without an attack, and wrongly under one."""
        return self.right - self.standing


@dataclass(frozen=True)
class Verdict:
    """The outcome of an audit.

    Attributes:
        word: "robust", "not robust", "not proven" or "degenerate".
        sentence: its meaning, with its numbers.
        deciding: the checks that decided it, failed or not made; empty for "robust".
    """

    word: str
    sentence: str
    deciding: tuple[str, ...]

    @classmethod
    def of(cls, findings: Sequence[Finding], tally: Tally) -> "Verdict":
        """Return the verdict from `findings`: that of the most severe failed check.

        An applicable check that was not made gives "not proven".

        Example:
            >>> Verdict.of([], Tally(n=100, right=90, standing=80, queries=5000, gradients=4000)).word
            'robust'
        """
        for weight in ORDER:
            failed = [one for one in findings if one.failed and one.weight is weight]
            if failed:
                blind = _terms([one for one in findings if one.failed and one.check in BLIND])
                return cls(
                    str(weight), SENTENCES[weight](failed, blind, tally), tuple(one.check for one in failed)
                )
        left_out = [one for one in findings if one.open]
        if left_out:
            return cls(str(Weight.NOT_PROVEN), _looked_quickly(tally), tuple(one.check for one in left_out))
        return cls("robust", _robust(tally), ())


def _robust(tally: Tally) -> str:
    return f"Not broken, and every check passed: {_standing(tally)}. {_rests_on(tally)}"


def _looked_quickly(tally: Tally) -> str:
    return (
        f"Not broken by the quick effort: {_standing(tally)}. Gradient masking was not tested: run the audit with "
        f"--effort standard. {_rests_on(tally)}"
    )


def _degenerate(failed: Sequence[Finding], blind: str, tally: Tally) -> str:
    if any(one.details.get(SHOWN) for one in failed):
        return (
            f"The model does not solve its task, so that its robustness has no meaning: {failed[0].figure}."
        )
    return (
        f"On {tally.n} images the model cannot be told from a constant classifier, so that its robustness has no "
        f"meaning: {failed[0].figure}."
    )


def _not_robust(failed: Sequence[Finding], blind: str, tally: Tally) -> str:
    by = f", most of them by {tally.strongest}" if tally.strongest else ""
    figures = "; ".join(
        one.figure for one in failed if one.check == "robust accuracy: lead over the constant classifier lost"
    )
    return (
        f"Broken: {share(tally.broken, max(1, tally.right))} of the correctly classified images are misclassified "
        f"within the threat model{by}. "
        + (f"{figures[0].upper()}{figures[1:]}. " if figures else "")
        + (f"The attacks may understate it ({blind}). " if blind and tally.standing else "")
        + _rests_on(tally)
    )


def _not_proven(failed: Sequence[Finding], blind: str, tally: Tally) -> str:
    if blind:
        return (
            f"Not broken, but the attacks are not reliable ({blind}): {_standing(tally)}. {_rests_on(tally)}"
        )
    return f"Not proven: {failed[0].sentence} {_standing(tally)}. {_rests_on(tally)}"


def _terms(findings: Sequence[Finding]) -> str:
    """Return the field's terms for these failures, each once."""
    return ", ".join(dict.fromkeys(ADVICE[one.check].called for one in findings))


def _standing(tally: Tally) -> str:
    return (
        f"{share(tally.standing, tally.n)} images are robust to every attack that was made, {tally.right} are "
        "classified correctly without one"
    )


def _rests_on(tally: Tally) -> str:
    return f"The attacks took {tally.queries:,} queries and {tally.gradients:,} gradients."


SENTENCES = {Weight.DEGENERATE: _degenerate, Weight.NOT_ROBUST: _not_robust, Weight.NOT_PROVEN: _not_proven}

BLIND = frozenset(
    {
        "vanishing gradient: softmax hides the logits",
        "stochastic defence: answers vary",
        "vanishing gradient: zero or not finite",
        "obfuscated gradients: finite differences disagree",
        "obfuscated gradients: saturated at the class boundary",
        "gradient masking: another loss breaks more",
        "gradient masking: single step beats iterations",
        "failing attack: breaks less at a larger epsilon",
        "failing attack: images survive an unbounded epsilon",
        "failing attack: more steps break more",
        "failing attack: more restarts break more",
        "gradient masking: BPDA breaks more",
        "gradient masking: hidden layers break more",
        "obfuscated gradients: smoothing breaks more",
        "gradient masking: black-box beats white-box",
        "gradient masking: transfer beats white-box",
        "label leaking: attacked beats clean",
        "failing attack: planted masking is not seen",
    }
)
"""Checks of whether the attacks are reliable."""
