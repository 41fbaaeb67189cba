"""SFAT: clients with the smallest adversarial losses weigh more."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, InfeasibleError
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Decay
from fedrobust.shares import sample_size

UpToHalf = Annotated[float, Field(gt=0, le=0.5, description="a number above 0, up to 0.5")]


@RULES.register("sfat")
@dataclass(frozen=True, kw_only=True)
class SFAT:
    """Average with more weight for clients of small adversarial loss (Zhu et al., 2023, arXiv:2303.00250).

    Slack federated adversarial training: of the round's clients, those with the smallest terms of the objective, their
    number of images times their training loss, weigh 1 + alpha times their number of images, the others 1 - alpha
    times. Adversarial images of different clients differ more than clean ones, and this relaxes the objective towards
    clients that agree.

    The losses are those that clients report of their training, which is adversarial with an adversarial
    ``training.recipe``. They are claims: a malicious client may report any number. Only the order of the terms
    counts, so that no lie gives a client more than (1 + alpha) / (1 - alpha) times its share of the images, 1.4 times
    by default; each lie takes the place of one honest client among the favoured. A missing loss is never favoured.
    Like every mean, the rule tolerates no malicious client.

    The official code (ZFancy/SFAT) differs from the paper and from this rule: it compares losses without the number of
    images (its clients have equally many) and takes those of the last local epoch, where here they are the mean over
    all epochs of the round; it averages without slack in the first round and in arrays whose names contain "bn"; and it
    divides as if the first client were favoured where it is not, which shrinks all weights, by 7 % with one favoured of
    five.

    Attributes:
        alpha: the slack; 0 is federated averaging. The official code's factor (1 + alpha) / (1 - alpha) is 1.4.
        favoured: share of the round's clients that weigh more, up to a half as in the paper, rounded, at least one;
            clients with equal terms at the limit are all favoured. The official code favours one of five.

    Raises:
        InfeasibleError: the losses of the clients are not known.

    Example:
        >>> updates = Updates.of(np.array([[0], [1], [2]], np.float32))
        >>> context = AggregationContext(np.arange(3), np.ones(3, int), losses=np.array([0.9, 0.2, 0.7]))
        >>> SFAT(alpha=0.5)(updates, context).influence.tolist()
        [0.2, 0.6, 0.2]
    """

    alpha: Decay = 1 / 6
    favoured: UpToHalf = 0.2

    AVERAGES: ClassVar[bool] = True
    BY_CLIENT: ClassVar[bool] = True

    def weight(self, examples: int, typical: float) -> int:
        """Return the weight of a client that claims `examples` images, before the slack."""
        return examples

    def __call__(self, updates: Updates, context: AggregationContext) -> Aggregation:
        """Return the mean of `updates`, weighted by images and slack."""
        if context.losses is None or len(context.losses) != len(updates):
            raise InfeasibleError(
                "sfat: it weights clients by their training losses, which are not known here"
            )
        terms = context.losses * context.examples
        slack = np.where(smallest(terms, self.favoured), 1 + self.alpha, 1 - self.alpha)
        weights = slack * context.examples
        shares = weights / weights.sum()
        return Aggregation(updates.combined(shares), shares)


def smallest(terms: np.ndarray, share: float) -> np.ndarray:
    """Return the mask of the smallest `terms` (n,), a share of all and at most half; NaN is never among them.

    Example:
        >>> smallest(np.array([0.3, np.nan, 0.1, 0.3]), 0.5).tolist()
        [True, False, True, True]
    """
    known = np.sort(terms[~np.isnan(terms)])
    if not len(known):
        return np.zeros(len(terms), bool)
    count = min(sample_size(share, len(terms)), max(1, len(terms) // 2))
    return np.asarray(terms <= known[min(count, len(known)) - 1])
