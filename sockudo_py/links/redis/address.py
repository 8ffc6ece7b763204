"""Where a Redis is: at a URL, where sentinels say that the master is, or on the masters of a cluster. Pure."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zlib import crc32

Host = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Tls:
    """How sentinels are reached with TLS. ``verify``: their certificates are checked."""

    verify: bool = True
    ca_path: str | None = None
    certificate_path: str | None = None
    key_path: str | None = None

    def options(self) -> dict[str, Any]:
        """Return it as redis-py takes it."""
        return {
            "ssl": True,
            "ssl_cert_reqs": "required" if self.verify else "none",
            "ssl_check_hostname": self.verify,
            "ssl_ca_certs": self.ca_path,
            "ssl_certfile": self.certificate_path,
            "ssl_keyfile": self.key_path,
        }


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Some sentinels, and the name that they have for the master."""

    hosts: tuple[Host, ...]
    name: str
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is.

    Attributes:
        url: ``redis://``, ``rediss://`` (TLS) or ``unix://`` URL; its query sets further options of redis-py, such as
            ``ssl_ca_certs``. With ``sentinels`` or ``nodes`` only its login, database and options count.
        sentinels: They know the master.
        nodes: Some nodes of a cluster.
    """

    url: str = field(repr=False)
    sentinels: Sentinels | None = None
    nodes: tuple[Host, ...] = ()

    @property
    def where(self) -> str:
        """What may be shown of it."""
        if self.sentinels is not None:
            return f"{self.sentinels.name} of the sentinels {shown(self.sentinels.hosts)}"
        if self.nodes:
            return f"the cluster of {shown(self.nodes)}"
        return _where(self.url)

    @property
    def database(self) -> int:
        """The number of the database, as redis-py reads the URL."""
        parts = urlsplit(self.url)
        (number,) = parse_qs(parts.query).get("db", ["" if parts.scheme == "unix" else parts.path.strip("/")])[-1:]
        return int(number) if number.isdecimal() else 0


def address_of(where: str | RedisAddress) -> RedisAddress:
    """Return the address that a plain URL means."""
    return RedisAddress(where) if isinstance(where, str) else where


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that a key belongs to. Every version must say the same."""
    return crc32(key) % partitions


def tagged(key: bytes, partitions: int | None) -> bytes:
    """Return a key with the hash tag of its partition before it, as ``{17}:KEY``; without partitions as it is."""
    return key if partitions is None else b"{%d}:%b" % (partition_of(key, partitions), key)


def shown(hosts: tuple[Host, ...]) -> str:
    """Return hosts as people write them, the first few of them."""
    names = [f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name, port in hosts[:5]]
    return ", ".join(names) + (", ..." if len(hosts) > 5 else "")


def _where(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return parts.path
    try:
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}"
    except ValueError:  # a port that is none
        return parts.hostname or "localhost"
