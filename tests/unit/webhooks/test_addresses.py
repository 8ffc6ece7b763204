import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sockudo_py.webhooks.endpoints.addresses import METADATA, PRIVATE_V4, IPNetwork
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from tests.unit.webhooks.notations import IN_IPV6, ISATAP, MAPPED, NEVER_PUBLIC, OWN_NAT64, IPv4, IPv6, nat64

EVERYTHING = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
GUARDS = [AddressGuard(), AddressGuard(allow_private=True), AddressGuard(allowed=EVERYTHING)]
METADATA_V4 = [network for network in METADATA if network.version == 4]

metadata = st.sampled_from(METADATA).flatmap(lambda network: st.ip_addresses(network=network))
metadata_v4 = st.sampled_from(METADATA_V4).flatmap(lambda network: st.ip_addresses(v=4, network=network))
private_v4 = st.sampled_from(PRIVATE_V4).flatmap(lambda network: st.ip_addresses(v=4, network=network))
# Without 169.254 at any place: shifted by an octet, NAT64 of another length would find it.
public_v4 = st.ip_addresses(v=4).filter(
    lambda ip: ip.is_global and b"\xa9\xfe" not in ip.packed and AddressGuard().permits(str(ip))
)


@given(metadata)
def test_no_guard_lets_a_metadata_address_pass(address: IPv4 | IPv6) -> None:
    assert not any(guard.permits(str(address)) for guard in GUARDS)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "169.254.42.42",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
        "fd00:42::42",
        "fd00:a9fe:a9fe::1",
        "fd00:100::100:200",
        "fe80::a9fe:a9fe%eth0",
    ],
)
def test_the_metadata_services_of_the_clouds_are_known(address: str) -> None:
    assert not any(guard.permits(address) for guard in GUARDS)


@pytest.mark.parametrize("notation", IN_IPV6)
@given(metadata_v4)
def test_a_metadata_address_does_not_pass_inside_an_ipv6_address(notation: str, address: IPv4) -> None:
    assert not any(guard.permits(str(IN_IPV6[notation](address))) for guard in GUARDS)


@pytest.mark.parametrize("length", [32, 40, 48, 56, 64, 96])
@given(
    st.sampled_from([network for network in METADATA_V4 if network.prefixlen == 32]),
    st.ip_addresses(v=6, network="2000::/3"),
    st.integers(0, 255),
    st.integers(min_value=0),
)
def test_a_translator_that_ignores_the_other_bits_does_not_help(
    length: int, network: IPNetwork, prefix: IPv6, u: int, suffix: int
) -> None:
    write = nat64(length, str(prefix), u=u, suffix=suffix)
    assert not any(guard.permits(str(write(IPv4(int(network.network_address))))) for guard in GUARDS)


@pytest.mark.parametrize("notation", [*MAPPED, *NEVER_PUBLIC, *ISATAP])
@given(private_v4)
def test_a_private_address_does_not_pass_inside_an_ipv6_address(notation: str, address: IPv4) -> None:
    assert not AddressGuard().permits(str(IN_IPV6[notation](address)))


@pytest.mark.parametrize("notation", [*MAPPED, *OWN_NAT64, *ISATAP])
@given(public_v4)
def test_a_public_address_passes_where_what_carries_it_is_public_too(notation: str, address: IPv4) -> None:
    assert AddressGuard().permits(str(IN_IPV6[notation](address)))


@pytest.mark.parametrize("notation", NEVER_PUBLIC)
@given(public_v4)
def test_a_public_address_does_not_pass_in_what_is_never_public(notation: str, address: IPv4) -> None:
    carrier = IN_IPV6[notation](address)
    assert not AddressGuard().permits(str(carrier))
    assert AddressGuard(allow_private=True).permits(str(carrier)) == (not carrier.is_link_local)


@pytest.mark.parametrize("notation", [*MAPPED, *NEVER_PUBLIC, *ISATAP])
@given(public_v4)
def test_a_network_that_the_operator_denies_is_denied_inside_ipv6_addresses(notation: str, address: IPv4) -> None:
    guard = AddressGuard(allow_private=True, denied=[ipaddress.ip_network(address)])
    assert not guard.permits(str(IN_IPV6[notation](address)))


def test_networks_may_be_given_as_ipv4_mapped_ones() -> None:
    network = ipaddress.ip_network("::ffff:10.1.0.0/112")
    assert AddressGuard(allowed=[network]).permits("10.1.2.3")
    assert not AddressGuard(allowed=[network]).permits("10.2.2.3")
    assert not AddressGuard(allow_private=True, denied=[network]).permits("10.1.2.3")


@pytest.mark.parametrize("address", ["2a00:a9fe::1", "2a00:1450:a9fe:1::1", "2a00:1450::8a1:1:a9fe:1"])
def test_a_public_address_may_have_bits_that_look_link_local(address: str) -> None:
    assert AddressGuard().permits(address)
