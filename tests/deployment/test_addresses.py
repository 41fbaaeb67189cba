"""Where a server listens: at the address by which its sites reach it."""

import socket

import pytest
from deployed import written

from fedrobust.deployment.addresses import AddressError, listen_of, listening


@pytest.fixture
def ipv6():
    """Skip a test where this machine has no IPv6."""
    try:
        with socket.socket(socket.AF_INET6) as found:
            found.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")


def reached(listen, host):
    """Return whether a client that knows `host` reaches a server that listens at `listen`."""
    with listening(listen, 0) as server:
        server.listen()
        with socket.create_connection((host, server.getsockname()[1]), timeout=5):
            return True


def test_an_address_that_is_taken_or_elsewhere_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(AddressError, match="cannot listen"):
            listening("127.0.0.1", taken.getsockname()[1])
    for host in ("192.0.2.1", "no such host", "256.0.0.1"):
        with pytest.raises(AddressError, match=f"{host}:0: cannot listen"):
            listening(host, 0)
    with pytest.raises(AddressError, match=r"\[2001:db8::1\]:0: cannot listen"):
        listening("2001:db8::1", 0)


def test_a_server_of_the_ipv6_loopback_is_reached_by_its_sites(data, tmp_path, ipv6):
    found = written(data, tmp_path / "hospitals", hosts=("::1",))
    assert found.server.listen == "::1"
    host, _ = found.sites[0].host
    assert reached(found.server.listen, host)


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_a_server_of_an_ipv6_address_is_reached_by_both_families(host, ipv6):
    assert reached(listen_of(["2001:db8::1"]), host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_trial_is_reached_on_this_machine_alone(host):
    assert listen_of([host]) == "127.0.0.1"
    assert reached(listen_of([host]), host)


def test_names_and_addresses_of_hosts_are_heard_of_both_families():
    assert listen_of(["fl.example.org", "192.0.2.1"]) == "0.0.0.0"
    assert listen_of(["fl.example.org", "::1"]) == "0.0.0.0", "the certificate alone has the loopback"
    assert listen_of(["fl.example.org", "2001:db8::1"]) == "::"
