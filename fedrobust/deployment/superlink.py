"""The coordinator: Flower's SuperLink behind `front_door`, with the admitted nodes and one account.

    python -m fedrobust.deployment.superlink keys --host 0.0.0.0 --port 8000 --control-port 9000

`keys` is the folder that `certificates.py` makes. Nodes connect to `--host --port`, which accepts only Flower's Fleet
API, signed with a key of `keys/nodes`. The researcher connects to `127.0.0.1:CONTROL_PORT`, by SSH from other hosts,
with the token in `keys/account.token`. The server's app is the installed one.
"""

import argparse
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from flwr.common.constant import (
    HEARTBEAT_DEFAULT_INTERVAL,
    ISOLATION_MODE_PROCESS,
    NOOP_ACCOUNT_NAME,
    NOOP_FLWR_AID,
    TRANSPORT_TYPE_GRPC_RERE,
)
from flwr.server.superlink.linkstate import LinkState
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
from flwr.superlink.cli.flower_superlink import SuperLinkLifespan
from flwr.superlink.config_loader import SuperLinkLifespanConfig
from flwr.superlink.main import create_app
from flwr.superlink.servicer.fleet import fleet_handlers
from starlette.types import ASGIApp

from fedrobust.deployment.account import AccountToken, read_token
from fedrobust.deployment.addresses import address_of, listening
from fedrobust.deployment.certificates import check_validity, hosts_of, read_certificate, read_private_key
from fedrobust.deployment.checked_objects import use_checked_objects
from fedrobust.deployment.executor import executor, when_over
from fedrobust.deployment.front_door import FrontDoor
from fedrobust.deployment.handshake import telling
from fedrobust.deployment.keys import ADMITTED, SITES, NodeKey, read_node_keys
from fedrobust.deployment.own_messages import guard
from fedrobust.errors import FedrobustError
from fedrobust.temporary import temporary_folder

LOCAL = "127.0.0.1"
OTHER_DOORS = ("FLWR_INTERNAL_GRPC_CONTROL_API", "FLWR_INTERNAL_GRPC_FLEET_API")
"""Environment variables by which Flower opens further ports, on every address, without the filter."""

GRACE = 5
"""Seconds for open requests to finish when the coordinator ends."""


class CoordinatorError(FedrobustError):
    """The coordinator cannot be started with these options."""


@dataclass(frozen=True)
class KeyFolder:
    """The files that `certificates.py` makes for the coordinator.

    Attributes:
        folder: the folder of these files.
    """

    folder: Path

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.folder / "ca.crt"

    @property
    def certificate(self) -> Path:
        """The server's certificate."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """The server's private key."""
        return self.folder / "server.key"

    def check(self) -> None:
        """Check that the files exist, the key is private, and the certificate is valid now and for this host's apps.

        Raises:
            CoordinatorError, CertificateError: one of these does not hold.
        """
        for path in (self.authority, self.certificate, self.key):
            if not path.is_file():
                raise CoordinatorError(f"{path}: no such file: make the keys with certificates.py")
        read_private_key(self.key)
        certificate = read_certificate(self.certificate)
        check_validity(
            self.certificate, certificate, "renew it with fedrobust deploy renew, or make new keys"
        )
        hosts = hosts_of(certificate)
        if not hosts:
            raise CoordinatorError(f"{self.certificate}: not a certificate with the hosts' names")
        if LOCAL not in hosts:
            raise CoordinatorError(
                f"{self.certificate}: not valid for {LOCAL}, by which the apps of this host reach the SuperLink: make "
                "the keys with certificates.py"
            )


def admit(state: LinkState, keys: Sequence[NodeKey]) -> dict[int, int]:
    """Register exactly the nodes of `keys`; return the client of each, by Flower's node id.

    Raises:
        CoordinatorError: a key was removed before, and cannot be registered again.
    """
    wanted = {key.public for key in keys}
    for node in state.get_node_info():
        if node.public_key not in wanted and node.status != "unregistered":
            state.delete_node(node.owner_aid, node.node_id)
    return {_registered(state, key): key.partition for key in keys}


def _registered(state: LinkState, key: NodeKey) -> int:
    known = state.get_node_id_by_public_key(key.public)
    if known is not None:
        return known
    try:
        node = state.create_node(
            NOOP_FLWR_AID, NOOP_ACCOUNT_NAME, key.public, HEARTBEAT_DEFAULT_INTERVAL, name=key.name
        )
    except ValueError as error:
        # Flower does not register a key again that was once removed.
        raise CoordinatorError(
            f"{key.name}.pub: the key was removed from this --database before: have the hospital make a new one"
        ) from error
    if not node:
        raise CoordinatorError(f"{key.name}.pub: Flower did not register the node; start again")
    return node


