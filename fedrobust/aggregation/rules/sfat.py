"""SFAT: clients with the smallest adversarial losses weigh more."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedrobust.aggregation.contract import RULES, Aggregation, AggregationContext, InfeasibleError
from fedrobust.aggregation.updates import Updates
from fedrobust.bounds import Decay, PositiveShare
from fedrobust.shares import sample_size


@RULES.register("sfat")
@dataclass(frozen=True, kw_only=True)
class SFAT:
    """Average with more weight for clients of small adversarial loss (Zhu et al., 2023, arXiv:2303.00250).

    Slack federated adversarial training: of the round's clients, those with the smallest training losses weigh 1 +
    alpha times their number of images, the others 1 - alpha times. Adversarial images of different clients differ more
    than clean ones, and this relaxes the objective towards clients that agree.

    The losses are those that clients report of their training, which is adversarial with an adversarial
    ``training.recipe``. They are claims: a malicious client may report any number. Only the order of the losses
    counts, so that no lie gives a client more than (1 + alpha) / (1 - alpha) times its share of the images, 1.4 times
    by default; each lie takes the place of one honest client among the favoured. A missing loss is never favoured.
    Like every mean, the rule tolerates no malicious client.

    The official code averages without slack in the first round, leaves BatchNorm's arrays without slack, and takes
    the losses of the last local epoch. Here all rounds and all weights have slack, and losses are the mean over all
    epochs of the round.

    Attributes:
        alpha: the slack; 0 is federated averaging. The official code's factor (1 + alpha) / (1 - alpha) is 1.4.
        favoured: share of the round's clients that weigh more, rounded, at least one; clients with equal losses at the
            limit are all favoured. The official code favours one of five.

    Raises:
        InfeasibleError: the losses of the clients are not known.

    Example:
        >>> updates = Updates.of(np.array([[0], [1], [2]], np.float32))
        >>> context = AggregationContext(np.arange(3), np.ones(3, int), losses=np.array([0.9, 0.2, 0.7]))
        >>> SFAT(alpha=0.5)(updates, context).influence.tolist()
        [0.2, 0.6, 0.2]
    """

    alpha: Decay = 1 / 6
    favoured: PositiveShare = 0.2

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
        slack = np.where(smallest(context.losses, self.favoured), 1 + self.alpha, 1 - self.alpha)
        weights = slack * context.examples
        shares = weights / weights.sum()
        return Aggregation(updates.combined(shares), shares)


def smallest(losses: np.ndarray, share: float) -> np.ndarray:
    """Return the mask of the smallest `losses` (n,), a share of all; NaN is never among them.

    Example:
        >>> smallest(np.array([0.3, np.nan, 0.1, 0.3]), 0.5).tolist()
        [True, False, True, True]
    """
    known = np.sort(losses[~np.isnan(losses)])
    if not len(known):
        return np.zeros(len(losses), bool)
    limit = known[min(sample_size(share, len(losses)), len(known)) - 1]
    return np.asarray(losses <= limit)
