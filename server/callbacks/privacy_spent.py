"""The epsilon of differential privacy that the rounds so far have spent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.privacy import Promise
from server.callbacks.callback import FinishedRound


@dataclass(frozen=True, eq=False)
class PrivacySpent:
    """The epsilon up to a round: the smaller bound, or that by Rényi divergences where only it is known.

    A round that was rejected counts: that it was may depend on what its clients sent.

    Attributes:
        promise: of clients, or of the images of the client with the largest epsilon; None without.
        delta: of the promise.
        rounds: of the study, over which its releases are spread evenly.
        repeated: rounds before that count twice, see `server.promises.repeated_rounds`.
        before: what was spent when the run was resumed: a client that has left since may have spent more than those
            that are left.
    """

    promise: Promise | None
    delta: float
    rounds: int = 1
    repeated: int = 0
    before: float = 0.0

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `epsilon`; nothing without a promise, or without noise."""
        if self.promise is None:
            return {}
        count = self.promise.releases.count * (finished.number + self.repeated) // self.rounds
        spent = max(self.before, self.promise.spent_after(count, self.delta))
        return {"epsilon": spent} if math.isfinite(spent) else {}
