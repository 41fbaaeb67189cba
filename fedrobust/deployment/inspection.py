"""Inspect a deployment's folders: keys, certificates, permissions, settings, images."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cryptography import x509

from fedrobust.config import Experiment
from fedrobust.data.dataset import DataError
from fedrobust.data.file_check import check_file
from fedrobust.data.npz import read_arrays
from fedrobust.data.site_error import told_server
from fedrobust.deployment.certificates import (
    HERE,
    CertificateError,
    check_issued,
    check_validity,
    hosts_of,
    node_public_key,
    read_certificate,
    read_private_key,
)
from fedrobust.deployment.deployable import check_deployable
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.folders import Deployment, Server, opened
from fedrobust.deployment.site import Site
from fedrobust.errors import FedrobustError
from fedrobust.privacy.accounting import MISSING, installed
from fedrobust.study import Study

SOON = 30
"""Days before the end of a certificate from which it is warned of."""

RENEW = "renew it with fedrobust deploy renew, in the folder that deploy init wrote"
NEW_AUTHORITY = "ask the server's operator for the new ca.crt"


@dataclass(frozen=True)
class Finding:
    """What was inspected, and how it is.

    Attributes:
        where: the server or a site.
        text: a sentence.
        fault: whether the deployment cannot work like this.
        warning: whether it should be looked at.
        told: what the server is told of a fault.
    """

    where: str
    text: str
    fault: bool = False
    warning: bool = False
    told: str = ""


def inspect(folder: Path) -> list[Finding]:
    """Return the findings on a deployment, a server's or a site's folder.

    Raises:
        DeploymentError: it is none of them, or its settings cannot be read.
    """
    found = opened(folder)
    if isinstance(found, Site):
        return inspect_site(found)
    if isinstance(found, Server):
        return inspect_server(found)
    findings = [*inspect_server(found.server)]
    for site in found.sites:
        findings += inspect_site(site, elsewhere=True)
        findings += _findings(site.name, [partial(_belongs, site, found)])
    return [
        *findings,
        *(Finding(name, "its folder is not here: it was handed over") for name in found.absent),
    ]


def inspect_site(site: Site, elsewhere: bool = False) -> list[Finding]:
    """Return the findings on a site's folder and its images.

    Args:
        site: the folder.
        elsewhere: whether this may be another machine than the site's, on which its images need not be.
    """
    if elsewhere and not site.images.is_file():
        findings = _findings(site.name, [partial(_pair, site), partial(_authority, site.authority)])
        text = f"{site.images}: not here; checked at the site"
        return [*findings, Finding(site.name, text, warning=True)]
    parts = [
        partial(_pair, site),
        partial(_authority, site.authority),
        partial(_images, site),
        partial(_budget, site),
    ]
    return _findings(site.name, parts)


def inspect_server(server: Server) -> list[Finding]:
    """Return the findings on the server's folder."""
    return _findings("server", [partial(part, server) for part in (_certificate, _nodes, _study)])


Inspected = Iterator[str | tuple[str, bool]]
"""Sentences; with True, a warning."""


def _findings(where: str, parts: Sequence[Callable[[], Inspected]]) -> list[Finding]:
    """Return the findings of parts, each until its first fault."""
    findings = []
    for part in parts:
        try:
            for said in part():
                text, warning = said if isinstance(said, tuple) else (said, False)
                findings.append(Finding(where, text, warning=warning))
        except FedrobustError as error:
            findings.append(Finding(where, str(error), fault=True, told=str(told_server(error))))
    return findings


def _pair(site: Site) -> Inspected:
    private = read_private_key(site.key)
    path = site.key.with_suffix(".pub")
    if _read(path).split()[:2] != node_public_key(private.public_key()).split():
        raise CertificateError(f"{path}: not the public key of {site.key.name} beside it")
    yield "the key pair matches, and only its owner can read the private key"


def _authority(path: Path) -> Inspected:
    yield from _valid(path, read_certificate(path), "the authority", NEW_AUTHORITY)


def _images(site: Site) -> Inspected:
    if not site.images.is_file():
        raise DeploymentError(
            f"{site.images}: no such file: mend `data` in site.toml, or write it with fedrobust data import"
        )
    found = check_file(site.images, site.takes, near=False)
    if found.hospital:
        raise DataError(f"{site.images}: does not fit: {found.hospital}")
    images = sum(counts.get("train", 0) for counts in found.classes.values())
    yield f"{site.images}: {images:,} training images, which fit the study"
    for warning in found.warnings:
        yield f"{site.images}: {warning}", True


