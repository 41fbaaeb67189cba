"""Membership inference by a malicious server, which sends one client heads of its choice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count, FromTwo, Positive
from fedrobust.leakage.confidence import Floats
from fedrobust.leakage.contract import LEAKAGE, CraftedHeadAttack

HALF_WIDTH = 0.005
"""Of the slab around an image, in units of its distance from the mean of the server's images."""


@LEAKAGE.register("feature-fishing")
@dataclass(frozen=True, kw_only=True)
class FeatureFishing(CraftedHeadAttack):
    """Send heads under which one image alone has a gradient (after Wen et al., 2022, arXiv:2202.00580, section 4.2).

    Where only the head is trained, its gradient is the sum over images of (softmax - label) times the features. The
    server chooses a hyperplane near the image, across the direction in which the image differs most from the server's
    own images in units of their spread, and a head so steep that every softmax is 0 or 1: before the hyperplane it
    answers the image's own label, beyond it another. Of two such heads, one with the hyperplane just before the image
    and one just beyond it, the updates differ by the images in between; a member is one of them, and hardly any other
    image is. The score is the cosine of the difference and the image's features.

    The difference is exact where a client makes whole steps of plain SGD on all of its images; batches that are drawn
    anew for the second head, and Adam, add noise. The paper asks for one image of a class by a threshold on one
    feature, and reconstructs it; two thresholds are those of Fowl et al. (2021, arXiv:2110.13057), who put them into
    one layer that they add to the network.

    Attributes:
        clients: that are attacked.
        images: of each of them; every attacked client is asked for the images of all.
        pairs: of heads for each image, a pair in two rounds; the differences are averaged.
        steepness: logit at the distance of the image from the server's mean.
        ridge: added to the variance of the server's features in every direction, in units of their mean variance.

    Example:
        >>> attack = FeatureFishing()
        >>> own = np.array([[0.0, 1.0], [0.0, -1.0], [0.1, 0.0], [-0.1, 0.0]])
        >>> before, beyond = attack.heads(np.array([1.0, 0.0]), 0, own, classes=2)
        >>> (np.array([[0.9, 5.0, 1.0], [1.0, 5.0, 1.0], [1.1, 5.0, 1.0]]) @ before).argmax(axis=1).tolist()
        [0, 1, 1]
        >>> (np.array([[0.9, 5.0, 1.0], [1.0, 5.0, 1.0], [1.1, 5.0, 1.0]]) @ beyond).argmax(axis=1).tolist()
        [0, 0, 1]
    """

    clients: FromTwo = 4
    images: Count = 30
    pairs: Count = 1
    steepness: Positive = 1000.0
    ridge: Positive = 1.0

    def heads(self, features: Floats, label: int, own: Floats, classes: int) -> NDArray[np.float64]:
        """Return the two heads, (2, d + 1, classes), the bias last."""
        mean = own.mean(axis=0)
        across = whitened(features - mean, own - mean, self.ridge)
        away = float((features - mean) @ across)
        # The image is at 1, the mean of the server's images at 0.
        across = across / max(away, 1e-12)
        answers = np.zeros(classes)
        answers[label], answers[(label + 1) % classes] = -1.0, 1.0
        places = np.array([1 - HALF_WIDTH, 1 + HALF_WIDTH])
        kernel = np.outer(across, answers)
        # The other classes have no share in the answers.
        never = np.where(answers == 0, -10.0, 0.0)
        biases = -(mean @ across + places)[:, None] * answers + never
        return self.steepness * np.stack([np.vstack([kernel, bias]) for bias in biases])

    def score(self, features: Floats, label: int, updates: Floats) -> float:
        """Return the cosine of the features and what the two updates, (2, d + 1, classes), differ by."""
        classes = updates.shape[2]
        # The images in between are pulled from the other answer to the label by the first head, or from the label to
        # the other answer by the second.
        apart = updates[0] - updates[1]
        found = apart[:-1, label] - apart[:-1, (label + 1) % classes]
        size = float(np.linalg.norm(found) * np.linalg.norm(features))
        return float(found @ features) / size if size > 0 else 0.0


def whitened(vector: Floats, rows: Floats, ridge: float) -> Floats:
    """Return inverse(covariance + ridge * mean variance) times a vector.

    Args:
        vector: (d,).
        rows: centred, (n, d).
        ridge: in units of the mean variance over min(n, d) directions.

    Example:
        >>> rows = np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> whitened(np.array([1.0, 1.0]), rows, ridge=1e-9).round(3).tolist()  # variances 2 and 1/2
        [0.5, 2.0]
    """
    # Woodbury's identity: a system of as many equations as rows.
    inner = rows @ rows.T
    floor = max(ridge * float(np.trace(inner)) / len(rows) / min(rows.shape), 1e-12)
    system = inner + len(rows) * floor * np.eye(len(rows))
    found: Floats = (vector - rows.T @ np.linalg.solve(system, rows @ vector)) / floor
    return found
