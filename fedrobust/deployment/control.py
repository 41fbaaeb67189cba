"""Steer a server from its own machine: list the sites, start a run, follow it to its end.

Calls of Flower's control API at the loopback port, with the account's token.
"""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import tomli_w
from flwr.cli.build import build_fab_from_disk
from flwr.proto.control_pb2 import ListNodesRequest, ListRunsRequest, StartRunRequest, StreamLogsRequest
from flwr.proto.fab_pb2 import Fab
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext

import fedrobust
from fedrobust.config import Experiment
from fedrobust.deployment.account import read_token
from fedrobust.deployment.bundle import COMPONENTS, installed_files
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Server
from fedrobust.errors import FedrobustError
from fedrobust.temporary import temporary_folder

POLL = 2.0
"""Seconds between two looks at which sites are online."""


class RunFailedError(FedrobustError, RuntimeError):
    """A run did not start, or did not finish."""


@dataclass(frozen=True)
class SiteStatus:
    """A site as the server sees it.

    Attributes:
        name: of the site.
        online: whether its node is connected.
        since: when it was connected for the last time, UTC; empty: never.
    """

    name: str
    online: bool
    since: str


class Control:
    """The control API of a server on this machine.

    Args:
        server: the server's folder.
        client: calls the API.
    """

    def __init__(self, server: Server, client: ControlHttpClient):
        self.server = server
        self.client = client

    def sites(self) -> list[SiteStatus]:
        """Return the sites by client number.

        Raises:
            DeploymentError: the server does not answer.
        """
        with _answering(self.server):
            nodes = self.client.ListNodes(ListNodesRequest()).nodes_info
        states = {node.name: node for node in nodes}
        found = []
        for client, name in enumerate(self.server.sites):
            node = states.get(f"{name}-{client}")
            online = node is not None and node.status == "online"
            since = node.last_activated_at[:19] if node is not None else ""
            found.append(SiteStatus(name, online, since))
        return found

    def start(self, experiment: Experiment) -> int:
        """Start a run of `experiment`, and return its number.

        Raises:
            DeploymentError: the server does not answer.
        """
        content = bundle(experiment)
        fab = Fab(hash_str=hashlib.sha256(content).hexdigest(), content=content)
        with _answering(self.server):
            return int(self.client.StartRun(StartRunRequest(fab=fab)).run_id)

    def follow(self, run: int, say: Callable[[str], None]) -> None:
        """Pass what a run logs to `say`, until it ends.

        Raises:
            DeploymentError: the server does not answer any more.
            RunFailedError: the run did not finish.
        """
        with _answering(self.server):
            for part in self.client.StreamLogs(StreamLogsRequest(run_id=run)):
                say(part.log_output)
            status = self.client.ListRuns(ListRunsRequest(run_id=run)).run_dict[run].status
        if status.sub_status != "completed":
            raise RunFailedError(f"the run {status.sub_status or status.status}: {_plain(status.details)}")


def _plain(details: str) -> str:
    return details.removeprefix("ServerApp failed with exception: ").strip() or "see the server's log"


@contextmanager
def control(server: Server) -> Iterator[Control]:
    """Connect to a server on this machine.

    Raises:
        AccountError: the token cannot be read.
    """
    token = read_token(server.keys / "account.token")

    class Account:
        """Adds the token to every request."""

        def intercept(self, context: ProtobufRequestContext, call_next: ProtobufCall) -> httpx.Response:
            """Add the token."""
            context.request.headers["Authorization"] = f"Bearer {token}"
            return call_next(context)

    with ControlHttpClient.from_server_address(
        f"127.0.0.1:{server.control_port}",
        False,
        (server.keys / "ca.crt").read_bytes(),
        [RuntimeVersionHttpInterceptor(component_name="flwr CLI"), Account()],
    ) as client:
        yield Control(server, client)


@contextmanager
def _answering(server: Server) -> Iterator[None]:
    """Convert errors of the connection to sentences."""
    where = f"the server at 127.0.0.1:{server.control_port}"
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise DeploymentError(
            f"{where} refuses this (HTTP {error.response.status_code}): does it run with the keys of {server.keys}?"
        ) from error
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        hint = "start it with fedrobust deploy serve"
        if "CERTIFICATE_VERIFY_FAILED" in why:
            hint = f"it runs with other keys than {server.keys}, or they expired: fedrobust deploy check"
        raise DeploymentError(f"{where} does not answer: {why}: {hint}") from error


def wait_for_sites(
    control: Control,
    at_least: int,
    seconds: float,
    say: Callable[[str], None],
    look: Callable[[], None] = lambda: None,
) -> list[SiteStatus]:
    """Wait until enough sites are online, and return all.

    Args:
        control: of the server.
        at_least: number of sites.
        seconds: most seconds to wait.
        say: is told who is missing, when that changes.
        look: called at every look at the sites; may raise.

    Raises:
        RunFailedError: too few are online when the time is over.
        DeploymentError: the server does not answer.
    """
    deadline, told = time.monotonic() + seconds, None
    while True:
        look()
        sites = control.sites()
        missing = ", ".join(site.name for site in sites if not site.online)
        online = sum(site.online for site in sites)
        if online >= at_least:
            return sites
        if time.monotonic() > deadline:
            raise RunFailedError(
                f"{online} of {len(sites)} sites are online, {at_least} are needed; missing: {missing}. Is their node "
                "started (fedrobust deploy node)? The reason is in its log, and in the server's if the site got there: "
                "look for `cannot take part`, `refused` and `does not trust`"
            )
        if missing != told:
            say(f"{online} of {len(sites)} sites are online; waiting for {missing}")
            told = missing
        time.sleep(POLL)


def bundle(experiment: Experiment) -> bytes:
    """Return the installed apps with the settings of a study, as Flower sends an app."""
    with temporary_folder("fedrobust-bundle-") as folder:
        for path, content in installed_files().items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (folder / "pyproject.toml").write_text(tomli_w.dumps(_project(experiment)), encoding="utf-8")
        return build_fab_from_disk(folder)


def _project(experiment: Experiment) -> dict[str, object]:
    return {
        "project": {"name": "fedrobust", "version": fedrobust.__version__, "dependencies": []},
        "tool": {
            "flwr": {
                "app": {
                    "publisher": "fedrobust",
                    "fab-include": ["clients/**/*.py", "server/**/*.py"],
                    "components": COMPONENTS,
                    "config": experiment.to_run_config(),
                }
            }
        },
    }
