"""The availability of a study's clients."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fedrobust.availability.contract import AVAILABILITY, ClientAvailability
from fedrobust.client_lines import client_lines
from fedrobust.randomness import Purpose, generator
from fedrobust.spec import SpecError


@dataclass(frozen=True)
class Availability:
    """Who takes part in which round, whose replies are lost, and who trains on a part of its batches.

    Attributes:
        lines: the line of ``federation.availability`` that a client has, by its number; others are always available.
        parts: what each line names, in order.

    Example:
        >>> late = Availability.of(["0: joins(round=3)", "2: leaves(after=1) + dropout(probability=1.0)"], clients=3)
        >>> [late.present(round, clients=range(3)) for round in (1, 2, 3)]
        [[1, 2], [1], [0, 1]]
        >>> late.dropped(1, sampled=[1, 2], seed=0)
        [2]
    """

    lines: Mapping[int, str] = field(default_factory=dict)
    parts: Mapping[str, tuple[ClientAvailability, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, lines: Sequence[str], clients: int, malicious: Sequence[int] = ()) -> "Availability":
        """Return the availability that lines ``CLIENTS: NAME + NAME`` give.

        CLIENTS are numbers, ``all``, ``malicious`` or ``honest``.

        Args:
            lines: one for each group of clients.
            clients: number of clients.
            malicious: the malicious ones.

        Raises:
            SpecError: a line has another form, a client does not exist or has two lines, or a name cannot be made.
            UnknownNameError: nothing has that name.
        """
        groups = {"malicious": malicious, "honest": sorted({*range(clients)} - {*malicious})}
        example = "0-2, 5: joins(round=3) + dropout"
        of_client, parts = client_lines(AVAILABILITY, lines, clients, example, groups)
        for line, found in parts.items():
            for part in found:
                if not isinstance(part, ClientAvailability):
                    raise SpecError(
                        f'"{line}": {type(part).__name__} is no subclass of fedrobust.availability.ClientAvailability'
                    )
        return cls(of_client, parts)

    @staticmethod
    def of_nobody_malicious(lines: Sequence[str]) -> list[str]:
        """Return the lines that mean somebody where no client is malicious.

        Example:
            >>> Availability.of_nobody_malicious(["malicious: dropout", "honest: straggler"])
            ['honest: straggler']
        """
        return [line for line in lines if line.partition(":")[0].strip() != "malicious"]

    def present(self, round: int, clients: Iterable[int]) -> list[int]:
        """Return which of the `clients` are members in `round`, and may be sampled."""
        away = {line for line, parts in self.parts.items() if not _is_present(parts, round)}
        return [int(client) for client in clients if self.lines.get(client) not in away]

    def populations(self, rounds: int, malicious: Sequence[int], clients: int) -> list[tuple[int, int]]:
        """Return the number of members, and of malicious ones among them, in each of `rounds` rounds."""
        return self._counts(rounds, malicious, clients, silent=())

    def repliers(self, rounds: int, malicious: Sequence[int], clients: int) -> list[tuple[int, int]]:
        """Return `populations` without the members whose replies are lost with certainty.

        Example:
            >>> half = Availability.of(["0: dropout(probability=1)", "1: dropout(probability=0.9)"], clients=3)
            >>> half.repliers(1, malicious=[0], clients=3)
            [(2, 0)]
        """
        silent = [line for line, parts in self.parts.items() if any(part.silent for part in parts)]
        return self._counts(rounds, malicious, clients, silent)

    def never(self, rounds: int) -> list[int]:
        """Return the clients whose line leaves them out of each of `rounds` rounds, ascending.

        Example:
            >>> lines = ["0: joins(round=3) + leaves(after=2)", "1: dropout(probability=1)", "2: joins(round=5)"]
            >>> Availability.of(lines, clients=4).never(rounds=5)
            [0, 1]
        """
        out = {
            line
            for line, parts in self.parts.items()
            if any(part.silent for part in parts)
            or not any(_is_present(parts, round) for round in range(1, rounds + 1))
        }
        return sorted(client for client, line in self.lines.items() if line in out)

    def _counts(
        self, rounds: int, malicious: Sequence[int], clients: int, silent: Collection[str]
    ) -> list[tuple[int, int]]:
        everywhere, those = Counter(self.lines.values()), Counter(map(self.lines.get, malicious))
        found = []
        for round in range(1, rounds + 1):
            away = [
                line for line, parts in self.parts.items() if line in silent or not _is_present(parts, round)
            ]
            gone, gone_malicious = sum(everywhere[line] for line in away), sum(those[line] for line in away)
            found.append((clients - gone, len(malicious) - gone_malicious))
        return found

    def dropped(self, round: int, sampled: Iterable[int], seed: int) -> list[int]:
        """Return which of the `sampled` clients' replies are lost in `round`."""
        return [client for client in sampled if self._of(client) and self._is_lost(round, client, seed)]

    def work(self, round: int, client: int, seed: int) -> float:
        """Return the share of its batches on which `client` trains in `round`."""
        if not self._of(client):
            return 1.0
        draw = generator(seed, Purpose.WORK, round, client)
        return float(np.prod([part.work(round, draw) for part in self._of(client)]))

    def _of(self, client: int) -> Sequence[ClientAvailability]:
        return self.parts[self.lines[client]] if client in self.lines else ()

    def _is_lost(self, round: int, client: int, seed: int) -> bool:
        draw = generator(seed, Purpose.DROPOUT, round, client)
        arrives = [part.replies(round, draw) for part in self._of(client)]
        return not all(arrives)


def _is_present(parts: Iterable[ClientAvailability], round: int) -> bool:
    return all(part.is_present(round) for part in parts)
