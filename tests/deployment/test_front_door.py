"""What passes the door: Flower's Fleet calls signed by an admitted node just now, and on loopback the rest."""

import asyncio
import datetime
from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from flwr.supercore.primitives.asymmetric import public_key_to_bytes, sign_message
from flwr.supercore.routers.runtime.router import router as runtime
from flwr.superlink.routers.control.router import router as control
from flwr.superlink.routers.fleet.router import router as fleet

from fedrobust.deployment import front_door
from fedrobust.deployment.front_door import HEADERS, WINDOW, FrontDoor, paths_of

NOW = datetime.datetime(2026, 11, 25, 12, 0, 0, 123456, datetime.UTC)
CONTROL, NODES = 9000, 8000
PULL = "/v1/fleet/pull-messages"
NODE, OTHER = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
ORDER = int(
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16
)


def public(key):
    return public_key_to_bytes(key.public_key())


def signed(key=NODE, at=NOW, claimed=None, timestamp=None, signature=None):
    """The three headers of a node's request."""
    timestamp = at.isoformat() if timestamp is None else timestamp
    signature = sign_message(key, timestamp.encode()) if signature is None else signature
    values = (b64encode(public(claimed or key)), timestamp.encode(), b64encode(signature))
    return list(zip((name.encode() for name in HEADERS), values, strict=True))


class Visit:
    """One request at a door: what was answered, and whether Flower saw it."""

    def __init__(self, door, path, headers=(), port=NODES, method="POST", kind="http"):
        self.passed = self.read = False
        self.status = None
        door.app = self.flower
        scope = {"type": kind, "method": method, "path": path, "headers": list(headers)}
        scope |= {"server": ("127.0.0.1", port), "client": ("127.0.0.1", 50_000)}
        asyncio.run(door(scope, self.receive, self.send))

    async def flower(self, scope, receive, send):
        self.passed = True

    async def receive(self):
        self.read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message):
        self.status = message.get("status", self.status)


@pytest.fixture
def door():
    return FrontDoor(None, CONTROL, [public(NODE)], clock=lambda: NOW)


def refused(visit, status):
    return not visit.passed and not visit.read and visit.status == status


def test_every_fleet_call_of_an_admitted_node_passes(door):
    paths = paths_of(fleet.routes)
    assert len(paths) >= 12
    for place, path in enumerate(sorted(paths)):
        assert Visit(door, path, signed(at=NOW + datetime.timedelta(microseconds=place))).passed


def test_nothing_else_passes_on_the_nodes_port(door):
    others = paths_of(control.routes) | paths_of(runtime.routes)
    assert len(others) > 50
    strange = [
        "/",
        "/health",
        "/docs",
        "/openapi.json",
        "",
        f"{PULL}/",
        f"/{PULL}",
        PULL.upper(),
        "/v1/fleet/new",
    ]
    for path in [*sorted(others), *strange]:
        assert refused(Visit(door, path, signed()), 404), path
    for method in ("GET", "PUT", "HEAD", "OPTIONS", "DELETE", "post"):
        assert refused(Visit(door, PULL, signed(), method=method), 404), method


def test_no_fleet_call_passes_on_the_loopback_port(door):
    for path in paths_of(fleet.routes):
        assert refused(Visit(door, path, signed(), port=CONTROL), 404)
    for path in ("/docs", "/openapi.json", "/", "//v1/control/start-run", "/v1/../v1/control/start-run"):
        assert refused(Visit(door, path, port=CONTROL), 404)
    for path in paths_of(control.routes) | paths_of(runtime.routes) | {"/health"}:
        assert Visit(door, path, port=CONTROL).passed


def test_where_the_port_is_not_known_it_is_the_nodes(door):
    door.app = None
    scope = {"type": "http", "method": "POST", "path": "/v1/control/start-run", "headers": [], "server": None}
    assert door.refuses(scope) == (404, "not on this port")


def test_a_web_socket_is_no_way_in(door):
    for port in (NODES, CONTROL):
        with pytest.raises(RuntimeError, match="websocket connections are not accepted"):
            Visit(door, PULL, signed(), port=port, kind="websocket")


