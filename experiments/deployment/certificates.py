"""Make the keys of a federation: an authority, the coordinator's certificate, the researcher's token.

    python experiments/deployment/certificates.py keys --host coordinator.example.org

The folder then holds `ca.crt` (every host gets it), `server.pem` and `server.key` (the coordinator's), `account.token`
(the researcher gets it), and `nodes/`, an empty folder for the hospitals' public keys. The certificate is always valid
for this machine, too: for localhost, 127.0.0.1 and ::1.

A hospital makes its own key pair, `ssh-keygen -t ecdsa -b 384 -N "" -f node`, and sends `node.pub`. With `--nodes 3`,
for a trial on one machine, the pairs of clients 0 to 2 are made here: `node-i` and `nodes/node-i.pub`.
"""

import argparse
import datetime
import ipaddress
import os
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 365
HERE = ("localhost", "127.0.0.1", "::1")
"""The apps on the coordinator reach the SuperLink by these, and so does the researcher, through SSH."""


def make(folder: Path, hosts: list[str], nodes: int) -> None:
    """Write all files of a federation into `folder`."""
    (folder / "nodes").mkdir(parents=True, exist_ok=True)
    authority = ec.generate_private_key(ec.SECP384R1())
    root = signed("fedrobust authority", authority.public_key(), "fedrobust authority", authority, [])
    server = ec.generate_private_key(ec.SECP384R1())
    names = list(dict.fromkeys([*hosts, *HERE]))
    certificate = signed(names[0], server.public_key(), "fedrobust authority", authority, names)
    public(folder / "ca.crt", root.public_bytes(serialization.Encoding.PEM))
    public(folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM))
    private(folder / "server.key", encoded(server, serialization.PrivateFormat.PKCS8))
    private(folder / "account.token", f"{secrets.token_hex(32)}\n".encode())
    for node in range(nodes):
        key = ec.generate_private_key(ec.SECP384R1())
        private(folder / f"node-{node}", encoded(key, serialization.PrivateFormat.OpenSSH))
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        public(folder / "nodes" / f"node-{node}.pub", line + b"\n")


def signed(
    subject: str,
    key: ec.EllipticCurvePublicKey,
    issuer: str,
    authority: ec.EllipticCurvePrivateKey,
    hosts: list[str],
) -> x509.Certificate:
    """Return a certificate for `hosts`; without any, it is the authority's own."""
    now = datetime.datetime.now(datetime.UTC)
    is_authority = not hosts
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(is_authority, 0 if is_authority else None), critical=True)
        .add_extension(usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
        )
    )
    if hosts:
        names = x509.SubjectAlternativeName([host_name(host) for host in hosts])
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(names, critical=False).add_extension(server, critical=False)
    return builder.sign(authority, hashes.SHA256())


def usage(is_authority: bool) -> x509.KeyUsage:
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


def named(common_name: str) -> x509.Name:
    """Return a certificate's name; X.509 holds 64 characters of it, and nobody checks it where the host is named."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def host_name(host: str) -> x509.GeneralName:
    """Return a host as certificates write it: an address or a name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def encoded(key: ec.EllipticCurvePrivateKey, private_format: serialization.PrivateFormat) -> bytes:
    """Return a private key as text, without a passphrase."""
    return key.private_bytes(serialization.Encoding.PEM, private_format, serialization.NoEncryption())


def public(path: Path, content: bytes) -> None:
    """Write a file that anyone may read."""
    path.write_bytes(content)


def private(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, from its first byte on."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument(
        "--host", action="append", default=[], help="name or address of the coordinator; repeatable"
    )
    parser.add_argument("--nodes", type=int, default=0, help="make key pairs for so many nodes, for a trial")
    options = parser.parse_args()
    if options.nodes < 0:
        parser.error(f"--nodes {options.nodes}: 0 or more")
    if options.folder.exists():
        parser.error(f"{options.folder}: exists already; the keys of a federation are not overwritten")
    try:
        make(options.folder, options.host, options.nodes)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    print(f"{options.folder}: {', '.join(sorted(path.name for path in options.folder.iterdir()))}")


if __name__ == "__main__":
    main()
