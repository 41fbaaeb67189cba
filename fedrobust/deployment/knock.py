"""Knock at the server: one signed request of a site before its node starts, so that a fault is named in a sentence.

The site tells what keeps it from taking part, if anything does, and the server logs it; the server tells its version
and the digest of its code.
"""

import datetime
import http.client
import socket
import ssl
from base64 import b64encode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.common.constant import TIMESTAMP_HEADER
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import public_key_to_bytes

import fedrobust
from fedrobust.code_digest import code_digest
from fedrobust.deployment.certificates import check_validity, read_certificate, read_private_key
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.front_door import FAULT_HEADER, KNOCK
from fedrobust.deployment.inspection import NEW_AUTHORITY
from fedrobust.deployment.site import Site
from fedrobust.plain import plain_text

SECONDS = 20
"""Most seconds of a connection."""

EXPIRED, NOT_YET, ANOTHER_HOST = 10, 9, 62
"""OpenSSL's codes of certificates that are refused."""


def knock(site: Site, fault: str = "") -> None:
    """Ask the server whether it admits this site, and tell it what keeps the site from taking part.

    Args:
        site: the site's folder.
        fault: why it cannot take part; empty: it can.

    Raises:
        DeploymentError: the server cannot be reached, is not the one that it should be, does not admit the site's key,
            or has another version.
        CertificateError: a file of the site cannot be used.
    """
    check_validity(site.authority, read_certificate(site.authority), NEW_AUTHORITY)
    headers = signed_headers(read_private_key(site.key))
    if fault:
        headers[FAULT_HEADER] = plain_text(fault, 400).encode("ascii", "replace").decode()
    status, said = _answer(site, headers)
    if status == http.client.UNAUTHORIZED:
        raise DeploymentError(
            f"the server {site.server} does not admit this site's key: send keys/node.pub to its operator, who puts it "
            f"into server/keys/nodes as {site.name}-{site.client}.pub and restarts the server; or the clock of one of "
            f"both machines is wrong (here {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} UTC)"
        )
    if status != http.client.OK:
        raise DeploymentError(
            f"{site.server} answers, but not as a server of fedrobust {fedrobust.__version__} (HTTP {status}): is this "
            "its address, and the port for sites?"
        )
    version, _, digest = said.partition(" ")
    if digest != code_digest():
        raise DeploymentError(
            f"the server has fedrobust {plain_text(version, 40)} with code {plain_text(digest, 12)}, this site "
            f"{fedrobust.__version__} with {code_digest()[:12]}: install the same version at both"
        )


def signed_headers(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Return the headers by which Flower's SuperNode proves its key: the key, the time, and its signature."""
    timestamp = datetime.datetime.now(datetime.UTC).isoformat()
    signature = key.sign(timestamp.encode("ascii"), ec.ECDSA(hashes.SHA256()))
    return {
        FLEET_HTTP_PUBLIC_KEY_HEADER: b64encode(public_key_to_bytes(key.public_key())).decode(),
        TIMESTAMP_HEADER: timestamp,
        FLEET_HTTP_SIGNATURE_HEADER: b64encode(signature).decode(),
    }


def _answer(site: Site, headers: dict[str, str]) -> tuple[int, str]:
    """Return status and text of the server's answer."""
    host, port = site.host
    context = ssl.create_default_context(cafile=site.authority)
    connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)
    try:
        connection.request("POST", KNOCK, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(200).decode("ascii", "replace")
    except ssl.SSLCertVerificationError as error:
        raise DeploymentError(_distrusted(site, error)) from error
    except ssl.SSLError as error:
        raise DeploymentError(
            f"{site.server} answers, but not with TLS ({error.reason}): is this the server's port for sites, without a "
            "proxy in between?"
        ) from error
    except socket.gaierror as error:
        raise DeploymentError(
            f"{site.server} cannot be reached: there is no host {host}: mend `server` in site.toml, or the name service"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DeploymentError(
            f"{site.server} cannot be reached: {why}: is the server started (fedrobust deploy serve), and does the "
            "firewall let this machine connect to it?"
        ) from error
    finally:
        connection.close()


def _distrusted(site: Site, error: ssl.SSLCertVerificationError) -> str:
    """Return why the server's certificate is refused, and what to do."""
    if error.verify_code == EXPIRED:
        return (
            f"{site.server}: its certificate expired: its operator renews it with fedrobust deploy renew, and restarts "
            "the server"
        )
    if error.verify_code == NOT_YET:
        return (
            f"{site.server}: its certificate is not valid yet: set the clock of this machine or of the server"
        )
    if error.verify_code == ANOTHER_HOST:
        return (
            f"{site.server}: its certificate is for another host: mend `server` in site.toml; or its operator adds the "
            "host to `hosts` in server.toml, renews the certificate and restarts the server"
        )
    return (
        f"{site.server}: its certificate is not signed by the authority in {site.authority}: either this file is "
        "of another federation or out of date, or somebody else answers: ask the server's operator for ca.crt, and "
        "do not go on before you know why"
    )
