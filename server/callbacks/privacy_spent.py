"""The epsilon of client-level differential privacy that the rounds so far have spent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedrobust.privacy import Promise, epsilon_by_rdp
from server.callbacks.callback import FinishedRound


@dataclass(frozen=True, eq=False)
class PrivacySpent:
    """The epsilon up to a round, by Rényi divergences, which are fast to compose.

    A round that was rejected counts: that it was may depend on what its clients sent.

    Attributes:
        promise: of the clients; None without differential privacy.
        delta: of the promise.
    """

    promise: Promise | None
    delta: float

    def __call__(self, finished: FinishedRound) -> Mapping[str, Any]:
        """Return `epsilon`; nothing without a promise, or without noise."""
        if self.promise is None:
            return {}
        spent = epsilon_by_rdp(self.promise.releases.after(finished.number), self.delta)
        return {"epsilon": spent} if math.isfinite(spent) else {}
