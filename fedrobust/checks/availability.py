"""Checks of who takes part: every round has clients, every line means somebody, and the attack takes place."""

from collections.abc import Iterator, Sequence

from fedrobust.availability import Availability
from fedrobust.config.sections import Federation, Poisoning
from fedrobust.poisoning import Schedule


def members(federation: Federation, malicious: Sequence[int], availability: Availability) -> Iterator[str]:
    """Every round has a client that may be sampled and reply, and lines mean clients that take part.

    Args:
        federation: names what clients do.
        malicious: the malicious clients.
        availability: of the clients.
    """
    named, rounds = f"federation.availability = {list(federation.availability)}", federation.rounds
    if not malicious and len(Availability.of_nobody_malicious(federation.availability)) < len(
        federation.availability
    ):
        yield f"{named}: no client is malicious; set poisoning.malicious, or leave the line out"
    counted = availability.populations(rounds, malicious, federation.clients)
    empty = next((round for round, (count, _) in enumerate(counted, start=1) if not count), None)
    if empty is not None:
        yield (
            f"{named}: no client is a member in round {empty} of {rounds}; let one join earlier, or leave later"
        )
        return
    replying = availability.repliers(rounds, malicious, federation.clients)
    silent = next((round for round, (count, _) in enumerate(replying, start=1) if not count), None)
    if silent is not None:
        yield (
            f"{named}: no reply arrives in round {silent} of {rounds}; let a client join earlier, leave later, or have "
            "a dropout(probability=...) below 1"
        )
        return
    never = availability.never(rounds)
    if never:
        others = f" and {len(never) - 1} more" if len(never) > 1 else ""
        yield (
            f"{named}: client {never[0]}{others}: no part in any of {rounds} rounds; change "
            f'"{availability.lines[never[0]]}", or take the client out of the federation'
        )


def attack_happens(
    federation: Federation, poisoning: Poisoning, schedule: Schedule, availability: Availability
) -> Iterator[str]:
    """Malicious clients take part in at least one round of the attack, and honest ones in all of them.

    Args:
        federation: rounds, clients and what these do.
        poisoning: names the attack.
        schedule: of the attack.
        availability: of the clients.
    """
    rounds = federation.rounds
    if poisoning.attack == "none":
        return
    if poisoning.first_round > rounds:
        yield (
            f"poisoning.first-round = {poisoning.first_round}: the study ends after round {rounds}, and nobody would "
            f"attack; choose 1 to {rounds}"
        )
        return
    if not 0 < len(schedule.malicious) < federation.clients:  # told by `attackers`
        return
    counted = availability.repliers(rounds, schedule.malicious, federation.clients)
    attacked = [(round, *count) for round, count in enumerate(counted, start=1) if schedule.active(round)]
    named = f'federation.availability = {list(federation.availability)} with poisoning.attack = "{poisoning.attack}"'
    if not any(attackers for _, _, attackers in attacked):
        yield (
            f"{named}: no malicious client takes part in the rounds of the attack ({_spelt(attacked)}); let one join "
            "earlier, leave later or reply, or change poisoning.first-round, last-round or every"
        )
    alone = next((round for round, count, attackers in attacked if 0 < attackers == count), None)
    if alone is not None:
        yield (
            f"{named}: all clients of round {alone} attack, and nothing honest is left; let honest ones join earlier, "
            "leave later or reply, or end the attack before"
        )


def _spelt(attacked: Sequence[tuple[int, int, int]]) -> str:
    rounds = [round for round, _, _ in attacked]
    shown = ", ".join(map(str, rounds[:3]))
    return shown if len(rounds) < 4 else f"{shown}, ..., {rounds[-1]}"
