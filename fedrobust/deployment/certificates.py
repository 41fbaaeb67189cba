"""X.509 certificates and key pairs: an authority, the coordinator's certificate, the nodes' keys.

Elliptic-curve keys (P-384) with SHA-256, as Flower's node authentication takes them.
"""

import datetime
import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedrobust.errors import FedrobustError

DAYS = 365
"""Validity of a coordinator's certificate."""

AUTHORITY = "fedrobust authority"

HERE = ("localhost", "127.0.0.1", "::1")
"""The apps on the coordinator reach the SuperLink by these, and so does the researcher, through SSH."""


class CertificateError(FedrobustError):
    """A certificate or a key cannot be made, read or used."""


@dataclass(frozen=True)
class Authority:
    """Who signs the coordinator's certificate.

    Attributes:
        key: its private key.
        certificate: its own certificate, which every host gets.
    """

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @staticmethod
    def new(days: int = DAYS, key: ec.EllipticCurvePrivateKey | None = None) -> "Authority":
        """Return an authority, with a new key if none is given."""
        key = key or new_key()
        return Authority(key, signed(AUTHORITY, key.public_key(), key, [], days))


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP384R1())


def server_certificate(
    authority: Authority, key: ec.EllipticCurvePublicKey, hosts: list[str], days: int = DAYS
) -> x509.Certificate:
    """Return the coordinator's certificate, for `hosts` and always for this machine (`HERE`).

    Raises:
        CertificateError: a host is no name or address as certificates write it.
    """
    names = list(dict.fromkeys([*hosts, *HERE]))
    return signed(names[0], key, authority.key, names, days)


def signed(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    authority: ec.EllipticCurvePrivateKey,
    hosts: list[str],
    days: int,
) -> x509.Certificate:
    """Return a certificate for `hosts`; without any, it is the authority's own.

    Raises:
        CertificateError: a host is no name or address as certificates write it.
    """
    now = datetime.datetime.now(datetime.UTC)
    is_authority = not hosts
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(_named(AUTHORITY))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(_usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
    )
    if hosts:
        names = x509.SubjectAlternativeName([_host_name(host) for host in hosts])
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(server, critical=False)
    return builder.sign(authority, hashes.SHA256())


def _usage(is_authority: bool) -> x509.KeyUsage:
    """Return what a key may be used for: signing certificates, or TLS."""
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(common_name: str) -> x509.Name:
    """Return a certificate's name; X.509 holds 64 characters of it, and nobody checks it where the host is named."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _host_name(host: str) -> x509.GeneralName:
    """Return a host as certificates write it: an address or a name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError as error:
        raise CertificateError(
            f"host {host!r}: not a host's name in ASCII, such as coordinator.example.org, nor an address: {error}"
        ) from error


def hosts_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the names and addresses that a certificate is valid for; empty for an authority's."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(
        str(value) for kind in (x509.DNSName, x509.IPAddress) for value in names.get_values_for_type(kind)
    )


def pem(certificate: x509.Certificate) -> bytes:
    """Return a certificate as text."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def server_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as TLS servers read it: PKCS #8, without a passphrase."""
    return _encoded(key, serialization.PrivateFormat.PKCS8)


def node_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as ``ssh-keygen`` writes it, without a passphrase."""
    return _encoded(key, serialization.PrivateFormat.OpenSSH)


def node_public_key(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as ``ssh-keygen`` writes it: one line."""
    line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return line + b"\n"


def _encoded(key: ec.EllipticCurvePrivateKey, private_format: serialization.PrivateFormat) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, private_format, serialization.NoEncryption())


def read_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in a file.

    Raises:
        CertificateError: the file cannot be read, or holds none.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CertificateError(f"{path}: not a certificate (PEM): {error}") from error


def read_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Return the private key in a file, of a TLS server or of ``ssh-keygen``.

    Raises:
        CertificateError: it cannot be read, others than its owner may read it, or it is no such key.
    """
    try:
        content, others = path.read_bytes(), path.stat().st_mode & 0o077
    except OSError as error:
        raise CertificateError(f"{path}: cannot be read: {error.strerror}") from error
    if others:
        raise CertificateError(f"{path}: others than its owner may read it: chmod 600 {path}")
    load = (
        serialization.load_ssh_private_key
        if b"OPENSSH" in content[:60]
        else serialization.load_pem_private_key
    )
    try:
        key = load(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{path}: not a private key without a passphrase: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{path}: not an elliptic-curve key")
    return key


def check_validity(path: Path, certificate: x509.Certificate, how: str) -> int:
    """Return the days for which a certificate is still valid.

    Args:
        path: its file, for messages.
        certificate: the certificate.
        how: what to do if it is expired.

    Raises:
        CertificateError: it is expired, or not valid yet.
    """
    now = datetime.datetime.now(datetime.UTC)
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if now >= ends:
        raise CertificateError(f"{path}: expired on {ends:%Y-%m-%d %H:%M} UTC: {how}")
    if now < begins:
        raise CertificateError(
            f"{path}: valid from {begins:%Y-%m-%d %H:%M} UTC on, and this machine's clock says {now:%Y-%m-%d %H:%M}: "
            "set the clock"
        )
    return (ends - now).days


def check_issued(path: Path, certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Check that a certificate is signed by `authority`.

    Raises:
        CertificateError: it is not.
    """
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise CertificateError(
            f"{path}: not signed by the authority in ca.crt: take both files from the same folder"
        ) from error


def public_file(path: Path, content: bytes) -> None:
    """Write a new file that anyone may read."""
    with path.open("xb") as file:
        file.write(content)


def private_file(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, from its first byte on."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
