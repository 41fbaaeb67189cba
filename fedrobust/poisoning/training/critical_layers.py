"""Poison only the layers that a backdoor needs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

import numpy as np

from fedrobust.bounds import Positive, PositiveShare, Whole
from fedrobust.models.layout import Layout, Weights
from fedrobust.poisoning.context import AttackContext
from fedrobust.poisoning.contract import POISONING

Success = Callable[[Weights], float]
"""From weights to the attack success rate."""


@POISONING.register("critical-layers")
@dataclass(frozen=True, kw_only=True)
class CriticalLayers:
    """Send a benign update except in the layers that the backdoor needs (Zhuang et al., 2023, arXiv:2308.04466).

    A malicious client trains a benign model, and goes on with poisoned images. Each layer of the malicious model is
    replaced by the benign one, and layers are ranked by how much of the success on the client's own images is lost. In
    this order layers of the malicious model are put into the benign one, until its success reaches `threshold` times
    that of the malicious model: these are critical (section 3). Layer-wise poisoning (LP, equation 4) sends in them
    lambda times the malicious update plus max(0, 1 - lambda) times the benign one, and the benign update elsewhere.

    It goes with a backdoor: ``"pixel-backdoor + critical-layers"``. A layer is an array of weights, as in the official
    code. The paper averages the benign models of all malicious clients; here each has its own, as clients do not
    talk to one another. The paper's search for the number of layers that a known defence accepts is left out.
    BatchNorm's statistics are the benign ones; success is measured with those of the client's own images. The official
    code measures it on a quarter of the images, drawn for that and left out of the training of its search; here it is
    measured on all of them, on which both models were trained.

    Attributes:
        threshold: share of the malicious model's success that the critical layers reach (the paper's tau).
        strength: the paper's lambda.
        epochs: of the training on poisoned images; 0: as many as the study's clients train.
    """

    threshold: PositiveShare = 0.95
    strength: Positive = 1.0
    epochs: Whole = 0

    accompanies = "criterion"

    def train(self, start: Weights, context: AttackContext) -> Weights:
        """Return the benign weights with malicious critical layers; the benign ones if no image can show success."""
        tools, layout = context.tools, context.layout
        benign = tools.update(start, tools.clean)
        malicious = tools.update(benign, tools.poisoned, epochs=self.epochs or None)
        if layout is None or not np.isfinite(tools.success(malicious)):
            return benign
        places = cuts(layout)
        chosen = critical(benign, malicious, places, tools.success, self.threshold)
        crafted = benign.trainable.copy()
        for place in chosen:
            own = self.strength * (malicious.trainable[place] - start.trainable[place])
            rest = max(0.0, 1 - self.strength) * (benign.trainable[place] - start.trainable[place])
            crafted[place] = start.trainable[place] + own + rest
        return replace(benign, trainable=crafted)


def cuts(layout: Layout) -> list[slice]:
    """Return the places of each array of weights in the trainable vector.

    Example:
        >>> from fedrobust.models.layout import Entry
        >>> cuts(Layout((Entry("a", (2, 2), "trainable"), Entry("b", (3,), "trainable"))))
        [slice(0, 4, None), slice(4, 7, None)]
    """
    ends = accumulate((entry.size for entry in layout.of("trainable")), initial=0)
    return [slice(start, stop) for start, stop in pairwise(ends)]


def critical(
    benign: Weights, malicious: Weights, places: Sequence[slice], success: Success, threshold: float
) -> list[slice]:
    """Return the places of the critical layers, the most critical one first (layer substitution analysis).

    Args:
        benign: the benign model.
        malicious: the malicious one.
        places: of all layers.
        success: of a model.
        threshold: share of the malicious model's success that they have to reach.
    """
    whole = success(malicious)
    same = [np.array_equal(benign.trainable[place], malicious.trainable[place]) for place in places]
    # A frozen layer is the same in both: putting one for the other changes no answer, and costs a pass over the images.
    lost = [
        0.0 if alike else whole - success(substituted(malicious, benign, [place]))
        for place, alike in zip(places, same, strict=True)
    ]
    order = sorted(range(len(places)), key=lambda number: -lost[number])
    chosen: list[slice] = []
    for number in order:
        chosen.append(places[number])
        if same[number] and len(chosen) > 1:
            continue
        if success(substituted(benign, malicious, chosen)) >= threshold * whole:
            break
    return chosen


def substituted(into: Weights, other: Weights, places: Sequence[slice]) -> Weights:
    """Return `into` with the weights of `other` at `places`, and its own statistics."""
    trainable = into.trainable.copy()
    for place in places:
        trainable[place] = other.trainable[place]
    return Weights(trainable, into.statistics)
