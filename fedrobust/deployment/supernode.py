r"""A hospital's node: Flower's SuperNode, restricted to the installed app.

    python -m fedrobust.deployment.supernode --superlink coordinator.example.org:8000 --root-certificates ca.crt \
        --key node --partition 0 --data /data/mine.npz

A sent app is compared with the installed project, file by file; if anything differs, it is not run, and the reply says
so.
"""

import argparse
import os
import re
import secrets
import signal
import socket
import sys
from pathlib import Path

from fedrobust.deployment.executor import executor, when_over
from fedrobust.errors import FedrobustError

LOCAL = "127.0.0.1"

TAKES = re.compile(r"\d+ x \d+ x \d+, \d+ (classes|findings)")
"""Pattern of `fedrobust.data.problem.Problem.words`."""


class NodeError(FedrobustError):
    """The node cannot be started with these options."""


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as found:
        found.bind((LOCAL, 0))
        return int(found.getsockname()[1])


def check(options: argparse.Namespace) -> None:
    """Check the options of a node.

    Raises:
        NodeError: a file is missing, the key is not private, or the data's path cannot be written in Flower's settings.
    """
    for path in (options.root_certificates, options.key, options.data):
        if not path.is_file():
            raise NodeError(f"{path}: no such file")
    if options.key.stat().st_mode & 0o077:
        raise NodeError(f"{options.key}: others than its owner may read it: chmod 600 {options.key}")
    if {"'", "\n"} & set(str(options.data.resolve())):
        raise NodeError(f"--data {options.data}: choose a path without apostrophes and line breaks")
    budget = (options.privacy_epsilon, options.privacy_delta, options.privacy_ledger)
    if any(one is not None for one in budget):
        epsilon, delta, ledger = budget
        whole = None not in budget and epsilon > 0 and 0 < delta < 1
        if not whole or {"'", "\n"} & set(str(ledger.resolve())):
            raise NodeError(
                f"--privacy-epsilon {epsilon} --privacy-delta {delta} --privacy-ledger {ledger}: give all three, an "
                "epsilon above 0, a delta between 0 and 1, and a path without apostrophes and line breaks"
            )
    if options.takes is not None and not TAKES.fullmatch(options.takes):
        raise NodeError(f'--takes {options.takes}: such as "28 x 28 x 1, 2 classes", or findings')
    strange = [name for name in options.own_modules if not all(map(str.isidentifier, name.split(".")))]
    if strange:
        raise NodeError(f"--own-modules {strange[0]}: name an installed module, such as my_recipes")
    if options.partition < 0:
        raise NodeError(f"--partition {options.partition}: give this node's client number, from 0")


def flower_options(options: argparse.Namespace, address: str, secret: str) -> list[str]:
    """Return the command line of Flower's SuperNode."""
    host, _, port = address.rpartition(":")
    return [
        *("--superlink", options.superlink, "--root-certificates", str(options.root_certificates)),
        *("--auth-supernode-private-key", str(options.key)),
        *("--host", host, "--port", port),
        # Flower does not start apps itself: the executor runs only the installed one.
        *("--isolation", "process", "--superexec-auth-secret-file", secret),
        *("--node-config", node_config(options)),
    ]


def node_config(options: argparse.Namespace) -> str:
    """Return what the node's app is told: client number, images, what studies may be on and import, privacy budget."""
    told = [f"partition-id={options.partition}", f"data-path='{options.data.resolve()}'"]
    if options.takes is not None:
        told.append(f"takes='{options.takes}'")
    if options.own_modules:
        told.append(f"own-modules='{','.join(options.own_modules)}'")
    if options.privacy_ledger is not None:
        told += [
            f"privacy-epsilon={options.privacy_epsilon!r}",
            f"privacy-delta={options.privacy_delta!r}",
            f"privacy-ledger='{options.privacy_ledger.resolve()}'",
        ]
    return " ".join(told)


def readable(secret: bytes) -> str:
    """Return a path from which this process can read a secret once (a pipe); it is never on disk."""
    read, write = os.pipe()
    with open(write, "wb") as pipe:
        pipe.write(secret)
    return f"/dev/fd/{read}"


def main() -> None:
    """Run a node."""
    parser = argparse.ArgumentParser(
        prog="python -m fedrobust.deployment.supernode",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--superlink", required=True, metavar="HOST:PORT", help="the coordinator's port for nodes"
    )
    parser.add_argument(
        "--root-certificates", type=Path, required=True, help="the authority's certificate, ca.crt"
    )
    parser.add_argument("--key", type=Path, required=True, help="this node's private key")
    parser.add_argument(
        "--partition", type=int, required=True, help="this node's client number in the study, from 0"
    )
    parser.add_argument("--data", type=Path, required=True, help="this hospital's images, .npz")
    parser.add_argument(
        "--takes",
        metavar="TEXT",
        help='images and classes of the studies that are taken, such as "28 x 28 x 1, 2 classes" (or findings); others '
        "are refused before the images are read (default: any)",
    )
    parser.add_argument(
        "--own-modules",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="modules installed here that the study's dotted paths may name (default: none)",
    )
    parser.add_argument(
        "--privacy-epsilon",
        type=float,
        help="the most that training may spend of the privacy of each image, over all studies",
    )
    parser.add_argument("--privacy-delta", type=float, help="at which that epsilon is computed")
    parser.add_argument("--privacy-ledger", type=Path, help="file in which what is spent is kept")
    options = parser.parse_args()
    try:
        check(options)
    except FedrobustError as error:
        sys.exit(str(error))
    from flwr.supernode.cli import flower_supernode

    address = f"{LOCAL}:{free_port()}"
    secret = secrets.token_bytes(64)
    with executor("clientapp", address, secret, None, {}) as process:
        # Without the executor the node would accept messages and never reply.
        when_over(process, lambda: os.kill(os.getpid(), signal.SIGTERM))
        sys.argv = ["flower-supernode", *flower_options(options, address, readable(secret))]
        flower_supernode()


if __name__ == "__main__":
    main()
