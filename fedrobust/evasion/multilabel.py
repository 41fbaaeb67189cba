"""Evasion attacks on the findings of multi-label images."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedrobust.data.label_sets import unpacked
from fedrobust.evasion.contract import ATTACKS, Attack
from fedrobust.evasion.models.protocol import Labels, Logits
from fedrobust.evasion.search_state import Judged, SearchState

LOSSES = ("stable-cross-entropy", "cross-entropy", "margin")
"""Losses of gradient attacks that are defined for findings."""


def fault(attack: Attack) -> str:
    """Return why an attack cannot be run on multi-label images; empty if it can."""
    if not attack.multilabel:
        allowed = ", ".join(name for name, each in sorted(ATTACKS.members.items()) if each.multilabel)
        return f"it needs classes that exclude each other; allowed for findings: {allowed}"
    target, loss = getattr(attack, "target", "none"), getattr(attack, "loss", LOSSES[0])
    if target != "none":
        return f"target = {target}: findings have no target class; leave it out, and choose evaluation.attacked-finding"
    if loss not in LOSSES:
        return f"loss = {loss}: allowed for findings: {', '.join(LOSSES)}"
    return ""


def all_findings(count: int) -> int:
    """Return the label set of all of `count` findings."""
    return 2**count - 1


def attacked_findings(name: str, label_names: tuple[str, ...]) -> int:
    """Return the label set of the attacked findings.

    Args:
        name: of a finding, or its number; "any": all of them.
        label_names: of the findings.

    Raises:
        ValueError: there is no such finding.

    Example:
        >>> attacked_findings("effusion", ("atelectasis", "effusion")), attacked_findings("any", ("a", "b", "c"))
        (2, 7)
    """
    if name == "any":
        return all_findings(len(label_names))
    places = {each: place for place, each in enumerate(label_names)}
    places |= {str(place): place for place in range(len(label_names)) if str(place) not in places}
    if name not in places:
        raise ValueError(f"no such finding; allowed: any, {', '.join(label_names)}")
    return 1 << places[name]


class MultilabelSearch(SearchState):
    """The search of one attack on a batch of multi-label images: as many wrong answers as possible.

    An image is broken, and leaves the search, once every attacked finding is answered wrong. Of the queried images the
    best has most wrong answers to attacked findings; among these, the one whose logits are on average farthest on the
    wrong side. So one search gives the damage to every finding, and the images with at least one wrong answer. Images
    that are answered wrong without an attack are attacked as well: their other answers may still be right.

    Args:
        findings: label set of the attacked findings.
        *arguments: those of `SearchState`, without `target_class`.
        **settings: likewise.
    """

    def __init__(self, findings: int, *arguments, **settings):  # type: ignore[no-untyped-def]
        super().__init__(*arguments, **settings)
        self.findings = findings

    def goals(self, count: int) -> Labels | None:
        """Return the label set of the attacked findings for `count` images."""
        return np.full(count, self.findings, np.int32)

    def margins(self, logits: Logits, labels: Labels) -> NDArray[np.float64]:
        """Return each image's score (n,): minus the number of right answers to attacked findings, plus a share.

        The share, in (0, 1), grows with the mean distance of their logits from the right side.
        """
        wrong, apart = self._watched(logits, labels)
        return wrong.sum(axis=1) - wrong.shape[1] + expit(apart.mean(axis=1))

    def judged(self, logits: Logits, labels: Labels) -> Judged:
        """Return logits, success and score; a row with NaN or infinity answers every finding wrong."""
        silent = ~np.isfinite(logits).all(axis=1)
        if silent.any():
            truth = unpacked(labels[silent], logits.shape[1])
            logits = logits.copy()
            logits[silent] = np.where(truth, -1.0, 1.0)
        wrong, _ = self._watched(logits, labels)
        return Judged(logits, np.asarray(wrong.all(axis=1)), self.margins(logits, labels))

    def _watched(self, logits: Logits, labels: Labels) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Return which answers to attacked findings are wrong, and by how much, (n, attacked)."""
        count = logits.shape[1]
        watched = unpacked(np.array([self.findings]), count)[0]
        truth = unpacked(labels, count)[:, watched]
        said = logits[:, watched].astype(np.float64)
        return (said > 0) != truth, np.where(truth, -said, said)
