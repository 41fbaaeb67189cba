"""Start the server or a site's node from its folder, after an inspection that names what would keep it from working.

The process is replaced by that of `superlink` or `supernode`.
"""

import os
import sys
from contextlib import suppress
from typing import NoReturn

from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Server
from fedrobust.deployment.inspection import Finding, inspect_server, inspect_site
from fedrobust.deployment.knock import knock
from fedrobust.deployment.site import Site
from fedrobust.errors import FedrobustError

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
"""Environment of all processes: Flower contacts nobody but the federation, and TensorFlow writes errors alone."""


class NotReachedError(FedrobustError, RuntimeError):
    """The server cannot be reached, or refuses this site; it may be different later."""


def serve(server: Server) -> NoReturn:
    """Become the server's process.

    Raises:
        DeploymentError: keys, certificate or study cannot be used.
    """
    _refuse(inspect_server(server))
    _become(
        "fedrobust.deployment.superlink",
        str(server.keys),
        *("--host", server.listen, "--port", str(server.port), "--control-port", str(server.control_port)),
    )


def start_node(site: Site) -> NoReturn:
    """Become a site's node.

    Raises:
        DeploymentError: keys or images cannot be used; the server is told, if it can be.
        NotReachedError: the server cannot be reached, or does not admit the site.
    """
    findings = inspect_site(site)
    try:
        _refuse(findings)
    except DeploymentError:
        with suppress(FedrobustError):
            knock(site, next(each.told for each in findings if each.fault))
        raise
    try:
        knock(site)
    except FedrobustError as error:
        raise NotReachedError(str(error)) from error
    _become(
        "fedrobust.deployment.supernode",
        *("--superlink", site.server, "--root-certificates", str(site.authority)),
        *("--key", str(site.key), "--partition", str(site.client), "--data", str(site.images)),
        *("--takes", site.takes.problem.words),
        *(("--own-modules", *site.own_modules) if site.own_modules else ()),
        *_budget(site),
    )


def _budget(site: Site) -> tuple[str, ...]:
    one = site.budget
    if one is None:
        return ()
    return (
        *("--privacy-epsilon", repr(one.epsilon), "--privacy-delta", repr(one.delta)),
        *("--privacy-ledger", str(one.ledger)),
    )


def _refuse(findings: list[Finding]) -> None:
    faults = [each.text for each in findings if each.fault]
    if faults:
        more = f" (and {len(faults) - 1} more: fedrobust deploy check)" if len(faults) > 1 else ""
        raise DeploymentError(f"{faults[0]}{more}")


def _become(module: str, *options: str) -> NoReturn:
    os.environ.update(QUIET)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module, *options])
