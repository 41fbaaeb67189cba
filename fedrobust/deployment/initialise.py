"""Write the folders of a deployment: keys, certificates, settings and instructions for the server and every site."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from fedrobust.config import Experiment
from fedrobust.data.file_check import Expected
from fedrobust.deployment.addresses import listen_of
from fedrobust.deployment.certificates import (
    DAYS,
    Authority,
    new_key,
    node_key,
    node_public_key,
    pem,
    private_file,
    public_file,
    server_certificate,
    server_key,
)
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import RESERVED, SITE_NAME, Deployment, Server
from fedrobust.deployment.pages import write_server_pages, write_site_pages
from fedrobust.deployment.server_study import server_study
from fedrobust.deployment.site import LEDGER, Site
from fedrobust.paths import check_can_hold, expanded
from fedrobust.study import Study
from fedrobust.temporary import temporary_folder

AUTHORITY_DAYS = 10 * 365
"""Validity of the authority's certificate, which every site has to replace when it ends."""

DRAFT = ".fedrobust-deployment-"
"""Prefix of the folder in which a deployment is written until it is whole."""


def initialise(
    experiment: Experiment,
    sites: Mapping[str, str],
    out: Path,
    *,
    hosts: tuple[str, ...] = ("localhost",),
    evaluation: str = "",
    port: int = 8000,
    control_port: int = 9000,
    days: int = DAYS,
) -> Deployment:
    """Write a new folder with everything that the server and every site need.

    Args:
        experiment: the study.
        sites: path of each site's images, there; by name, client 0 first.
        out: the new folder.
        hosts: names or addresses of the server; sites use the first. With localhost alone it listens on loopback.
        evaluation: the server's own images, see `server_study`.
        port: for sites.
        control_port: for the researcher.
        days: validity of the server's certificate.

    Raises:
        DeploymentError: a name or a port cannot be used, or the study cannot be deployed.
        CertificateError: a host cannot be written in a certificate.
        PathError: the folder exists, or cannot be made.
        DataError: the server's images cannot be read.
    """
    out = expanded(out)
    _check(sites, out, hosts, port, control_port)
    study = server_study(experiment, len(sites), evaluation)
    dataset = Study.up_to_date(study).dataset
    takes = Expected(study.name, dataset.image_shape, dataset.label_names, dataset.multilabel)
    authority, key = Authority.new(AUTHORITY_DAYS), new_key()
    certificate = server_certificate(authority, key.public_key(), list(hosts), days)
    # Its secrets do not stay behind where this process is killed: the next deployment written there removes it.
    with temporary_folder(DRAFT, out.parent) as draft:
        server = Server(
            draft / "server", study.name, hosts, listen_of(hosts), port, control_port, tuple(sites)
        )
        _write_authority(draft / "authority", authority)
        nodes = _folder(server.keys / "nodes")
        _folder(server.folder / "runs")
        public_file(server.keys / "ca.crt", pem(authority.certificate))
        public_file(server.keys / "server.pem", pem(certificate))
        private_file(server.keys / "server.key", server_key(key))
        private_file(server.keys / "account.token", f"{secrets.token_hex(32)}\n".encode())
        server.study.write_text(study.to_toml(), encoding="utf-8")
        (server.folder / "server.toml").write_text(server.to_toml(), encoding="utf-8")
        write_server_pages(server, study)
        for client, (name, data) in enumerate(sites.items()):
            site = Site(draft / name, study.name, name, client, server.address, data, takes)
            _write_site(site, nodes, pem(authority.certificate))
            write_site_pages(site, study, server.keys / "server.pem")
        draft.rename(out)
    return Deployment.read(out)


def _check(sites: Mapping[str, str], out: Path, hosts: tuple[str, ...], port: int, control_port: int) -> None:
    if out.exists():
        raise DeploymentError(f"--out {out}: exists already; the keys of a deployment are not overwritten")
    check_can_hold(out.parent, "--out")
    if not out.parent.is_dir():
        raise DeploymentError(f"--out {out}: there is no folder {out.parent}; make it first")
    if not sites:
        raise DeploymentError("--sites: name the sites, with commas, such as bern,chur,genf")
    for name, data in sites.items():
        if SITE_NAME.fullmatch(name) is None or name in RESERVED:
            raise DeploymentError(
                f"--sites {name}: allowed: small letters, digits and -, at most 32, other than {', '.join(RESERVED)}; "
                f"give a name and the file, such as --sites bern={data}"
            )
        if {"'", "\n"} & set(data):
            raise DeploymentError(f"--sites {name}={data}: choose a path without apostrophes and line breaks")
    if not hosts:
        raise DeploymentError("--host: name the server's host, such as coordinator.example.org")
    if port == control_port:
        raise DeploymentError(f"--port and --control-port are both {port}: sites need a port of their own")


def _folder(path: Path) -> Path:
    """Make a folder, and those above it, that only their owner can enter."""
    if not path.parent.exists():
        _folder(path.parent)
    path.mkdir(mode=0o700)
    return path


def _write_authority(folder: Path, authority: Authority) -> None:
    _folder(folder)
    private_file(folder / "ca.key", server_key(authority.key))
    public_file(folder / "ca.crt", pem(authority.certificate))


def _write_site(site: Site, nodes: Path, authority: bytes) -> None:
    _folder(site.keys)
    _folder((site.folder / LEDGER).parent)
    public = write_node_key(site)
    public_file(nodes / f"{site.name}-{site.client}.pub", public)
    public_file(site.authority, authority)
    (site.folder / "site.toml").write_text(site.to_toml(), encoding="utf-8")


def write_node_key(site: Site) -> bytes:
    """Write a new key pair of a site, and return the public key.

    Raises:
        FileExistsError: it has one.
    """
    key = new_key()
    public = node_public_key(key.public_key())
    private_file(site.key, node_key(key))
    public_file(site.key.with_suffix(".pub"), public)
    return public
