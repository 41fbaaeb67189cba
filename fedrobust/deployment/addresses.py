"""Addresses of the server: how they are written, and on which one it listens."""

import socket
from collections.abc import Sequence

from fedrobust.errors import FedrobustError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class AddressError(FedrobustError):
    """The server cannot listen at an address."""


def address_of(host: str, port: int) -> str:
    """Return HOST:PORT, with brackets around an IPv6 address.

    Example:
        >>> address_of("fl.example.org", 8000), address_of("::1", 8000)
        ('fl.example.org:8000', '[::1]:8000')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen_of(hosts: Sequence[str]) -> str:
    """Return the address on which the server listens, so that sites reach it at the first of `hosts`.

    Loopback where all hosts are this machine's; else every address, with those of IPv6 where a host is one.

    Example:
        >>> listen_of(["localhost"]), listen_of(["::1"]), listen_of(["fl.example.org"]), listen_of(["2001:db8::1"])
        ('127.0.0.1', '::1', '0.0.0.0', '::')
    """
    if set(hosts) <= set(LOOPBACK):
        return "::1" if hosts[0] == "::1" else "127.0.0.1"
    return "::" if any(":" in host and host not in LOOPBACK for host in hosts) else "0.0.0.0"


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        AddressError: the address is not this host's, or in use.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:  # a host without IPv6
        raise AddressError(f"{address_of(host, port)}: cannot listen there: {error}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        # "::" is every address of this host, those of IPv4 too, whatever the system's default is.
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise AddressError(f"{address_of(host, port)}: cannot listen there: {error}") from error
    return bound
