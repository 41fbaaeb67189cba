"""What a site says before its node starts, for each fault of the server; and what the server says of a site."""

import asyncio
import http.server
import socket
import ssl
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from fedrobust.code_digest import code_digest
from fedrobust.data.site_error import UNFIT
from fedrobust.deployment import certificates, handshake, starting
from fedrobust.deployment.folder_file import DeploymentError
from fedrobust.deployment.front_door import FAULT_HEADER, KNOCK, FrontDoor
from fedrobust.deployment.inspection import Finding
from fedrobust.deployment.keys import read_node_keys
from fedrobust.deployment.knock import knock, signed_headers
from fedrobust.deployment.processes import free_ports
from fedrobust.errors import FedrobustError

KNOWN = f"0.1.0 {code_digest()}"


@contextmanager
def answering(deployment, status=200, text=KNOWN, hosts=("localhost",), days=10, tls=True, authority=None):
    """Yield the bern site, connected to a server that always answers the same, and what that server was sent."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, dict(self.headers)))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    key = certificates.new_key()
    place = deployment.authority
    signer = authority or certificates.Authority(
        certificates.read_private_key(place / "ca.key"), certificates.read_certificate(place / "ca.crt")
    )
    made = certificates.signed(hosts[0], key.public_key(), signer.key, list(hosts), days)
    pem, private = deployment.folder / "s.pem", deployment.folder / "s.key"
    pem.write_bytes(certificates.pem(made))
    certificates.private_file(private, certificates.server_key(key))
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, private)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield deployment.sites[0].connected_to(f"localhost:{server.server_address[1]}"), asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_admitted_site_is_content_and_says_what_it_should(deployment):
    with answering(deployment) as (site, asked):
        knock(site)
        knock(site, "no such file:\n\x1b[31m ä.npz")
    (path, headers), (_, with_fault) = asked
    assert path == KNOCK
    assert FAULT_HEADER not in headers
    assert with_fault[FAULT_HEADER] == "no such file: ?.npz"


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ({"status": 401}, r"does not admit this site's key: send keys/node.pub .* bern-0\.pub"),
        ({"status": 404}, "not as a server of fedrobust"),
        (
            {"text": "0.0.9 abcdef"},
            "has fedrobust 0.0.9 with code abcdef, this site .*: install the same version",
        ),
        ({"days": 0}, "its certificate expired"),
        ({"hosts": ("other.example.org",)}, "its certificate is for another host"),
        ({"authority": certificates.Authority.new()}, "not signed by the authority in .*do not go on"),
        ({"tls": False}, "answers, but not with TLS|cannot be reached"),
    ],
)
def test_each_fault_of_the_server_is_a_sentence_with_what_to_do(deployment, server, reason):
    with answering(deployment, **server) as (site, _), pytest.raises(DeploymentError, match=reason):
        knock(site)


def test_a_server_that_is_not_there_is_a_sentence(deployment):
    (port,) = free_ports(1)
    site = deployment.sites[0]
    with pytest.raises(DeploymentError, match=r"Connection refused: is the server started"):
        knock(site.connected_to(f"127.0.0.1:{port}"))
    with pytest.raises(DeploymentError, match=r"no host none\.invalid"):
        knock(site.connected_to("none.invalid:8000"))


def test_an_authority_that_expired_is_named_before_anything_is_sent(deployment):
    site = deployment.sites[0]
    old = certificates.Authority.new(0, certificates.read_private_key(deployment.authority / "ca.key"))
    site.authority.write_bytes(certificates.pem(old.certificate))
    with pytest.raises(FedrobustError, match=r"ca\.crt: expired on .* operator for the new ca\.crt"):
        knock(site)


def test_a_site_that_cannot_take_part_tells_the_server(deployment, monkeypatch):
    fault = Finding("bern", "x.npz: no such file", fault=True, told="no such file")
    monkeypatch.setattr(starting, "inspect_site", lambda _: [fault])
    with answering(deployment) as (site, asked), pytest.raises(DeploymentError, match="no such file"):
        starting.start_node(site)
    assert asked[0][1][FAULT_HEADER] == "no such file"


@pytest.mark.parametrize(
    ("wrong", "here"),
    [
        ({"train_labels": np.arange(12) % 7}, "labels go up to 6, hospitals has 0 to 1"),
        ({"train_images": np.full((12, 28, 28), 0.625)}, "values run from 0.625 to 0.625"),
        ({"train_images": np.zeros((12, 28, 32), np.uint8)}, r"images of \(28, 32, 1\)"),
    ],
    ids=["labels", "grey levels", "shape"],
)
def test_the_server_is_not_told_what_an_error_says_of_the_images(deployment, wrong, here):
    images = deployment.folder / "own.npz"
    own = {"train_images": np.zeros((12, 28, 28), np.uint8), "train_labels": np.arange(12) % 2}
    np.savez(images, **{**own, **wrong})
    with answering(deployment) as (site, asked), pytest.raises(DeploymentError, match=here):
        starting.start_node(replace(site, data=str(images)))
    assert asked[0][1][FAULT_HEADER] == UNFIT


def responded(door, headers, path=KNOCK):
    """Return status and body with which a front door answers a request of a site."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 5),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(door(scope, None, send))
    return sent[0]["status"], sent[1]["body"].decode()


def test_the_front_door_answers_admitted_sites_and_logs_their_fault(deployed, monkeypatch):
    logged = []
    monkeypatch.setattr(
        "fedrobust.deployment.front_door.log", lambda _, text, *rest: logged.append(text % rest)
    )
    nodes = read_node_keys(deployed.server.keys / "nodes")
    door = FrontDoor(None, 9000, {node.public: node.name for node in nodes})
    key = certificates.read_private_key(deployed.sites[1].key)
    assert responded(door, signed_headers(key)) == (200, KNOWN)
    assert responded(door, {**signed_headers(key), FAULT_HEADER: "x.npz: no such file"})[0] == 200
    assert logged == ["chur-1 is admitted", "chur-1 cannot take part: x.npz: no such file"]
    status, text = responded(door, {**signed_headers(certificates.new_key()), FAULT_HEADER: "let me in"})
    assert (status, text) == (401, "not signed by an admitted node")
    assert "refused" in logged[-1]
    assert "let me in" not in "".join(logged)
    assert responded(door, {})[0] == 401


def test_the_server_logs_why_a_site_does_not_trust_it(deployed, monkeypatch):
    def connect(port, context):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
            context.wrap_socket(plain, server_hostname="127.0.0.1")

    async def distrusted(context):
        logged = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(handshake, "log", lambda _, text, *rest: logged.set_result(text % rest))
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        other = certificates.pem(certificates.Authority.new().certificate).decode()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(connect, port, ssl.create_default_context(cadata=other))
        try:
            return await asyncio.wait_for(logged, 20)
        finally:
            server.close()

    said = asyncio.run(distrusted(handshake.telling(None, lambda: _context(deployed))))
    assert said == f"a site {handshake.DISTRUST['TLSV1_ALERT_UNKNOWN_CA']}"


def _context(deployed):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(deployed.server.keys / "server.pem", deployed.server.keys / "server.key")
    return context