def configuration(
    keys: KeyFolder, control_port: int, token: str, secret: bytes, database: str
) -> SuperLinkLifespanConfig:
    """Return the settings of Flower's SuperLink: one account, authenticated nodes and executor, nothing installed."""
    certificates = (keys.authority.read_bytes(), keys.certificate.read_bytes(), keys.key.read_bytes())
    return SuperLinkLifespanConfig(
        control_address="",
        health_server_address=None,
        host=LOCAL,
        port=control_port,
        insecure=False,
        certificates=certificates,
        superexec_auth_secret=secret,
        authn_plugin=AccountToken(token),
        event_log_plugin=None,
        fleet_event_log_plugin=None,
        enable_event_log=False,
        artifact_provider=None,
        enable_supernode_auth=True,
        fleet_api_type=TRANSPORT_TYPE_GRPC_RERE,
        fleet_api_address=None,
        simulation=False,
        ssl_ca_certfile=str(keys.authority),
        ssl_certfile=str(keys.certificate),
        ssl_keyfile=str(keys.key),
        database=database,
        isolation=ISOLATION_MODE_PROCESS,
        runtime_dependency_install=False,
    )


def serve(
    app: ASGIApp, keys: KeyFolder, sockets: Iterable[socket.socket], process: "subprocess.Popen[bytes]"
) -> bool:
    """Serve requests until a signal arrives or the executor ends; return whether the executor was still running."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            ssl_certfile=str(keys.certificate),
            ssl_keyfile=str(keys.key),
            # Headers with a client's own claim about its address are ignored.
            proxy_headers=False,
            server_header=False,
            ws="none",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=GRACE,
            ssl_context_factory=telling,
        )
    )
    ended = []

    def end() -> None:
        if not server.should_exit:
            ended.append(process.returncode)
        server.should_exit = True

    when_over(process, end)
    server.run(list(sockets))
    return not ended


def run(options: argparse.Namespace) -> None:
    """Start the coordinator and run it until a signal arrives.

    Raises:
        FedrobustError: a key, the token or an address is invalid, or the executor ended.
    """
    if options.port == options.control_port:
        raise CoordinatorError(
            f"--port and --control-port are both {options.port}: nodes need a port of their own"
        )
    opened = [name for name in OTHER_DOORS if os.environ.get(name)]
    if opened:
        raise CoordinatorError(
            f"{opened[0]} is set: Flower would open a port without authentication; unset it"
        )
    keys = KeyFolder(options.keys)
    keys.check()
    nodes = read_node_keys(options.nodes or options.keys / "nodes")
    token = read_token(options.keys / "account.token")
    secret = secrets.token_bytes(64)
    config = configuration(keys, options.control_port, token, secret, options.database)
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(listening(options.host, options.port)),
            stack.enter_context(listening(LOCAL, options.control_port)),
        ]
        guard(fleet_handlers)
        use_checked_objects()
        app = create_app(config, SuperLinkLifespan)
        admitted = stack.enter_context(temporary_folder("fedrobust-superlink-")) / "admitted.json"
        admitted.write_text(json.dumps(admit(app.state.linkstate_factory.state(), nodes)))
        names = json.dumps({node.partition: node.site for node in nodes})
        address = f"{LOCAL}:{options.control_port}"
        process = stack.enter_context(
            executor("serverapp", address, secret, keys.authority, {ADMITTED: str(admitted), SITES: names})
        )
        door = FrontDoor(app, options.control_port, {node.public: node.name for node in nodes})
        print(  # noqa: T201
            f"{len(nodes)} nodes are admitted at {address_of(options.host, options.port)}; the account at {address}",
            flush=True,
        )
        if not serve(door, keys, sockets, process):
            raise CoordinatorError("the process that starts the server's app ended: see above; start again")


def port(text: str) -> int:
    """Return a port number from 1 to 65535."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text}: a port is 1 to 65535")
    return number


def main() -> None:
    """Run the coordinator."""
    parser = argparse.ArgumentParser(
        prog="python -m fedrobust.deployment.superlink",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("keys", type=Path, help="folder that certificates.py made")
    parser.add_argument("--host", default=LOCAL, help=f"address for nodes (default: {LOCAL})")
    parser.add_argument("--port", type=port, default=8000, help="port for nodes (default: 8000)")
    parser.add_argument(
        "--control-port", type=port, default=9000, help=f"port for the researcher on {LOCAL} (default: 9000)"
    )
    parser.add_argument("--nodes", type=Path, help="folder of the nodes' public keys (default: KEYS/nodes)")
    parser.add_argument(
        "--database", default=FLWR_IN_MEMORY_DB_NAME, help="file that keeps runs and nodes over a restart"
    )
    options = parser.parse_args()
    # Temporary files are removed at an orderly end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        run(options)
    except KeyboardInterrupt:
        sys.exit(130)
    except FedrobustError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
