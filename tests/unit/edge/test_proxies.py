from ipaddress import ip_network

import pytest

from sockudo_py.edge.proxies import TrustedProxies, network_of

PROXIES = TrustedProxies([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("fd00::1", True),
        ("fd00::1%eth0", True),
        ("fe80::1", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("nonsense", False),
        ("", True),
    ],
)
def test_a_peer_is_trusted_when_it_is_in_a_network_or_on_the_unix_socket(peer: str, trusted: bool) -> None:
    assert PROXIES.trusts(peer) is trusted
    assert PROXIES.trusts(peer) is trusted  # the second answer comes from memory


def test_nobody_on_the_network_is_trusted_by_default() -> None:
    assert not TrustedProxies().trusts("127.0.0.1")


def test_what_is_remembered_of_peers_is_bounded() -> None:
    proxies = TrustedProxies([ip_network("10.0.0.0/8")])
    for number in range(5000):
        proxies.trusts(f"192.0.{number // 256}.{number % 256}")
    assert len(proxies._known) <= 1024


@pytest.mark.parametrize(
    ("peer", "header", "secure"),
    [
        ("10.0.0.1", "https", True),
        ("10.0.0.1", "HTTPS", True),
        ("10.0.0.1", "wss", True),
        ("10.0.0.1", "https, http", True),
        ("10.0.0.1", "http, https", False),
        ("10.0.0.1", "http", False),
        ("10.0.0.1", None, False),
        ("192.0.2.1", "https", False),
    ],
)
def test_only_a_trusted_proxy_can_say_that_the_client_came_over_tls(
    peer: str, header: str | None, secure: bool
) -> None:
    assert PROXIES.secure(peer, header) is secure


@pytest.mark.parametrize(
    ("peer", "header", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "1.2.3.4", "192.0.2.1"),  # not trusted: it may say what it likes
        ("10.0.0.1", "1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),  # 6.6.6.6 is the client's own invention
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "1.2.3.4:5678", "1.2.3.4"),
        ("10.0.0.1", "[2001:db8::1]:5678", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "1.2.3.4", "1.2.3.4"),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(peer: str, header: str | None, client: str) -> None:
    assert PROXIES.client(peer, header) == client


@pytest.mark.parametrize(
    ("hops", "header", "client"),
    [
        (1, "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        (2, "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        (2, "1.2.3.4", "192.0.2.1"),
        (1, "nonsense", "192.0.2.1"),
    ],
)
def test_hops_count_from_the_end(hops: int, header: str, client: str) -> None:
    assert TrustedProxies(hops=hops).client("192.0.2.1", header) == client


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("", ""),
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_ipv6_client_counts_with_its_whole_network(address: str, network: str) -> None:
    assert network_of(address) == network
    assert network_of(str(address.encode(), "ascii")) is network_of(address)
