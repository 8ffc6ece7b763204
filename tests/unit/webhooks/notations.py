"""Ways to write an IPv4 address: as the host of a URL, and inside an IPv6 address."""

import ipaddress
from collections.abc import Callable, Mapping

from hypothesis import strategies as st

IPv4 = ipaddress.IPv4Address
IPv6 = ipaddress.IPv6Address
_ALL = 2**32 - 1


def nat64(length: int, prefix: str, *, u: int = 0, suffix: int = 0) -> Callable[[IPv4], IPv6]:
    """RFC 6052: the address behind a prefix of ``length`` bits, around the octet ``u``, and ``suffix`` behind it."""

    def write(v4: IPv4) -> IPv6:
        octets = IPv6(prefix).packed[: length // 8] + v4.packed
        if length < 96:
            octets = octets[:8] + bytes([u]) + octets[8:]
        rest = 16 - len(octets)
        return IPv6(octets + (suffix & 256**rest - 1).to_bytes(rest, "big"))

    return write


def _last(prefix: str) -> Callable[[IPv4], IPv6]:
    return lambda v4: IPv6(int(IPv6(prefix)) | int(v4))


OWN_NAT64: Mapping[str, Callable[[IPv4], IPv6]] = {
    f"NAT64 /{length} of a network": nat64(length, "2a0b:c1d2:e3f4:65a6:7:8:9:a")
    if length < 96
    else nat64(96, "2a0b:c1d2:e3f4:65a6:0:8:9:a")
    for length in (32, 40, 48, 56, 64, 96)
}
ISATAP: Mapping[str, Callable[[IPv4], IPv6]] = {
    f"ISATAP {upper}": _last(f"2a0b:c1d2:e3f4:65a6:{upper}:5efe::") for upper in ("0", "100", "200", "300")
}
MAPPED: Mapping[str, Callable[[IPv4], IPv6]] = {"IPv4-mapped": _last("::ffff:0:0")}
# None of these is global unicast, whatever it carries.
NEVER_PUBLIC: Mapping[str, Callable[[IPv4], IPv6]] = {
    "IPv4-compatible": _last("::"),
    "IPv4-translated": _last("::ffff:0:0:0"),
    "6to4": lambda v4: IPv6(0x2002 << 112 | int(v4) << 80 | 0x1_0000_0000_0001),
    "Teredo server": lambda v4: IPv6(0x2001_0000 << 96 | int(v4) << 64 | 0x8000_F227_BEBE_FEBE),
    "Teredo client": lambda v4: IPv6(0x2001_0000_4136_E378_8000_F227 << 32 | int(v4) ^ _ALL),
    "NAT64 well-known": _last("64:ff9b::"),
    **{f"NAT64 local use /{length}": nat64(length, "64:ff9b:1::") for length in (48, 56, 64, 96)},
    "ISATAP, unique local": _last("fd12:3456:789a:1:0:5efe::"),
    "ISATAP, link-local": _last("fe80::5efe:0:0"),
}
IN_IPV6: Mapping[str, Callable[[IPv4], IPv6]] = {**MAPPED, **NEVER_PUBLIC, **OWN_NAT64, **ISATAP}


@st.composite
def ipv4_hosts(draw: st.DrawFn, addresses: st.SearchStrategy[IPv4]) -> tuple[IPv4, str]:
    """An address, and a host of a URL that means it: 1 to 4 numbers of any base, with zeros, with a dot at the end."""
    address = draw(addresses)
    count = draw(st.integers(1, 4))
    rest = 8 * (5 - count)
    numbers = [*address.packed[: count - 1], int(address) & (1 << rest) - 1]
    host = ".".join(draw(st.sampled_from((_decimal, _octal, _hexadecimal, _upper)))(draw, each) for each in numbers)
    return address, host + draw(st.sampled_from(("", ".")))


def _decimal(_: st.DrawFn, number: int) -> str:
    return str(number)


def _octal(draw: st.DrawFn, number: int) -> str:
    return f"{'0' * draw(st.integers(1, 3))}{number:o}"


def _hexadecimal(draw: st.DrawFn, number: int) -> str:
    return f"0x{'0' * draw(st.integers(0, 3))}{number:x}"


def _upper(draw: st.DrawFn, number: int) -> str:
    return _hexadecimal(draw, number).upper()
