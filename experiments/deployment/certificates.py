"""Make what a federation over TLS needs: an authority, a server certificate, and a key pair for every node.

    python certificates.py FOLDER --host coordinator.example.org --nodes 3

The folder then holds `ca.crt` (every host gets it), `server.pem` and `server.key` (the SuperLink's), and for node i
`node-i` (stays at that hospital) and `node-i.pub` (registered with the SuperLink). A hospital may as well make its own
pair, `ssh-keygen -t ecdsa -b 384 -N "" -f node-0`, and send the public half.
"""

import argparse
import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 365


def make(folder: Path, hosts: list[str], nodes: int) -> None:
    """Write all files of a federation into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = ec.generate_private_key(ec.SECP384R1())
    root = signed("fedrobust authority", authority.public_key(), "fedrobust authority", authority, [])
    server = ec.generate_private_key(ec.SECP384R1())
    certificate = signed(hosts[0], server.public_key(), "fedrobust authority", authority, hosts)
    public(folder / "ca.crt", root.public_bytes(serialization.Encoding.PEM))
    public(folder / "server.pem", certificate.public_bytes(serialization.Encoding.PEM))
    secret(folder / "server.key", server, serialization.PrivateFormat.PKCS8)
    for node in range(nodes):
        key = ec.generate_private_key(ec.SECP384R1())
        secret(folder / f"node-{node}", key, serialization.PrivateFormat.OpenSSH)
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        public(folder / f"node-{node}.pub", line + b"\n")


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
    """Return a certificate's name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def host_name(host: str) -> x509.GeneralName:
    """Return a host as certificates write it: an address or a name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def public(path: Path, content: bytes) -> None:
    """Write a file that anyone may read."""
    path.write_bytes(content)


def secret(path: Path, key: ec.EllipticCurvePrivateKey, private_format: serialization.PrivateFormat) -> None:
    """Write a private key that only its owner may read, from its first byte on."""
    content = key.private_bytes(serialization.Encoding.PEM, private_format, serialization.NoEncryption())
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--host", action="append", help="name or address of the SuperLink; repeatable (default: this machine)"
    )
    parser.add_argument("--nodes", type=int, default=3)
    options = parser.parse_args()
    make(options.folder, options.host or ["localhost", "127.0.0.1"], options.nodes)
    print(f"{options.folder}: {', '.join(sorted(path.name for path in options.folder.iterdir()))}")


if __name__ == "__main__":
    main()
