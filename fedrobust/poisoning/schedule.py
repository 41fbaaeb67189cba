"""Who is malicious, and in which rounds."""

from collections.abc import Iterable
from dataclasses import dataclass

from fedrobust.errors import ConfigError
from fedrobust.randomness import Purpose, generator
from fedrobust.shares import exact, round_half_up


@dataclass(frozen=True)
class Schedule:
    """Which clients are malicious, and in which rounds they attack; in the others they are honest.

    Attributes:
        malicious: clients, ascending; none where nobody attacks.
        first_round: the round in which the attack begins, from 1.
        last_round: the round in which it ends; 0 for never.
        every: rounds between two attacks.

    Example:
        >>> late = Schedule((2, 5), first_round=3, every=2)
        >>> [round for round in range(1, 9) if late.active(round)]
        [3, 5, 7]
        >>> late.attackers(3, sampled=[0, 1, 2]), late.attackers(4, sampled=[0, 1, 2])
        (frozenset({2}), frozenset())
    """

    malicious: tuple[int, ...] = ()
    first_round: int = 1
    last_round: int = 0
    every: int = 1

    def active(self, round: int) -> bool:
        """Return whether malicious clients attack in `round` (from 1)."""
        if round < self.first_round or (self.last_round and round > self.last_round):
            return False
        return (round - self.first_round) % self.every == 0

    def attackers(self, round: int, sampled: Iterable[int]) -> frozenset[int]:
        """Return which of the `sampled` clients attack in `round`."""
        return frozenset(self.malicious).intersection(sampled) if self.active(round) else frozenset()


def malicious_clients(wanted: int | float | tuple[int, ...], clients: int, seed: int) -> tuple[int, ...]:
    """Return the partitions of the malicious clients, ascending.

    A share or a number is drawn with the study's seed; a larger one holds those of a smaller one.

    Args:
        wanted: their share, their number, or which they are.
        clients: how many there are.
        seed: the study's.

    Raises:
        ConfigError: there are fewer clients than that, or none of that number.

    Example:
        >>> few, more = malicious_clients(0.2, 10, seed=0), malicious_clients(4, 10, seed=0)
        >>> len(few), len(more), set(few) < set(more)
        (2, 4, True)
    """
    if isinstance(wanted, tuple):
        strangers = [partition for partition in wanted if partition >= clients]
        if strangers:
            raise ConfigError(
                f"poisoning.malicious = {list(wanted)}: there is no client {strangers[0]}, only 0 to {clients - 1}"
            )
        return tuple(sorted(wanted))
    count = wanted if isinstance(wanted, int) else round_half_up(exact(wanted) * clients)
    if count > clients:
        raise ConfigError(f"poisoning.malicious = {wanted}: there are {clients} clients")
    order = generator(seed, Purpose.POISONING).permutation(clients)
    return tuple(sorted(int(partition) for partition in order[:count]))
