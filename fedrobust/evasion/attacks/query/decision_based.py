"""Base class of decision-based attacks, which see only the predicted class."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fedrobust.bounds import Count
from fedrobust.evasion.attacks.minimum_norm.minimum_norm_attack import MinimumNormAttack
from fedrobust.evasion.models.protocol import Labels, TargetModel
from fedrobust.evasion.search_state import SearchState
from fedrobust.evasion.threat import Images, Threat

MOST_EXAMPLES = 500
"""Most images that are queried as starting points for others."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Images with the model's predictions.

    Attributes:
        images: (m, height, width, channels) float32.
        decisions: (m,) predicted classes.
    """

    images: Images
    decisions: NDArray[np.int64]

    def otherwise(self, clean: Images, labels: Labels, count: int) -> tuple[Images, NDArray[np.bool_]]:
        """Return the examples closest to each clean image (in l2) whose predicted class is not its label.

        Args:
            clean: (n, height, width, channels).
            labels: (n,) int32.
            count: most examples for an image.

        Returns:
            images (n, k, height, width, channels), k <= count, the closest first, and a mask (n, k), False for padding
            where there are fewer.
        """
        flat, known = clean.reshape(len(clean), -1), self.images.reshape(len(self.images), -1)
        # ||a - b||^2 without ||a||^2, which is the same for all examples of an image.
        apart = (known.astype(np.float64) ** 2).sum(axis=1) - 2.0 * flat.astype(np.float64) @ known.T
        apart = np.where(self.decisions != labels[:, None], apart, np.inf)
        order = np.argsort(apart, axis=1, kind="stable")[:, :count]
        return self.images[order], np.isfinite(np.take_along_axis(apart, order, axis=1))


@dataclass(frozen=True, kw_only=True)
class DecisionBased(MinimumNormAttack):
    """Base class of attacks that minimise the norm from decisions alone, and drop an image once it is within epsilon.

    Saturated or rounded logits do not hinder them.

    Attributes:
        queries: most queries for an image.
    """

    white_box: ClassVar[bool] = False
    prepares_per_epsilon: ClassVar[bool] = False

    queries: Count = 1000
    reach: float = field(default=0.0, init=False, repr=False)
    examples: Examples | None = field(default=None, init=False, repr=False)

    @property
    def passes(self) -> int:
        """One for each query."""
        return self.queries

    @property
    def spent(self) -> tuple[int, int]:
        """Queries of the examples that it starts from."""
        return (0 if self.examples is None else len(self.examples.images)), 0

    def prepared(
        self, target: TargetModel, images: Images, labels: Labels, threat: Threat, epsilon: float, seed: int
    ) -> Self:
        """Return the attack with the smallest epsilon and the predictions of images under attack."""
        rows = np.unique(np.linspace(0, len(images) - 1, MOST_EXAMPLES).astype(np.int64))
        bound = replace(self)
        object.__setattr__(bound, "reach", epsilon)
        object.__setattr__(
            bound, "examples", Examples(images[rows], target.logits(images[rows]).argmax(axis=1))
        )
        return bound

    def starts_of(self, state: SearchState, count: int) -> tuple[Images, NDArray[np.bool_]]:
        """Return images of another predicted class for each unbroken image, (n, k, ...), and a mask (n, k)."""
        assert self.examples is not None, "prepared() comes first"
        return self.examples.otherwise(state.clean, state.labels, count)

    def go_on(self, state: SearchState) -> NDArray[np.bool_]:
        """Drop images that have an adversary within epsilon; return which stay (n,)."""
        return state.drop(state.found_distance <= self.reach * (1 + 1e-6))


def errs(state: SearchState, images: Images) -> NDArray[np.bool_]:
    """Return whether the model misclassifies `images`, one for each unbroken image, (n,)."""
    return state.margins(state.query(images), state.labels) > 0
