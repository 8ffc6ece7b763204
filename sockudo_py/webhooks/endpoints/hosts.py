"""One normal form for hosts of URLs, so that guard, name service and proxy read a host alike. Pure.

``127.1``, ``0x7f000001``, ``2130706433.`` and ``127.0.0.1`` are one address, but not every program knows that.
"""

import ipaddress
import re

_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")  # in ASCII, as IDNA writes it
_MAX_NAME = 254  # with a dot at the end
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def normal_host(host: str) -> str:
    """Return an address as ``ipaddress`` writes it, or a name in lower case. Raises ValueError for what is neither.

    IPv4 addresses are read as browsers and ``inet_aton`` do: up to four numbers, decimal, octal or hexadecimal, the
    last one for all bytes that are left. No name ends in a number, so what does and is no address is refused. So are
    zones (``fe80::1%eth0``: only link-local addresses need one) and percent signs.

    Args:
        host: Without brackets, and in ASCII, as ``yarl`` has it in ``raw_host``.
    """
    text = host.lower()
    if ":" in text:
        if "%" in text:
            raise ValueError("an address with a zone")
        return str(ipaddress.IPv6Address(text))
    if _NAME.fullmatch(text) is None or len(text) > _MAX_NAME:
        raise ValueError("neither a name nor an address")
    labels = text.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]) is None:
        return text
    return str(_ipv4(labels))


def _ipv4(labels: list[str]) -> ipaddress.IPv4Address:
    if len(labels) > 4 or not all(_NUMBER.fullmatch(label) for label in labels):
        raise ValueError("ends in a number, but is no address")
    *first, last = map(_number, labels)
    if any(number > 0xFF for number in first) or last >= 1 << 8 * (4 - len(first)):
        raise ValueError("a number of the address is too large")
    high = sum(number << 8 * (3 - place) for place, number in enumerate(first))
    return ipaddress.IPv4Address(high | last)


def _number(label: str) -> int:
    if label.startswith("0x"):
        return int(label[2:] or "0", 16)
    return int(label, 8 if label.startswith("0") else 10)
