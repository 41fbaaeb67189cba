"""The rounds that a run took over from another one, as ``result.json`` holds them."""

from fedrobust.runs.codec import entry, record


@record
class SharedRoundsRecord:
    """The first rounds of a run in a sweep, computed once for all cells with the same ones.

    Their seconds are those of the run that computed them; whatever depends on an attack is measured anew.
    """

    rounds: int = entry("how many: those before an attack begins, or all but the last")
    run: str = entry("the run that computed them: the name of its folder beside this one")
