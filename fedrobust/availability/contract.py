"""The contract of a client's availability, and its registry."""

import numpy as np

from fedrobust.registry import Registry

AVAILABILITY = Registry("availability", "fedrobust.availability")


class ClientAvailability:
    """A client that takes part in every round, replies always, and trains on all of its batches.

    A subclass, a frozen dataclass of settings, overrides one method; one whose replies can never arrive also says so in
    `silent`. Each client has a generator of its own in every round, so that its rounds depend neither on other clients
    nor on the number of workers.
    """

    @property
    def silent(self) -> bool:
        """Whether no reply of the client ever arrives."""
        return False

    def is_present(self, round: int) -> bool:
        """Return whether the client is a member of the federation in `round` (from 1), and may be sampled."""
        return True

    def replies(self, round: int, generator: np.random.Generator) -> bool:
        """Return whether the reply of a client that is sampled in `round` arrives."""
        return True

    def work(self, round: int, generator: np.random.Generator) -> float:
        """Return the share of its batches, above 0 and at most 1, on which the client trains in `round`."""
        return 1.0
