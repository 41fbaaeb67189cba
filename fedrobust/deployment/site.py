"""The folder of a site, and its ``site.toml``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import tomli_w

from fedrobust.data.file_check import Expected
from fedrobust.deployment.folder_file import DeploymentError, FolderFile
from fedrobust.privacy import PrivacyBudget

LEDGER = "ledger/privacy.json"
"""Where the ledger of a site's privacy budget is, in its folder."""

BUDGET = ("privacy-epsilon", "privacy-delta", "privacy-ledger")
"""The keys of a privacy budget; the last has a default."""


@dataclass(frozen=True)
class Site:
    """A site's folder.

    Attributes:
        folder: the folder.
        federation: name of the study.
        name: of the site.
        client: its number in the study, from 0.
        server: HOST:PORT.
        data: its images, an ``.npz`` file; a relative path begins in the folder.
        takes: image shape and classes of the study.
        own_modules: modules that the study's dotted paths may import here.
        budget: the most that training may spend of the privacy of its images; None: what studies promise.
    """

    folder: Path
    federation: str
    name: str
    client: int
    server: str
    data: str
    takes: Expected
    own_modules: tuple[str, ...] = ()
    budget: PrivacyBudget | None = None

    @property
    def keys(self) -> Path:
        """The folder of keys and certificates."""
        return self.folder / "keys"

    @property
    def key(self) -> Path:
        """The node's private key."""
        return self.keys / "node"

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.keys / "ca.crt"

    @property
    def images(self) -> Path:
        """The file of its images."""
        return (self.folder / Path(self.data).expanduser()).resolve()

    @property
    def host(self) -> tuple[str, int]:
        """Host and port of the server."""
        host, _, port = self.server.rpartition(":")
        return host.strip("[]"), int(port)

    def connected_to(self, server: str) -> "Site":
        """Return the site with another address of the server; empty: its own.

        Raises:
            DeploymentError: it is not HOST:PORT.
        """
        if not server:
            return self
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit():
            raise DeploymentError(
                f"--server {server}: allowed: HOST:PORT, such as coordinator.example.org:8000"
            )
        return replace(self, server=server)

    def counting_in(self, ledger: str) -> "Site":
        """Return the site with another ledger of its privacy budget; empty: its own.

        Raises:
            DeploymentError: it has no privacy budget.
        """
        if not ledger:
            return self
        if self.budget is None:
            raise DeploymentError(f"--ledger {ledger}: site.toml sets no privacy budget (privacy-epsilon)")
        return replace(self, budget=replace(self.budget, ledger=Path(ledger).resolve()))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return a site's folder.

        Raises:
            DeploymentError: its ``site.toml`` cannot be read, or a key is missing or of another kind.
        """
        values = FolderFile(folder / "site.toml")
        height, width, channels = values.whole_numbers("image-shape", 3)
        server = values.text("server")
        if not server.rpartition(":")[2].isdigit() or not server.rpartition(":")[0]:
            raise values.wrong("server", "HOST:PORT, such as coordinator.example.org:8000")
        return cls(
            folder,
            values.text("federation"),
            values.text("site"),
            values.whole_numbers("client", 0)[0],
            server,
            values.text("data"),
            Expected(
                values.text("federation"),
                (height, width, channels),
                values.texts("label-names"),
                values.switch("multilabel"),
            ),
            values.texts("own-modules") if "own-modules" in values.held else (),
            cls._budget(folder, values),
        )

    def _budget_keys(self) -> dict[str, float | str]:
        one = self.budget
        if one is None:
            return {}
        return {
            "privacy-epsilon": one.epsilon,
            "privacy-delta": one.delta,
            "privacy-ledger": str(one.ledger),
        }

    @staticmethod
    def _budget(folder: Path, values: FolderFile) -> PrivacyBudget | None:
        found = [key for key in values.held if key.startswith("privacy")]
        if not found:
            return None
        unknown = [key for key in found if key not in BUDGET]
        if unknown:
            raise values.wrong(unknown[0], ", ".join(BUDGET))
        ledger = values.text("privacy-ledger") if "privacy-ledger" in values.held else LEDGER
        path = (folder / Path(ledger).expanduser()).resolve()
        return PrivacyBudget(values.number("privacy-epsilon"), values.number("privacy-delta", 1), path)

    def to_toml(self) -> str:
        """Return the content of ``site.toml``."""
        text = tomli_w.dumps(
            {
                "federation": self.federation,
                "site": self.name,
                "client": self.client,
                "server": self.server,
                "data": self.data,
                **({"own-modules": list(self.own_modules)} if self.own_modules else {}),
                "image-shape": list(self.takes.image_shape),
                "label-names": list(self.takes.label_names),
                "multilabel": self.takes.multilabel,
                **self._budget_keys(),
            }
        )
        head = f'# The node of {self.name} in the federation "{self.federation}".\n'
        data = "# This site's images, written by `fedrobust data import`. Change the path here.\ndata ="
        takes = "# What the study takes, which the node compares with the file.\nimage-shape ="
        return head + text.replace("\ndata =", f"\n\n{data}").replace("\nimage-shape =", f"\n\n{takes}")
