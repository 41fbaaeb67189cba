"""A filter of requests to the SuperLink: admitted nodes on one port, the researcher and the apps on another.

Flower 1.42 serves all its APIs on one port. Here the same application listens on two, and every request passes this
filter first: the nodes' port accepts only Flower's Fleet API, signed with an admitted key; the loopback port accepts
everything else. Requests are refused by their headers; their bodies are not read.
"""

import binascii
import datetime
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from logging import INFO, WARNING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.supercore import log
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, verify_signature
from flwr.superlink.routers.fleet.router import router as fleet_router
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import fedrobust
from fedrobust.code_digest import code_digest
from fedrobust.plain import plain_text

HEADERS = (FLEET_HTTP_PUBLIC_KEY_HEADER, TIMESTAMP_HEADER, FLEET_HTTP_SIGNATURE_HEADER)
LOOPBACK = ("/v1/control/", "/v1/runtime/", "/health")
KNOCK = "/fedrobust/knock"
"""Path at which a site asks whether it is admitted, before its node starts; see `fedrobust.deployment.knock`."""

MOST_BODY = 2**26
"""Most bytes of a node's request. Flower cuts arrays into pieces of 20 MB; what is longer is no reply."""

FAULT_HEADER = "fedrobust-fault"
"""Header of a knock: what keeps the site from taking part."""

WINDOW = datetime.timedelta(seconds=TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE)


def paths_of(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """Return the paths of an API's routes."""
    return frozenset(route.path for route in routes if isinstance(route, Route))


class FrontDoor:
    """An ASGI application that passes allowed requests to Flower's, and refuses all others.

    Args:
        app: Flower's SuperLink.
        control_port: the loopback port of the researcher and the apps; every other port is for nodes.
        keys: public keys of the admitted nodes, PEM; as a mapping, with the name of each.
        clock: returns the time, with a time zone.
    """

    def __init__(
        self,
        app: ASGIApp,
        control_port: int,
        keys: Mapping[bytes, str] | Iterable[bytes],
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ):
        self.app = app
        self.control_port = control_port
        self.keys = dict(keys) if isinstance(keys, Mapping) else dict.fromkeys(keys, "a node")
        self.clock = clock
        self.fleet = paths_of(fleet_router.routes)
        self.used: OrderedDict[tuple[bytes, str, int], datetime.datetime] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond with 404 or 401."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} connections are not accepted")
        refused = self.refuses(scope)
        if refused is None and scope["path"] == KNOCK:
            await self.welcome(scope)(scope, receive, send)
            return
        if refused is None:
            taken = receive if self.is_control(scope) else bounded(receive, MOST_BODY)
            try:
                await self.app(scope, taken, send)
            except TooLongError as error:
                log(
                    WARNING,
                    "refused %s %r from %s: %s",
                    scope["method"],
                    scope["path"],
                    scope.get("client"),
                    error,
                )
            return
        status, reason = refused
        log(WARNING, "refused %s %r from %s: %s", scope["method"], scope["path"], scope.get("client"), reason)
        await PlainTextResponse(reason, status, headers={"Connection": "close"})(scope, receive, send)

    def refuses(self, scope: Scope) -> tuple[int, str] | None:
        """Return HTTP status and reason of a refusal; None if the request is passed on."""
        path = scope["path"]
        if self.is_control(scope):
            return None if path.startswith(LOOPBACK) else (404, "not on this port")
        if scope["method"] != "POST" or path not in {*self.fleet, KNOCK}:
            return 404, "not on this port"
        if declared_bytes(scope) > MOST_BODY:
            return 413, f"a body of more than {MOST_BODY} bytes"
        return None if self.signed(scope) else (401, "not signed by an admitted node")

    def is_control(self, scope: Scope) -> bool:
        """Return whether a request came in on the loopback port."""
        server = scope.get("server")
        return server is not None and bool(server[1] == self.control_port)

    def welcome(self, scope: Scope) -> PlainTextResponse:
        """Return the response to an admitted site's knock; log the fault that it tells of."""
        headers = dict(scope["headers"])
        site = self.keys[b64decode(headers[FLEET_HTTP_PUBLIC_KEY_HEADER.encode()])]
        fault = headers.get(FAULT_HEADER.encode(), b"").decode("ascii", "replace")
        if fault:
            log(WARNING, "%s cannot take part: %s", site, plain_text(fault, 400))
        else:
            log(INFO, "%s is admitted", site)
        return PlainTextResponse(f"{fedrobust.__version__} {code_digest()}")

    def signed(self, scope: Scope) -> bool:
        """Return whether an admitted node signed the request recently, with a signature that was not used before.

        The signed text is the time, as in every request of Flower's SuperNode.
        """
        found = [[value for name, value in scope["headers"] if name == wanted.encode()] for wanted in HEADERS]
        if any(len(values) != 1 for values in found):
            return False
        try:
            public, timestamp, signature = (values[0] for values in found)
            key, proof = b64decode(public, validate=True), b64decode(signature, validate=True)
            if key not in self.keys:
                return False
            signed_at = datetime.datetime.fromisoformat(timestamp.decode("ascii"))
            now = self.clock()
            if not abs(now - signed_at) < WINDOW:
                return False
            if not verify_signature(bytes_to_public_key(key), timestamp, proof):
                return False
            # From a signature (r, s) a second valid one, (r, -s), can be derived: signatures are identified by r.
            once = (key, timestamp.decode("ascii"), decode_dss_signature(proof)[0])
        except (ValueError, TypeError, OverflowError, binascii.Error, UnsupportedAlgorithm):
            return False
        while self.used and not now - next(iter(self.used.values())) < 2 * WINDOW:
            self.used.popitem(last=False)
        if once in self.used:
            return False
        self.used[once] = now
        return True


class TooLongError(RuntimeError):
    """A node sends a longer body than is read."""


def bounded(receive: Receive, most: int) -> Receive:
    """Return `receive` for a request of at most `most` bytes; no more is kept in memory, whatever its header says.

    The returned function raises a TooLongError at the first piece beyond them: the connection is then closed.
    """
    left = most

    async def received() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLongError(f"a body of more than {most} bytes")
        return message

    return received


def declared_bytes(scope: Scope) -> int:
    """Return the length of a request's body by its header, 0 where it has none or one that is no number."""
    values = [value for name, value in scope["headers"] if name == b"content-length"]
    return max((int(value) for value in values if value.isdigit() and len(value) < 20), default=0)
