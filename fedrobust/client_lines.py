"""Settings of given clients, one line each: ``"0-2, 5: blur(severity=2) + noise"``."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fedrobust.registry import Registry
from fedrobust.spec import SpecError, build, split_sum

NO_GROUPS: Mapping[str, Sequence[int]] = MappingProxyType({})


def client_lines(
    registry: Registry,
    lines: Sequence[str],
    clients: int,
    example: str,
    groups: Mapping[str, Sequence[int]] = NO_GROUPS,
) -> tuple[Mapping[int, str], Mapping[str, tuple[Any, ...]]]:
    """Return which line each client has, and the things that each line names, in order.

    Clients are written as in ``0-2, 5``, or ``all``, which is meant where there are none, or as the name of a group.

    Args:
        registry: the family of the things named.
        lines: ``CLIENTS: SPEC + SPEC``.
        clients: number of clients.
        example: of a line, for messages.
        groups: clients by the name of their group.

    Raises:
        SpecError: a line has another form, a client does not exist or has two lines, or a thing cannot be made.
        UnknownNameError: nothing has that name.
    """
    of_client: dict[int, str] = {}
    made: dict[str, tuple[Any, ...]] = {}
    for line in lines:
        who, colon, what = (part.strip() for part in line.partition(":"))
        who, what = (who, what) if colon else ("all", who)
        if not what:
            raise SpecError(f'"{line}": "CLIENTS: NAME + NAME" is allowed, as in "{example}"')
        made[what] = tuple(build(registry, each) for each in split_sum(what))
        for client in numbers(who, clients, groups):
            if client in of_client:
                raise SpecError(f'"{line}": client {client} has a line already; join them by "+"')
            of_client[client] = what
    return of_client, made


def numbers(who: str, clients: int, groups: Mapping[str, Sequence[int]] = NO_GROUPS) -> list[int]:
    """Return the client numbers of ``0-2, 5``, of ``all``, or of one of the `groups`.

    Raises:
        SpecError: they are no numbers, or there are no such clients.

    Example:
        >>> numbers("0-2, 5", clients=6), numbers("all", clients=2)
        ([0, 1, 2, 5], [0, 1])
        >>> numbers("malicious", clients=6, groups={"malicious": (1, 4)})
        [1, 4]
    """
    if who == "all":
        return list(range(clients))
    if who in groups:
        return list(groups[who])
    found: list[int] = []
    for part in who.split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        if not (_is_number(first) and (not dash or _is_number(last))):
            words = " or ".join(f'"{name}"' for name in ("all", *groups))
            raise SpecError(f'clients "{who}": numbers and ranges are allowed, as in "0-2, 5", or {words}')
        ends = int(first), int(last if dash else first)
        if not ends[0] <= ends[1] < clients:
            raise SpecError(f'clients "{who}": the study has clients 0 to {clients - 1}, ranges ascend')
        found.extend(range(ends[0], ends[1] + 1))
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 7
