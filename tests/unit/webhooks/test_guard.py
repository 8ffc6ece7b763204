import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.webhooks.endpoints.guard import AddressGuard, BlockedAddress, redact_url, url_problems

PUBLIC = ["1.1.1.1", "93.184.216.34", "8.8.8.8", "2606:4700::1111", "2a00:1450:4001:80e::200e", "::ffff:8.8.8.8"]
PRIVATE = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "233.252.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
]
METADATA = [
    "169.254.169.254",
    "169.254.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_dialled(address: str) -> None:
    assert AddressGuard().permits(address)


@pytest.mark.parametrize("address", [*PRIVATE, *METADATA])
def test_private_addresses_may_not_in_whatever_spelling(address: str) -> None:
    assert not AddressGuard().permits(address)


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "1.2.3.4.5"])
def test_what_is_no_address_may_not(address: str) -> None:
    assert not AddressGuard(allow_private=True).permits(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.5", "::1", "fd12::1", "100.64.7.7"])
def test_endpoints_of_the_operator_may_be_private(address: str) -> None:
    assert AddressGuard(allow_private=True).permits(address)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_services_are_out_of_reach_for_the_operator_too(address: str) -> None:
    everything = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    assert not AddressGuard(allow_private=True, allowed=everything).permits(address)


def test_a_network_can_be_opened_and_another_one_closed() -> None:
    guard = AddressGuard(
        allowed=[ipaddress.ip_network("10.1.0.0/16")],
        denied=[ipaddress.ip_network("10.1.9.0/24"), ipaddress.ip_network("1.1.1.0/24")],
    )
    assert guard.permits("10.1.2.3")
    assert guard.permits("::ffff:10.1.2.3")
    assert not guard.permits("10.2.2.3")
    assert not guard.permits("10.1.9.1")
    assert not guard.permits("1.1.1.1")


@given(st.ip_addresses())
def test_what_python_calls_private_never_passes(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if not address.is_global:
        assert not AddressGuard().permits(str(address))


def test_a_socket_is_made_only_for_an_address_that_passed() -> None:
    guard = AddressGuard(allow_private=True)
    info = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))
    with guard.socket_factory(info) as made:
        assert made.family == socket.AF_INET
    with pytest.raises(BlockedAddress, match="address not allowed"):
        AddressGuard().socket_factory(info)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/a/b?c=d",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "http://10.0.0.1/",
        "http://[::1]:8000/",
        "http://metadata:8000/",  # may be the operator's own machine
        "http://my_host.example.com./",
        "http://metadata.google.internal.example.com/",
        "https://a/" + "x" * 2038,
    ],
)
def test_an_ordinary_url_is_taken(url: str) -> None:
    assert url_problems(url) == []


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://example.com/", "must begin with"),
        ("javascript:alert(1)", "must begin with"),
        ("example.com/hook", "must begin with"),
        ("", "must begin with"),
        ("https:///path", "no host"),
        ("https://user:pass@example.com/", "headers.Authorization"),
        ("https://user@example.com/", "headers.Authorization"),
        ("https://example.com/#frag", "fragment"),
        ("https://example.com/a b", "space"),
        ("https://example.com/\r\nX-Evil: 1", "control"),
        ("https://example.com:99999/", "not a URL"),
        ("https://example.com:0/", "port 0"),
        ("https://[::1/", "not a URL"),
        ("https://a/" + "x" * 2039, "longer than 2048"),
        ("https://169.254.169%2e254/", "neither a name nor an address"),
        ("https://example.com../", "neither a name nor an address"),
        ("https://1.2.3.256/", "neither a name nor an address"),
        ("https://[fd12::1%25eth0]/", "neither a name nor an address"),
        ("http://169.254.169.254/latest", "metadata services"),
        ("http://2852039166./", "metadata services"),
        ("http://0xa9.254.0251.0376/", "metadata services"),
        ("http://[::ffff:0:a9fe:a9fe]/", "metadata services"),
        ("http://[fe80::1]/", "link-local"),
        ("http://168.63.129.16/", "metadata services"),
        ("http://Metadata.Google.Internal./", "metadata services"),
        ("http://x.metadata.goog/", "metadata services"),
    ],
)
def test_another_url_is_refused_without_repeating_it(url: str, problem: str) -> None:
    problems = url_problems(url)
    assert len(problems) == 1
    assert problem in problems[0]
    assert "pass@" not in problems[0]


def test_https_can_be_required() -> None:
    assert url_problems("http://example.com/", require_https=True) == ["url: must begin with https://"]
    assert url_problems("https://example.com/", require_https=True) == []


def test_ports_can_be_limited() -> None:
    assert url_problems("https://example.com/", allowed_ports={443}) == []
    assert url_problems("https://example.com:22/", allowed_ports={443}) == [
        "url: port 22 is not among the allowed ports"
    ]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (None, None),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/hook", "https://example.com/..."),
        ("https://user:pass@example.com:8443/hook?token=hush#x", "https://example.com:8443/..."),
        ("https://[", "(not a URL)"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str | None, shown: str | None) -> None:
    assert redact_url(url) == shown


@pytest.mark.parametrize(
    "host",
    [
        "metadata.google.internal",
        "metadata.google.internal.",
        "a.metadata.google.internal",
        "metadata.goog",
        "metadata",
        "metadata.",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata.tencentyun.com",
        "169.254.169.254",
        "::a9fe:a9fe",
        "fd00:ec2::23",
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_no_proxy_is_asked_for_a_metadata_service(host: str, trusted: bool) -> None:
    assert not AddressGuard(allow_private=trusted).permits_unseen(host)


@pytest.mark.parametrize("host", ["localhost", "localhost.", "app.localhost", "127.0.0.1", "10.0.0.1", "::1"])
def test_only_the_operators_endpoints_may_be_where_a_proxy_itself_is(host: str) -> None:
    assert AddressGuard(allow_private=True).permits_unseen(host)
    assert not AddressGuard().permits_unseen(host)


@pytest.mark.parametrize("host", ["example.com", "example.com.", "mymetadata.goog", "metadata.example", "1.1.1.1"])
def test_a_proxy_may_be_asked_for_everything_else(host: str) -> None:
    assert AddressGuard().permits_unseen(host)
