"""Renew what expires or may have become known: the server's certificate, a site's key pair."""

import datetime
import os
from collections.abc import Callable
from pathlib import Path

from fedrobust.config import Experiment
from fedrobust.deployment.certificates import (
    DAYS,
    Authority,
    CertificateError,
    new_key,
    pem,
    private_file,
    public_file,
    read_certificate,
    read_private_key,
    server_certificate,
    server_key,
)
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Deployment, Server, opened
from fedrobust.deployment.initialise import AUTHORITY_DAYS, write_node_key
from fedrobust.deployment.pages import INSTRUCTIONS, server_instructions, site_instructions
from fedrobust.deployment.site import Site


def renew(folder: Path, days: int = DAYS) -> list[str]:
    """Renew the certificate of a deployment's server, or the key pair of a site; what was there is kept as ``.old``.

    The authority is renewed with its key, and sent to the sites' folders that are here, if it ends before the new
    certificate would.

    Args:
        folder: of the deployment, or of a site.
        days: validity of the server's certificate.

    Returns:
        What was done and what is to do, a sentence each.

    Raises:
        DeploymentError: it is a server's folder, which has no authority.
        CertificateError: the authority cannot be read.
    """
    found = opened(folder)
    if isinstance(found, Site):
        return _renew_site(found)
    if isinstance(found, Server):
        raise DeploymentError(
            f"{folder}: the authority's key, which signs certificates, is not here: name the folder that deploy init "
            "wrote, which holds authority/ and server/"
        )
    return _renew_server(found, days)


def _renew_site(site: Site) -> list[str]:
    _set_aside(site.key, site.key.with_suffix(".pub"))
    write_node_key(site)
    public = f"{site.name}-{site.client}.pub"
    return [
        f"{site.key}: a new key, which stays here",
        f"send {site.key.with_suffix('.pub')} to the server's operator, who puts it in place of "
        f"server/keys/nodes/{public} and restarts the server; until then the server refuses this site",
    ]


def _renew_server(deployment: Deployment, days: int) -> list[str]:
    server, place = deployment.server, deployment.authority
    authority = Authority(read_private_key(place / "ca.key"), read_certificate(place / "ca.crt"))
    if authority.certificate.public_key() != authority.key.public_key():
        raise CertificateError(f"{place}: ca.key is not the key of ca.crt")
    told = []
    ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    if authority.certificate.not_valid_after_utc < ends:
        authority = Authority.new(max(AUTHORITY_DAYS, days), authority.key)
        here = [site.authority for site in deployment.sites]
        for path in (place / "ca.crt", server.keys / "ca.crt", *here):
            _replace(path, pem(authority.certificate), public_file)
        told.append(f"ca.crt: the authority is valid until {_date(authority)}: every site needs the new file")
    key = new_key()
    certificate = server_certificate(authority, key.public_key(), list(server.hosts), days)
    _replace(server.keys / "server.pem", pem(certificate), public_file)
    _replace(server.keys / "server.key", server_key(key), private_file)
    study = Experiment.load(server.study)
    # Units and container files are the hosts' own once they are written, and name no certificate.
    _renew_page(server.folder / INSTRUCTIONS, server_instructions(server, study))
    for site in deployment.sites:
        _renew_page(site.folder / INSTRUCTIONS, site_instructions(site, study, server.keys / "server.pem"))
    told.append(
        f"{server.keys / 'server.pem'}: valid until {certificate.not_valid_after_utc:%Y-%m-%d}; copy it and server.key "
        "to the server, if it is elsewhere, and restart it"
    )
    return told


def _date(authority: Authority) -> str:
    return f"{authority.certificate.not_valid_after_utc:%Y-%m-%d}"


def _set_aside(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            os.replace(path, path.with_name(f"{path.name}.old"))


def _renew_page(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        _set_aside(path)
        path.write_text(text, encoding="utf-8")


def _replace(path: Path, content: bytes, write: Callable[[Path, bytes], None]) -> None:
    _set_aside(path)
    write(path, content)
