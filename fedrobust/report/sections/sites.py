"""The sentence on the sites of a deployment."""

from fedrobust.report import wording
from fedrobust.report.folder import Run


def sites(run: Run) -> str:
    """Return which sites of a deployment took part, and in how many rounds one failed; empty for a simulation."""
    admitted = run.record.sites
    if admitted is None:
        return ""
    parts = [
        f"{site.name} ({wording.count(site.images, 'training image')})"
        for site in admitted
        if site.images is not None
    ]
    if not parts:
        return f"Deployed: none of {wording.count(len(admitted), 'site')} had taken part when the run ended."
    told = (
        f"Deployed: {len(parts)} of {wording.count(len(admitted), 'site')} took part, each with images that stayed "
        f"there: {wording.enumerate_words(parts)}."
    )
    absent = [site.name for site in admitted if site.images is None]
    if absent:
        told += f" Not {wording.enumerate_words(absent)}: no node that could be used when the run began."
    failed = {site.name: _failures(run, site.client) for site in admitted if site.images is not None}
    for name, rounds in failed.items():
        if rounds:
            told += f" {name} failed in {wording.count(rounds, 'round')} of {len(run.rounds)}."
    return told


def _failures(run: Run, client: int) -> int:
    """Return the number of rounds in which a site was dropped."""
    return sum(
        any(failure.partition == client for failure in one.record.clients.failures) for one in run.rounds
    )
