"""Addresses that webhooks must not reach: the tables, and every way in which IPv6 carries an IPv4 address. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence
from functools import lru_cache

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


# Metadata services hand out credentials to anyone: never a webhook receiver, not even for the operator.
METADATA = _networks(
    "169.254.0.0/16",  # RFC 3927: link-local, where clouds put their services
    "169.254.169.254/32",  # AWS EC2, "Access instance metadata"; Google, Azure, Oracle and most others likewise
    "169.254.170.2/32",  # AWS ECS, "Task IAM role"
    "169.254.170.23/32",  # AWS EKS, "Set up the Amazon EKS Pod Identity Agent"
    "169.254.42.42/32",  # Scaleway: cloud-init, "Scaleway"
    "169.254.0.23/32",  # Tencent, what metadata.tencentyun.com leads to
    "100.100.100.200/32",  # Alibaba ECS, "View instance metadata"
    "192.0.0.192/32",  # Oracle Compute Classic, "Retrieving Instance Metadata"
    "168.63.129.16/32",  # Azure, "What is IP address 168.63.129.16?": the wire server knows the secrets of its machine
    "fe80::/10",  # RFC 4291 2.5.6: link-local; fe80::a9fe:a9fe is OpenStack, Nova, "Metadata service"
    "fd00:ec2::/32",  # AWS VPC, "IPv6 VPC CIDR blocks": for its services; ::254 metadata of EC2, ::23 EKS Pod Identity
    "fd20:ce::254/128",  # Google Compute Engine, "View and query VM metadata"
    "fd00:c1::a9fe:a9fe/128",  # Oracle Cloud: its Python SDK, "instance_principals_security_token_signer"
    "fd00:42::42/128",  # Scaleway: cloud-init, "Scaleway"
    "fd00:a9fe:a9fe::1/128",  # Akamai (Linode), "Metadata service API"
    "fd00:100::100:200/128",  # Alibaba ECS over IPv6; found in the lists of other guards, not in its documents
)
METADATA_NAMES = (
    "metadata.google.internal",  # Google Compute Engine, "View and query VM metadata"
    "metadata.goog",  # the same
    "instance-data.ec2.internal",  # AWS EC2: cloud-init, "Amazon EC2"
    "metadata.tencentyun.com",  # Tencent CVM, "Querying instance metadata"
    "api.metadata.cloud.ibm.com",  # IBM Cloud, "VPC Identity API"
    "metadata.azure.internal",  # found in the lists of other guards, not in Azure's documents
)
# Where a name service completes names, these are two of the above. Elsewhere they may be anybody's.
SHORT_METADATA_NAMES = ("metadata", "instance-data")

# IANA's IPv4 Special-Purpose Address Registry (RFC 6890), without what it calls globally reachable.
PRIVATE_V4 = _networks(
    "0.0.0.0/8",  # RFC 791: this network
    "10.0.0.0/8",  # RFC 1918
    "100.64.0.0/10",  # RFC 6598: behind a carrier's NAT
    "127.0.0.0/8",  # RFC 1122: loopback
    "169.254.0.0/16",  # RFC 3927: link-local
    "172.16.0.0/12",  # RFC 1918
    "192.0.0.0/24",  # RFC 6890: protocol assignments
    "192.0.2.0/24",  # RFC 5737: documentation
    "192.88.99.0/24",  # RFC 7526: relays of 6to4, given up
    "192.168.0.0/16",  # RFC 1918
    "198.18.0.0/15",  # RFC 2544: benchmarks
    "198.51.100.0/24",  # RFC 5737
    "203.0.113.0/24",  # RFC 5737
    "224.0.0.0/4",  # RFC 1112: multicast
    "240.0.0.0/4",  # RFC 1112: reserved, and broadcast
)
# RFC 4291 2.4 and IANA: global unicast. All else is private: loopback, NAT64, unique local, link-local, multicast ...
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
# IANA's IPv6 Special-Purpose Address Registry, as far as it lies in there.
PRIVATE_V6 = _networks(
    "2001::/23",  # RFC 2928: protocol assignments, Teredo among them
    "2001:db8::/32",  # RFC 3849: documentation
    "2002::/16",  # RFC 3056: 6to4
    "3fff::/20",  # RFC 9637: documentation
)

_METADATA_HOSTS = tuple(network for network in METADATA if network.prefixlen == network.max_prefixlen)
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")
_NAT64_LOCAL_USE = ipaddress.IPv6Network("64:ff9b:1::/48")
# IPv4 in the last 32 bits
_LAST_32 = _networks(
    "::/96",  # RFC 4291 2.5.5.1: IPv4-compatible
    "::ffff:0:0:0/96",  # RFC 2765 2.1: IPv4-translated
    "64:ff9b::/96",  # RFC 6052 2.1: NAT64, well-known prefix
)
_ISATAP = 0x0000_5EFE  # RFC 5214 6.1: the upper half of an interface identifier, whose bits "u" and "g" may be set
_ISATAP_MASK = 0xFCFF_FFFF
_ALL = 0xFFFF_FFFF


def plain(ip: IPAddress) -> IPAddress:
    """Return the address that the system dials: of an IPv4-mapped one (RFC 4291 2.5.5.2) the IPv4 address."""
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return ip if mapped is None else mapped


def plain_network(network: IPNetwork) -> IPNetwork:
    """Return a network as ``plain`` returns its addresses."""
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return ipaddress.IPv4Network((int(network.network_address) & _ALL, network.prefixlen - 96))
    return network


def within(ip: IPAddress, networks: Sequence[IPNetwork]) -> bool:
    """Return whether one of the networks holds the address."""
    return any(ip.version == network.version and ip in network for network in networks)


@lru_cache(maxsize=1024)
def is_metadata(ip: IPAddress) -> bool:
    """Return whether a plain address leads to a metadata service, by itself or by the IPv4 address that it carries."""
    if within(ip, METADATA):
        return True
    if isinstance(ip, ipaddress.IPv4Address):
        return False
    return any(within(inner, METADATA) for inner in carried(ip)) or any(
        # Any network may have a NAT64 prefix of its own, and ours can't be known. Of the single addresses nobody else
        # has the bits by chance; of a whole network somebody may, so there all the other bits have to be right, too.
        within(inner, METADATA if well_formed else _METADATA_HOSTS)
        for inner, well_formed in _nat64(int(ip))
    )


@lru_cache(maxsize=1024)
def is_public(ip: IPAddress) -> bool:
    """Return whether a plain address belongs to the public internet, and the IPv4 address that it carries as well."""
    if isinstance(ip, ipaddress.IPv4Address):
        return not within(ip, PRIVATE_V4)
    return ip in GLOBAL_V6 and not within(ip, PRIVATE_V6) and not any(within(v4, PRIVATE_V4) for v4 in carried(ip))


def carried(ip: IPAddress) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address carries for certain: a tunnel or translator may send there."""
    if isinstance(ip, ipaddress.IPv4Address):
        return
    bits = int(ip)
    if within(ip, _LAST_32) and bits > 1:  # not :: and ::1
        yield ipaddress.IPv4Address(bits & _ALL)
    elif ip in _SIX_TO_FOUR:  # RFC 3056 2
        yield ipaddress.IPv4Address(bits >> 80 & _ALL)
    elif ip in _TEREDO:  # RFC 4380 4: the server, and the client with all bits turned over
        yield ipaddress.IPv4Address(bits >> 64 & _ALL)
        yield ipaddress.IPv4Address(~bits & _ALL)
    elif ip in _NAT64_LOCAL_USE:  # RFC 8215: of any length of RFC 6052
        for inner, _ in _nat64(bits):
            yield inner
    if bits >> 32 & _ISATAP_MASK == _ISATAP:
        yield ipaddress.IPv4Address(bits & _ALL)


def _nat64(bits: int) -> Iterator[tuple[ipaddress.IPv4Address, bool]]:
    """Yield the IPv4 address for each length of prefix in RFC 6052 2.2, and whether the other bits are as it demands.

    Bits 64 to 71 ("u") are skipped and zero, as is what follows the address.
    """
    unset = bits >> 56 & 0xFF == 0
    for length in (32, 40, 48, 56, 64):
        before = 64 - length  # bits of the address in front of "u"
        behind = 32 - before
        suffix = 56 - behind
        high = bits >> 64 & (1 << before) - 1
        low = bits >> suffix & (1 << behind) - 1
        yield ipaddress.IPv4Address(high << behind | low), unset and bits & (1 << suffix) - 1 == 0
    yield ipaddress.IPv4Address(bits & _ALL), unset
