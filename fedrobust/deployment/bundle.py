"""Compare a sent app with the installed one, file by file, before it is unpacked or imported."""

import hashlib
import re
import tomllib
import zipfile
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import fedrobust
from fedrobust.apps import HOME, PACKAGES
from fedrobust.errors import FedrobustError

CONFIGURATION = "pyproject.toml"
NOT_CODE = re.compile(r"LICENSE|[A-Za-z0-9_-]+\.md|\.info/CONTENT")
"""Files that a bundle may contain beside code; they are not imported or read."""

MOST = 1 << 20
"""Most bytes of a file that is not code."""

COMPONENTS = {"serverapp": "server.app:app", "clientapp": "clients.app:app"}

REFUSED = f"this host runs the installed fedrobust {fedrobust.__version__} and no other app; refused what it was sent"


class ForeignAppError(FedrobustError):
    """The sent app is not the installed one; it was not run."""


def installed_files() -> dict[str, bytes]:
    """Return the installed apps' code: path -> content."""
    return {
        path.relative_to(HOME).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in sorted((HOME / package).rglob("*.py"))
    }


def check_app(bundle: bytes) -> None:
    """Check that a Flower App Bundle equals the installed project: the same code, the same two apps, no other files.

    The run's settings, `[tool.flwr.app.config]`, may differ: the researcher chooses them.

    Raises:
        ForeignAppError: it differs, or cannot be read.
    """
    try:
        with zipfile.ZipFile(BytesIO(bundle)) as archive:
            _check_files(archive, installed_files())
            _check_configuration(tomllib.loads(archive.read(CONFIGURATION).decode()))
    except ForeignAppError:
        raise
    # A crafted archive can raise many exceptions (zlib, struct, recursion, memory): it is not the installed app.
    except Exception as error:
        raise ForeignAppError(
            f"{REFUSED}: it cannot be read: {type(error).__name__}: {error}"[:500]
        ) from error


def _check_files(archive: zipfile.ZipFile, installed: Mapping[str, bytes]) -> None:
    wanted = {CONFIGURATION, *installed}
    found = [entry.filename for entry in archive.infolist()]
    if len(found) != len(set(found)):
        raise ForeignAppError(f"{REFUSED}: it carries a file twice")
    strange = sorted(name for name in set(found) - wanted if not NOT_CODE.fullmatch(name))
    if strange:
        raise ForeignAppError(
            f"{REFUSED}: it carries {strange[0][:200]!r}, which is not part of the installed one"
        )
    missing = sorted(wanted - set(found))
    if missing:
        raise ForeignAppError(f"{REFUSED}: it has no {missing[0]}")
    for entry in archive.infolist():
        code = installed.get(entry.filename)
        if entry.file_size > (MOST if code is None else len(code)):
            raise ForeignAppError(f"{REFUSED}: {entry.filename} is too large")
        if code is not None and archive.read(entry) != code:
            sent, own = (hashlib.sha256(each).hexdigest()[:12] for each in (archive.read(entry), code))
            raise ForeignAppError(
                f"{REFUSED}: {entry.filename} has SHA-256 {sent}, the installed one {own}: start the run from an "
                "unchanged checkout of the installed version"
            )


def _check_configuration(settings: Mapping[str, Any]) -> None:
    project = settings["project"]
    if (project["name"], project["version"]) != ("fedrobust", fedrobust.__version__):
        raise ForeignAppError(f"{REFUSED}: it is {project['name']!r} {project['version']!r}"[:300])
    components = settings["tool"]["flwr"]["app"]["components"]
    if components != COMPONENTS:
        raise ForeignAppError(f"{REFUSED}: its components are {components}, not {COMPONENTS}"[:500])
