"""The versions of TLS that the server speaks, over connections in memory."""

import ssl
from contextlib import suppress

import pytest

from fedrobust.deployment import handshake

OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def shaken(server, client):
    """Return the version of TLS on which two contexts agree."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(10):
        for end in ends:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
    return ends[0].version()


@pytest.fixture
def lax(deployed):
    """A server's context as an old configuration of OpenSSL would make it: every version, every cipher."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(deployed.server.keys / "server.pem", deployed.server.keys / "server.key")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    return context


@pytest.fixture
def client(deployed):
    context = ssl.create_default_context(cafile=deployed.server.keys / "ca.crt")
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", OLD)
def test_tls_below_1_2_is_refused_whatever_openssl_allows_on_this_host(lax, client, version):
    client.minimum_version, client.maximum_version = ssl.TLSVersion.TLSv1, version
    assert shaken(lax, client) == version.name.replace("_", "."), "the client can, and so could the server"
    with pytest.raises(ssl.SSLError, match=r"(?i)version|protocol"):
        shaken(handshake.telling(None, lambda: lax), client)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_tls_1_2_and_1_3_are_spoken(lax, client, version):
    client.minimum_version = client.maximum_version = version
    assert shaken(handshake.telling(None, lambda: lax), client) == version.name.replace("_", ".")
