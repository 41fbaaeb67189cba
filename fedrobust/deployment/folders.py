"""The folders of a deployment: one for the server, one for each site, and the authority's.

::

    DIR/authority/   ca.key, ca.crt            who renews certificates; on no server
    DIR/server/      server.toml, study.toml, keys/, INSTRUCTIONS.md, unit and container file
    DIR/bern/        site.toml, keys/ (node, node.pub, ca.crt), ledger/, INSTRUCTIONS.md, unit and container file
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import tomli_w

from fedrobust.deployment.addresses import address_of
from fedrobust.deployment.folder_file import DeploymentError, FolderFile
from fedrobust.deployment.site import Site

SITE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")
"""Names of sites: they become names of folders, of services and of key files."""

RESERVED = ("server", "authority")


@dataclass(frozen=True)
class Server:
    """The server's folder.

    Attributes:
        folder: the folder.
        federation: name of the study.
        hosts: names and addresses at which sites reach the server; the first is the one that sites use.
        listen: address of this machine on which the sites' port listens.
        port: for sites.
        control_port: for the researcher, on loopback.
        sites: names, by client number.
    """

    folder: Path
    federation: str
    hosts: tuple[str, ...]
    listen: str
    port: int
    control_port: int
    sites: tuple[str, ...]

    @property
    def keys(self) -> Path:
        """The folder of keys and certificates."""
        return self.folder / "keys"

    @property
    def study(self) -> Path:
        """The study file."""
        return self.folder / "study.toml"

    @property
    def address(self) -> str:
        """HOST:PORT at which sites reach the server."""
        return address_of(self.hosts[0], self.port)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the server's folder.

        Raises:
            DeploymentError: its ``server.toml`` cannot be read, or a key is missing or of another kind.
        """
        values = FolderFile(folder / "server.toml")
        return cls(
            folder,
            values.text("federation"),
            values.texts("hosts"),
            values.text("listen"),
            values.port("port"),
            values.port("control-port"),
            values.texts("sites"),
        )

    def to_toml(self) -> str:
        """Return the content of ``server.toml``."""
        head = f'# The server of the federation "{self.federation}". `listen` and the ports may be changed here.\n'
        return head + tomli_w.dumps(
            {
                "federation": self.federation,
                "hosts": list(self.hosts),
                "listen": self.listen,
                "port": self.port,
                "control-port": self.control_port,
                "sites": list(self.sites),
            }
        )


@dataclass(frozen=True)
class Deployment:
    """All folders of a deployment, as far as they are here.

    Attributes:
        folder: of all.
        server: the server's.
        sites: those of the sites that are here, by client number; others were handed over.
    """

    folder: Path
    server: Server
    sites: tuple[Site, ...]

    @property
    def authority(self) -> Path:
        """The folder of the authority's key."""
        return self.folder / "authority"

    @property
    def absent(self) -> tuple[str, ...]:
        """The sites whose folders are not here."""
        here = {site.name for site in self.sites}
        return tuple(name for name in self.server.sites if name not in here)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return a deployment.

        Raises:
            DeploymentError: a folder's file cannot be read.
        """
        server = Server.read(folder / "server")
        names = [name for name in server.sites if (folder / name / "site.toml").is_file()]
        return cls(folder, server, tuple(Site.read(folder / name) for name in names))


def opened(folder: Path) -> Deployment | Server | Site:
    """Return a deployment, a server's or a site's folder, by what is in it.

    Raises:
        DeploymentError: it is none of them.
    """
    if (folder / "site.toml").is_file():
        return Site.read(folder)
    if (folder / "server.toml").is_file():
        return Server.read(folder)
    if (folder / "server" / "server.toml").is_file():
        return Deployment.read(folder)
    raise DeploymentError(
        f"{folder}: no folder of a deployment: site.toml, server.toml or server/server.toml is missing; make one "
        "with fedrobust deploy init"
    )


def site_folder(folder: Path) -> Site:
    """Return a site's folder.

    Raises:
        DeploymentError: it is none.
    """
    found = opened(folder)
    if not isinstance(found, Site):
        raise DeploymentError(f"{folder}: not a site's folder: name the one that holds site.toml")
    return found


def server_folder(folder: Path) -> Server:
    """Return the server's folder, also where the folder of the whole deployment is given.

    Raises:
        DeploymentError: it is a site's, or none.
    """
    found = opened(folder)
    if isinstance(found, Site):
        raise DeploymentError(f"{folder}: a site's folder: name the one that holds server.toml")
    return found.server if isinstance(found, Deployment) else found
