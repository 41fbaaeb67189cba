"""Which clients take part in a round."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedrobust.availability import Availability
from fedrobust.config.sections import Federation
from fedrobust.randomness import Purpose, generator
from fedrobust.study.sampled_clients import drawn_clients, sampled_clients
from server.client_registry import ClientRegistry


@dataclass(frozen=True, eq=False)
class Sampling:
    """Seeded sampling of clients.

    Flower's own strategies sample random node ids, so that a seed does not determine a run; here clients are drawn by
    their ids.

    Attributes:
        settings: of ``[federation]``.
        registry: the available clients.
        seed: the study's.
        availability: who is a member in which round, and whose replies are lost.
        secret: whether the draw comes from the system's randomness, which nobody can know.
    """

    settings: Federation
    registry: ClientRegistry
    seed: int
    availability: Availability = field(default_factory=Availability)
    secret: bool = False

    def sample(self, round: int) -> list[int]:
        """Return the clients sampled in `round`, ascending; none if no client is a member in it, or none is drawn."""
        return sampled_clients(self.settings, self._members(round), self._draw(round))

    def typical(self, round: int) -> list[int]:
        """Return as many members of `round` as are sampled on average, and at least one."""
        return drawn_clients(self.settings.participation, self._members(round), self._draw(round))

    def _members(self, round: int) -> list[int]:
        return self.availability.present(round, self.registry.client_ids)

    def _draw(self, round: int) -> np.random.Generator:
        """Return the random numbers of a round's sampling; where privacy rests on them, nobody can know them."""
        return np.random.default_rng() if self.secret else generator(self.seed, Purpose.SAMPLING, round)

    def fullest_round(self, rounds: int) -> int:
        """Return the first of the rounds that have the most members."""
        members = [count for count, _ in self.availability.populations(rounds, (), self.settings.clients)]
        return 1 + members.index(max(members))

    def replying(self, round: int, sampled: Sequence[int]) -> list[int]:
        """Return the `sampled` clients without those whose replies are lost in `round`, which are not sent messages."""
        lost = set(self.availability.dropped(round, sampled, self.seed))
        return [client for client in sampled if client not in lost]
