"""How long a targeted attack lasted after it had ended, as ``result.json`` holds it."""

from fedrobust.runs.codec import entry, record


@record
class DurabilityRecord:
    """The durability of a targeted attack: its success after the last round in which anybody attacked."""

    ended: int = entry("the last round with an attack")
    success: float | None = entry(
        "attack success rate in the last measured round with an attack; null where none was measured",
        default=None,
    )
    rounds: int | None = entry(
        "rounds from the end of the attack to the first measured one with a rate below 50 %, 0 where it was below at "
        "the end already; null where it stayed above",
        default=None,
    )
    observed: int = entry("rounds from the end of the attack to the last measured one", default=0)
    last: float | None = entry("attack success rate in that round", default=None)

    @property
    def at_least(self) -> int:
        """Rounds that the attack lasted: exact, or as long as was observed."""
        return self.observed if self.rounds is None else self.rounds
