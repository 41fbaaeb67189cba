"""Log why a client breaks a TLS handshake off: a site that does not trust the server says so, and nothing else does."""

import ssl
from collections.abc import Callable
from logging import WARNING

import uvicorn
from flwr.supercore import log

DISTRUST = {
    "TLSV1_ALERT_UNKNOWN_CA": "does not trust this server's certificate: its ca.crt is of another federation, or old",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "says that this server's certificate or its authority is expired: fedrobust "
    "deploy renew, then restart",
    "SSLV3_ALERT_BAD_CERTIFICATE": "says that this server's certificate is for another host: add the host to `hosts` "
    "in server.toml, and renew",
}
"""What a client says when it breaks a TLS handshake off, by OpenSSL's name."""


class TellingTLS(ssl.SSLObject):
    """TLS of one connection, which logs why a client does not trust this server."""

    def do_handshake(self) -> None:
        """Perform the handshake."""
        try:
            super().do_handshake()
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if error.reason in DISTRUST:
                log(WARNING, "a site %s", DISTRUST[error.reason])
            raise


def telling(_: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the server's TLS context: TLS 1.2 and above, whatever this host's OpenSSL allows, of `TellingTLS`."""
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslobject_class = TellingTLS
    return context