LATE = WINDOW + datetime.timedelta(seconds=1)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        signed()[:2],
        signed()[1:],
        [*signed(), *signed(OTHER)],
        [*signed(), signed()[0]],
        signed(OTHER),
        signed(OTHER, claimed=NODE),
        signed(NODE, claimed=OTHER),
        signed(at=NOW - LATE),
        signed(at=NOW + LATE),
        signed(timestamp="now"),
        signed(timestamp=""),
        signed(timestamp=NOW.replace(tzinfo=None).isoformat()),
        signed(timestamp="9999-12-31T23:59:59+00:00"),
        signed(signature=b""),
        signed(signature=b"\x30\x06\x02\x01\x00\x02\x01\x00"),
        signed(signature=sign_message(NODE, b"another text")),
        [(name, b"\xff\xfe") for name, _ in signed()],
        [(name, b"!" + value) for name, value in signed()],
        [(name.upper(), value) for name, value in signed()],
    ],
)
def test_a_call_that_is_not_signed_by_an_admitted_node_just_now_is_refused(door, headers):
    assert refused(Visit(door, PULL, headers), 401)


def test_a_signature_is_used_once(door):
    headers = signed()
    assert Visit(door, PULL, headers).passed
    assert refused(Visit(door, PULL, headers), 401)
    assert refused(Visit(door, "/v1/fleet/push-messages", headers), 401)
    assert Visit(door, PULL, signed()).passed, "the same microsecond, signed anew"


def test_the_second_form_of_a_used_signature_is_used_too(door):
    signature = sign_message(NODE, NOW.isoformat().encode())
    r, s = decode_dss_signature(signature)
    twin = signed(signature=encode_dss_signature(r, ORDER - s))
    assert Visit(FrontDoor(None, CONTROL, [public(NODE)], clock=lambda: NOW), PULL, twin).passed, (
        "it is valid"
    )
    assert Visit(door, PULL, signed(signature=signature)).passed
    assert refused(Visit(door, PULL, twin), 401)


def test_used_signatures_are_forgotten_when_they_are_too_old_anyway():
    times = iter([NOW, NOW, NOW + 2 * LATE, NOW + 2 * LATE])
    door = FrontDoor(None, CONTROL, [public(NODE)], clock=lambda: next(times))
    first = signed(at=NOW + WINDOW / 2)
    assert Visit(door, PULL, first).passed
    assert Visit(door, PULL, signed()).passed
    assert len(door.used) == 2
    assert Visit(door, PULL, signed(at=NOW + 2 * LATE)).passed
    assert len(door.used) == 1
    assert refused(Visit(door, PULL, first), 401)


def test_a_signature_of_the_future_is_not_used_twice_when_its_time_comes():
    times = iter([NOW, NOW + 1.5 * WINDOW])
    door = FrontDoor(None, CONTROL, [public(NODE)], clock=lambda: next(times))
    ahead = signed(at=NOW + 0.9 * WINDOW)
    assert Visit(door, PULL, ahead).passed
    assert refused(Visit(door, PULL, ahead), 401)


def test_without_keys_nobody_is_admitted():
    assert refused(Visit(FrontDoor(None, CONTROL, [], clock=lambda: NOW), PULL, signed()), 401)


def test_a_body_that_is_longer_than_any_reply_is_refused_by_its_header(door):
    most = front_door.MOST_BODY
    longer = [*signed(), (b"content-length", str(most + 1).encode())]
    assert refused(Visit(door, PULL, longer), 413)
    assert Visit(door, PULL, [*signed(), (b"content-length", str(most).encode())]).passed
    assert not door.used or len(door.used) == 1, "a refused request uses up no signature"
    for strange in (b"-1", b"1e99", b"9" * 5000, b"\xb2", b""):
        later = signed(at=NOW + datetime.timedelta(microseconds=len(strange) + 1))
        assert Visit(door, PULL, [*later, (b"content-length", strange)]).passed, "its pieces are counted"


def test_and_where_the_header_lies_at_the_first_piece_beyond(door, monkeypatch):
    monkeypatch.setattr(front_door, "MOST_BODY", 1000)
    pieces = []

    class Endless(Visit):
        async def receive(self):
            return {"type": "http.request", "body": bytes(300), "more_body": True}

        async def flower(self, scope, receive, send):
            while True:
                pieces.append(await receive())

    Endless(door, PULL, signed())
    assert len(pieces) == 3, "900 of 1,000 bytes; the fourth piece ends the request"
    pieces.clear()

    class Patient(Endless):
        async def flower(self, scope, receive, send):
            pieces.extend([await receive() for _ in range(9)])

    Patient(door, "/v1/runtime/push-messages", port=CONTROL)
    assert len(pieces) == 9, "the server's own app sends whole models"
