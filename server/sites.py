"""Which sites of a deployment take part."""

from fedrobust.deployment.keys import site_names
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
