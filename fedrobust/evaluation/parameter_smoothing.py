"""Votes of noisy copies of a model, and the magnitude of backdoors in training that cannot change their majority."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import beta

ABSTAINS = -1
"""The answer to an image on which no class has a certain majority."""


@dataclass(frozen=True)
class Majority:
    """The answer of the smoothed model to one image.

    Attributes:
        label: its class, `ABSTAINS` if none is certain.
        least: pA, lower limit of the probability of the class that is most frequent among the votes.
        most: pB, upper limit of the probability of every other class.
    """

    label: int
    least: float
    most: float

    @property
    def divergence(self) -> float:
        """The smallest Kullback-Leibler divergence of another distribution of models that may answer otherwise.

        -log(1 - (sqrt(pA) - sqrt(pB))^2) (Xie et al., 2021, arXiv:2106.08283, Theorem 1); 0: it abstains.
        """
        if self.label == ABSTAINS:
            return 0.0
        return -math.log1p(-((math.sqrt(self.least) - math.sqrt(self.most)) ** 2))


def majority(counts: NDArray[np.int64], copies: int, alpha: float) -> Majority:
    """Return the answer to one image from the votes for each class, `counts` (classes,).

    The paper's Algorithm 2 selects the class and bounds both probabilities from the same votes, each by Hoeffding's
    inequality with confidence 1 - alpha. Here 2 limits of each of k classes, of which any may be selected, hold
    together with that confidence: Clopper-Pearson limits with alpha / 2k each, which are never wider at the same alpha.

    Args:
        counts: votes.
        copies: M, noisy models; those whose answer is no number do not vote.
        alpha: probability that a limit is wrong.

    Example:
        >>> found = majority(np.array([990, 10]), 1000, alpha=0.001)
        >>> found.label, round(found.least, 3), round(found.most, 3)
        (0, 0.974, 0.026)
        >>> majority(np.array([505, 495]), 1000, alpha=0.001).label
        -1
    """
    each = alpha / (2 * len(counts))
    top = int(counts.argmax())
    least = lower(int(counts[top]), copies, each)
    others = max(
        (upper(int(one), copies, each) for place, one in enumerate(counts) if place != top), default=0.0
    )
    most = min(others, 1 - least)
    return Majority(top if least > most else ABSTAINS, least, most)


def lower(successes: int, n: int, alpha: float) -> float:
    """Return the one-sided lower limit of a proportion with confidence 1 - alpha (Clopper and Pearson, 1934)."""
    return 0.0 if successes == 0 else float(beta.ppf(alpha, successes, n - successes + 1))


def upper(successes: int, n: int, alpha: float) -> float:
    """Return the one-sided upper limit of a proportion with confidence 1 - alpha (Clopper and Pearson, 1934)."""
    return 1.0 if successes == n else float(beta.ppf(1 - alpha, successes + 1, n - successes))


def later_rounds(norms: Sequence[float], deviations: Sequence[float]) -> float:
    """Return the product of 2 Phi(rho_t / sigma_t) - 1 over rounds t after the attack (Theorem 1); 1 without any.

    Clipping and noise bring the distributions of two models closer. It is a statement on all noise of the training
    together, which votes of one trained model do not sample: given the noise that was drawn, the factor is 1.

    Example:
        >>> round(later_rounds([1.0, 1.0], [1.0, 1.0]), 4), later_rounds([15.0], [0.01])
        (0.4661, 1.0)
    """
    pairs = zip(norms, deviations, strict=True)
    return math.prod(2 * float(ndtr(norm / deviation)) - 1 for norm, deviation in pairs)


def certified_radius(
    divergence: float, deviation: float, lipschitz: float, moves: Sequence[float], later: float = 1.0
) -> float:
    """Return RAD: no backdoor of a smaller magnitude changes the answer (Corollary 1); infinite without attackers.

    RAD^2 = divergence sigma^2 / (2 R L_Z^2 sum_i (p_i gamma_i tau_i eta_i q_i / n_i)^2 later)

    The authors' code computes the same, with rho of one round written in for L_Z, and with a radius of 100,000 where
    all copies agree. A backdoor's magnitude is the length of its change of features and one-hot label together: one
    that changes a label has at least sqrt(2).

    Args:
        divergence: see `Majority`.
        deviation: sigma of the noise in the attacked round.
        lipschitz: L_Z of the gradient with respect to an example.
        moves: of each of R attackers, share of the mean p times boost gamma times local steps tau times learning
            rate eta times share of poisoned examples in a batch q / n.
        later: see `later_rounds`.

    Example:
        >>> certified_radius(2.0, deviation=0.5, lipschitz=1.0, moves=[0.1])
        5.0
    """
    cost = 2 * len(moves) * lipschitz**2 * sum(move**2 for move in moves) * later
    return math.sqrt(divergence * deviation**2 / cost) if cost else math.inf


def paper_lipschitz(norm: float) -> float:
    """Return L_Z = sqrt(2 + 2 rho + rho^2) of logistic regression with weights up to `norm` and features up to 1.

    Example:
        >>> paper_lipschitz(1.0) == math.sqrt(5)
        True
    """
    return math.sqrt(2 + 2 * norm + norm**2)


def lipschitz_of_head(norm: float, features: float) -> float:
    """Return L_Z of softmax regression: how fast the gradient of the loss changes with an example (x, y).

    The gradient is (p - y) x^T with p = softmax(W x). Along a change (dx, dy) it changes by at most
    |x| (|W| |dx| / 2 + |dy|) + |p - y| |dx|, as softmax is 1/2-Lipschitz; and |p - y| is at most sqrt(2), and at most
    1 + |W| |x| / 2, because it is at most 1 for equal logits. For features up to 1 this is at most the paper's L_Z.

    Args:
        norm: largest |W|.
        features: largest |x|, that of the constant 1 of a bias included.

    Example:
        >>> lipschitz_of_head(0.5, 1.0) == paper_lipschitz(0.5)
        True
        >>> lipschitz_of_head(5.0, 1.0) < paper_lipschitz(5.0)
        True
    """
    error = min(math.sqrt(2), 1 + norm * features / 2)
    return math.hypot(error + norm * features / 2, features)


def exposure(images: int, batch: int, epochs: int, share: float) -> float:
    """Return the largest sum over local steps of the share of poisoned images in the batch, tau q / n.

    A client's images are cut into equal batches, up to one image. The worst are all poisoned.

    Args:
        images: of the client.
        batch: largest size of a batch.
        epochs: over its images in a round.
        share: of its images that are poisoned.

    Example:
        >>> exposure(100, 25, epochs=2, share=1.0), exposure(100, 25, epochs=2, share=0.1)
        (8.0, 0.8)
    """
    steps = -(-images // batch)
    return epochs * min(float(steps), math.ceil(share * images) / (images // steps))


def largest_below(limit: Callable[[float], float], most: float, steps: int = 60) -> float:
    """Return the largest r up to `most` with r <= limit(r), for a `limit` that falls with r; 0 if there is none.

    Example:
        >>> round(largest_below(lambda r: 1 / (1 + r), most=10.0), 4)
        0.618
    """
    low, high = 0.0, most
    if most <= limit(most):
        return most
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if middle <= limit(middle) else (low, middle)
    return low
