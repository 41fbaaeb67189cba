"""What reaches the SuperLink: the calls of admitted nodes on one port, those of the researcher and the apps on another.

Flower 1.42 serves all its APIs on one port. Here the same application listens on two, and every request passes this
door first: on the nodes' port nothing but Flower's Fleet API, signed with an admitted key; on the loopback port
everything else. A request that is refused is refused by its head: its body is never read.
"""

import binascii
import datetime
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Callable, Iterable
from logging import WARNING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_HEADER, TIMESTAMP_TOLERANCE
from flwr.supercore import log
from flwr.supercore.constant import FLEET_HTTP_PUBLIC_KEY_HEADER, FLEET_HTTP_SIGNATURE_HEADER
from flwr.supercore.primitives.asymmetric import bytes_to_public_key, verify_signature
from flwr.superlink.routers.fleet.router import router as fleet_router
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

HEADERS = (FLEET_HTTP_PUBLIC_KEY_HEADER, TIMESTAMP_HEADER, FLEET_HTTP_SIGNATURE_HEADER)
LOOPBACK = ("/v1/control/", "/v1/runtime/", "/health")
WINDOW = datetime.timedelta(seconds=TIMESTAMP_TOLERANCE + SYSTEM_TIME_TOLERANCE)


def paths_of(routes: Iterable[BaseRoute]) -> frozenset[str]:
    """Return the paths of an API's routes."""
    return frozenset(route.path for route in routes if isinstance(route, Route))


class FrontDoor:
    """Passes on to Flower's application what may reach it, and refuses everything else.

    Args:
        app: Flower's SuperLink.
        control_port: the loopback port of the researcher and of the apps; every other port is the nodes'.
        keys: public keys of the admitted nodes, PEM.
        clock: tells the time, with a time zone.
    """

    def __init__(
        self,
        app: ASGIApp,
        control_port: int,
        keys: Iterable[bytes],
        clock: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    ):
        self.app = app
        self.control_port = control_port
        self.keys = frozenset(keys)
        self.clock = clock
        self.fleet = paths_of(fleet_router.routes)
        self.used: OrderedDict[tuple[bytes, str, int], datetime.datetime] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 404 or 401."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} connection is taken")
        refused = self.refuses(scope)
        if refused is None:
            await self.app(scope, receive, send)
            return
        status, reason = refused
        log(WARNING, "refused %s %r from %s: %s", scope["method"], scope["path"], scope.get("client"), reason)
        await PlainTextResponse(reason, status, headers={"Connection": "close"})(scope, receive, send)

    def refuses(self, scope: Scope) -> tuple[int, str] | None:
        """Return why a request is refused, with HTTP's status; None where it is passed on."""
        server, path = scope.get("server"), scope["path"]
        if server is not None and server[1] == self.control_port:
            return None if path.startswith(LOOPBACK) else (404, "not on this port")
        if scope["method"] != "POST" or path not in self.fleet:
            return 404, "not on this port"
        return None if self.signed(scope) else (401, "not signed by an admitted node")

    def signed(self, scope: Scope) -> bool:
        """Return whether an admitted node signed the request just now, and the signature was not used before.

        What is signed is the time, as Flower's SuperNode does it for every request.
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
            # Of a signature (r, s) whoever sees it can make a second valid one, (r, -s): r tells them from others.
            once = (key, timestamp.decode("ascii"), decode_dss_signature(proof)[0])
        except (ValueError, TypeError, OverflowError, binascii.Error, UnsupportedAlgorithm):
            return False
        while self.used and not now - next(iter(self.used.values())) < 2 * WINDOW:
            self.used.popitem(last=False)
        if once in self.used:
            return False
        self.used[once] = now
        return True
