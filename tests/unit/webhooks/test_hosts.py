import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from sockudo_py.webhooks.endpoints.addresses import METADATA
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.endpoints.hosts import normal_host
from tests.unit.webhooks.notations import IPv4, ipv4_hosts

any_v4 = st.integers(0, 2**32 - 1).map(IPv4)
metadata_v4 = st.sampled_from([network for network in METADATA if network.version == 4]).flatmap(
    lambda network: st.integers(int(network.network_address), int(network.broadcast_address)).map(IPv4)
)


@given(ipv4_hosts(any_v4))
def test_an_ipv4_address_has_one_normal_form(written: tuple[IPv4, str]) -> None:
    address, host = written
    assert normal_host(host) == str(address)


@given(ipv4_hosts(any_v4))
def test_it_is_the_address_that_the_system_reads(written: tuple[IPv4, str]) -> None:
    host = written[1].rstrip(".")
    assert ipaddress.ip_address(normal_host(host)).packed == socket.inet_aton(host)


@given(ipv4_hosts(metadata_v4), st.booleans())
def test_a_proxy_is_not_asked_for_a_metadata_address_in_any_spelling(written: tuple[IPv4, str], trusted: bool) -> None:
    assert not AddressGuard(allow_private=trusted).permits_unseen(normal_host(written[1]))


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com."),
        ("my_host-1", "my_host-1"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("127.1", "127.0.0.1"),
        ("0x", "0.0.0.0"),
        ("0", "0.0.0.0"),
        ("4294967295", "255.255.255.255"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::FFFF:1.2.3.4", str(ipaddress.IPv6Address("::ffff:1.2.3.4"))),
    ],
)
def test_names_and_addresses_are_taken(host: str, normal: str) -> None:
    assert normal_host(host) == normal


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "example.com..",
        "169.254.169%2e254",
        "169.254.169.254%00.example",
        "exa%6dple.com",
        "a!b",
        "a b",
        "bücher.example",
        "\uff11\uff16\uff19.254.169.254",
        "x" * 64,
        "x." * 128 + "x",
        "example.254",
        "example.0xfe",
        "1.2.3.4.5",
        "1.2.3.256",
        "4294967296",
        "1.16777216",
        "0169.0254.0169.0254",
        "08",
        "fe80::1%eth0",
        "fd00:ec2::254%25eth0",
        "[::1]",
        "1:2",
        "::1.2.3.4.",
    ],
)
def test_what_is_neither_a_name_nor_an_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        normal_host(host)


@pytest.mark.parametrize(
    "host",
    [
        "\uff11\uff16\uff19.\uff12\uff15\uff14.169.254",  # full-width digits
        "169\u3002254\u3002169\u3002254",  # ideographic full stops
        "169\uff0e254\uff61169.254\u3002",  # full-width and half-width ones
        "\u2460\u2465\u2468.254.169.254",  # digits in circles
    ],
)
def test_what_unicode_makes_of_digits_and_dots_is_read_as_digits_and_dots(host: str) -> None:
    ascii_host = URL(f"http://{host}/").raw_host
    assert ascii_host is not None
    assert normal_host(ascii_host) == "169.254.169.254"
