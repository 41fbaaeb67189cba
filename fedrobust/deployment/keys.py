"""The admitted nodes: a folder of public keys, each bound to a client of the study."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

from fedrobust.errors import FedrobustError

ADMITTED = "FEDROBUST_ADMITTED_NODES"
"""Environment variable: the file in which the SuperLink gives the server's app the client of each node."""

SITES = "FEDROBUST_SITES"
"""Environment variable: the names of the sites by client, JSON, which the SuperLink gives the server's app."""

NAME = re.compile(r"(?:.*[^0-9])?(?P<partition>[0-9]{1,9})")


class KeyListError(FedrobustError):
    """The nodes' keys cannot be read, or their names do not give the client."""


@dataclass(frozen=True)
class NodeKey:
    """One admitted node.

    Attributes:
        partition: the client of the study, from 0.
        name: of the key's file without its suffix, as in `flwr supernode list`.
        public: the public key, PEM.
    """

    partition: int
    name: str
    public: bytes

    @property
    def site(self) -> str:
        """Its name without the client's number."""
        return self.name.removesuffix(str(self.partition)).rstrip("-_") or self.name


def read_node_keys(folder: Path) -> tuple[NodeKey, ...]:
    """Return the admitted nodes: every ``.pub`` file in `folder`, by client.

    A file's name ends in the number of the client: ``st-elsewhere-0.pub`` is client 0.

    Raises:
        KeyListError: there is no key; a name has no number; two files have the same number or the same key; a file is
            not an elliptic-curve key as ``ssh-keygen -t ecdsa`` makes it.
    """
    paths = sorted(folder.glob("*.pub"))
    if not paths:
        raise KeyListError(
            f"{folder}: no .pub file: put every hospital's public key there, as NAME-0.pub, NAME-1.pub"
        )
    partitions: dict[int, Path] = {}
    owners: dict[bytes, Path] = {}
    keys = []
    for path in paths:
        key = _node_key(path)
        other = partitions.get(key.partition) or owners.get(key.public)
        if other is not None:
            raise KeyListError(
                f"{path}: the same client or the same key as {other.name}: every client of the study has one key of "
                "its own"
            )
        partitions[key.partition] = owners[key.public] = path
        keys.append(key)
    return tuple(sorted(keys, key=lambda key: key.partition))


def _node_key(path: Path) -> NodeKey:
    matched = NAME.fullmatch(path.stem)
    if matched is None:
        raise KeyListError(
            f"{path}: the name does not end in a number: call it NAME-0.pub if the node is client 0 of the study"
        )
    try:
        public = load_ssh_public_key(path.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as error:
        raise KeyListError(f"{path}: not a public key as ssh-keygen writes it: {error}") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise KeyListError(
            f'{path}: not an elliptic-curve key: make one with ssh-keygen -t ecdsa -b 384 -N "" -f node'
        )
    return NodeKey(int(matched["partition"]), path.stem, public_key_to_bytes(public))


def admitted_nodes() -> Mapping[int, int] | None:
    """Return the client of each admitted node, by Flower's node id.

    None if no SuperLink of this project started this process, as in a simulation.

    Raises:
        KeyListError: the file that the SuperLink wrote cannot be read.
    """
    path = os.environ.get(ADMITTED)
    if path is None:
        return None
    try:
        return {int(node): int(partition) for node, partition in json.loads(Path(path).read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise KeyListError(
            f"{ADMITTED} = {path}: the list of admitted nodes cannot be read: {error}"
        ) from error


def site_names() -> Mapping[int, str] | None:
    """Return the name of each admitted site, by client; None if no SuperLink of this project started this process."""
    names = os.environ.get(SITES)
    return None if names is None else {int(client): str(name) for client, name in json.loads(names).items()}
