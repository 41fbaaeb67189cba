"""Which sites of a deployment take part, also where a run is resumed with others."""

from collections.abc import Sequence

from fedrobust.deployment.keys import site_names
from fedrobust.report.wording import enumerate_words
from fedrobust.runs.events import StageStarted, emit
from fedrobust.runs.record import SiteRecord
from server.client_registry import ClientRegistry


def sites_record(registry: ClientRegistry | None = None) -> tuple[SiteRecord, ...] | None:
    """Return the admitted sites with the images that they reported; None in a simulation.

    Args:
        registry: of the available clients; None before they are asked.
    """
    names = site_names()
    if names is None:
        return None
    there = (
        {}
        if registry is None
        else dict(zip(registry.client_ids.tolist(), registry.sizes.tolist(), strict=True))
    )
    return tuple(
        SiteRecord(client=client, name=name, images=there.get(client))
        for client, name in sorted(names.items())
    )


def tell_of_absent(registry: ClientRegistry, clients: int) -> None:
    """Emit the reasons of nodes that are left out, and how many of `clients` have a node.

    Args:
        registry: of the available clients.
        clients: number of clients of the study.
    """
    for reason in registry.refused:
        emit(StageStarted(f"a node is left out: {reason}"))
    known = len(registry.client_ids)
    if known < clients:
        emit(StageStarted(f"{known} of {clients} clients have a node: the others take no part"))


def together(
    before: Sequence[SiteRecord] | None, now: Sequence[SiteRecord] | None
) -> tuple[SiteRecord, ...] | None:
    """Return the sites of a run: those of `now`, and those that took part before it was resumed.

    Example:
        >>> before = SiteRecord(client=0, name="bern", images=70), SiteRecord(client=1, name="chur")
        >>> now = SiteRecord(client=0, name="bern"), SiteRecord(client=1, name="chur", images=90)
        >>> [site.images for site in together(before, now)]
        [70, 90]
    """
    if now is None:
        return None
    found = {site.client: site for site in before or () if site.images is not None}
    found |= {site.client: site for site in now if site.images is not None or site.client not in found}
    return tuple(found[client] for client in sorted(found))


def changed(before: Sequence[SiteRecord] | None, now: Sequence[SiteRecord] | None, round: int) -> str:
    """Return which sites take part only before or only after a run was resumed, in a sentence; "" if none.

    Args:
        before: the sites of the rounds before; None in a simulation.
        now: the sites of the rounds that follow.
        round: the last one before.

    Example:
        >>> before = SiteRecord(client=0, name="bern", images=70), SiteRecord(client=1, name="chur")
        >>> now = SiteRecord(client=0, name="bern"), SiteRecord(client=1, name="chur", images=90)
        >>> changed(before, now, 3)
        'resumed after round 3 without bern, and with chur, which took no part before'
    """
    earlier, later = (
        {site.client: site.name for site in sites or () if site.images is not None} for sites in (before, now)
    )
    gone = [name for client, name in earlier.items() if client not in later]
    new = [name for client, name in later.items() if client not in earlier]
    if not earlier or not (gone or new):
        return ""
    said = [f"without {enumerate_words(gone)}"] if gone else []
    said += [f"with {enumerate_words(new)}, which took no part before"] if new else []
    return f"resumed after round {round} {', and '.join(said)}"
