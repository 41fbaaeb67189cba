"""The ledger of a site's privacy budget, which is made once, by who knows that the images have spent nothing yet."""

from pathlib import Path

from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.site import Site


def make_ledger(site: Site) -> Path:
    """Write the empty ledger that a site's settings name, and return its path.

    Raises:
        DeploymentError: the site sets no privacy budget, or the ledger's folder is not there.
        BudgetError: there is a ledger.
        DiskError: it cannot be written.
    """
    if site.budget is None:
        raise DeploymentError(
            f"{site.folder / 'site.toml'}: no privacy budget: set privacy-epsilon and privacy-delta; see "
            "INSTRUCTIONS.md beside it"
        )
    path = site.budget.ledger
    if not path.parent.is_dir():
        raise DeploymentError(
            f"privacy-ledger = {path} in site.toml: there is no folder {path.parent}: mount its disk, or make it first"
        )
    site.budget.create()
    return path