def _budget(site: Site) -> Inspected:
    budget = site.budget
    if budget is None:
        return
    if not installed():
        raise DeploymentError(f"privacy-epsilon in site.toml: {MISSING}")
    updates = budget.updates()
    studies = len({one.digest for one in updates})
    yield (
        f"privacy budget: epsilon {budget.spent():.3g} of {budget.epsilon:g} at delta {budget.delta:g} is spent, in "
        f"{len(updates)} updates of {studies} studies ({budget.ledger})"
    )
    budget.check_writable()
    images = len(read_arrays(site.images, ("train_images",))["train_images"]) if site.images.is_file() else 0
    if budget.delta * images >= 1:
        raise DeploymentError(
            f"privacy-delta = {budget.delta:g} in site.toml: of {images:,} images one may be published by chance at "
            f"this delta; choose one well below {1 / images:.2g}"
        )


def _certificate(server: Server) -> Inspected:
    path, authority = server.keys / "server.pem", read_certificate(server.keys / "ca.crt")
    certificate = read_certificate(path)
    yield from _valid(server.keys / "ca.crt", authority, "the authority", RENEW)
    yield from _valid(path, certificate, "the server's certificate", RENEW)
    check_issued(path, certificate, authority)
    if certificate.public_key() != read_private_key(server.keys / "server.key").public_key():
        raise CertificateError(f"{server.keys / 'server.key'}: not the key of server.pem: {RENEW}")
    lacking = [host for host in (*server.hosts, *HERE) if host not in hosts_of(certificate)]
    if lacking:
        raise CertificateError(f"{path}: not valid for {', '.join(lacking)}: {RENEW}")
    yield f"the certificate is the authority's, has its key, and is valid for {', '.join(hosts_of(certificate))}"


def _nodes(server: Server) -> Inspected:
    # Starts Flower.
    from fedrobust.deployment.account import read_token
    from fedrobust.deployment.keys import read_node_keys

    read_token(server.keys / "account.token")
    nodes = {key.name: key.partition for key in read_node_keys(server.keys / "nodes")}
    for name, client in nodes.items():
        if client >= len(server.sites):
            raise DeploymentError(
                f"{server.keys / 'nodes' / name}.pub: client {client}, the study has 0 to {len(server.sites) - 1}"
            )
        if name != (own := f"{server.sites[client]}-{client}"):
            raise DeploymentError(
                f"{server.keys / 'nodes' / name}.pub: client {client} is {server.sites[client]}: name the file "
                f"{own}.pub, by which the site is known as online"
            )
    lacking = [name for client, name in enumerate(server.sites) if client not in nodes.values()]
    yield f"{len(nodes)} of {len(server.sites)} sites are admitted: {', '.join(nodes)}"
    if lacking:
        yield f"no public key of {', '.join(lacking)}: refused until there is one", True


def _study(server: Server) -> Inspected:
    experiment = Experiment.load(server.study)
    check_deployable(experiment)
    dataset = Study.up_to_date(experiment).dataset
    if experiment.federation.clients != len(server.sites):
        raise DeploymentError(
            f"{server.study}: federation.clients = {experiment.federation.clients}; allowed: {len(server.sites)}, the "
            "sites of server.toml"
        )
    yield (
        f"the study {experiment.name}: {experiment.federation.rounds} rounds; measured on {len(dataset.test):,} test "
        f"images of {dataset.name}"
    )


def _belongs(site: Site, deployment: Deployment) -> Inspected:
    server = deployment.server
    admitted = server.keys / "nodes" / f"{site.name}-{site.client}.pub"
    if _read(admitted).split()[:2] != _read(site.key.with_suffix(".pub")).split()[:2]:
        raise DeploymentError(f"{admitted}: not this site's public key: copy keys/node.pub there")
    if read_certificate(site.authority) != read_certificate(server.keys / "ca.crt"):
        raise DeploymentError(
            f"{site.authority}: not the authority of the server: copy server/keys/ca.crt there"
        )
    yield "the server admits its key, and it has the server's authority"


def _valid(path: Path, certificate: x509.Certificate, what: str, how: str) -> Inspected:
    left = check_validity(path, certificate, how)
    text = f"{what} is valid until {certificate.not_valid_after_utc:%Y-%m-%d}, {left} days"
    yield (f"{text}: {how}", True) if left < SOON else text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeploymentError(f"{path}: cannot be read: {error.strerror}") from error
