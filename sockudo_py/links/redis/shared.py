"""What the connections to Redis that several users share have in common, be it one server or a cluster."""

from typing import Any, Protocol

from sockudo_py.links.redis.stream import Answer
from sockudo_py.links.redis.wire import Word

WARN_EVERY = 30.0  # seconds between two lines of the log about the same trouble
FIRST_PAUSE = 0.02  # seconds between two attempts to connect ...
LONGEST_PAUSE = 0.5
HELD = 1.0  # seconds after which a connection counts as a good one: the next attempt need not wait long

MOVED = (
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "READONLY",
)  # beginnings of errors: look for the master


class User(Protocol):
    """Learns when the connection comes and goes."""

    def connected(self, run_id: str) -> None:
        """The connection is there. ``run_id`` is another one after Redis was restarted or replaced.

        Call ``Way.is_ready`` when it can be used.
        """

    def lost(self) -> None:
        """The connection is gone; its pending commands get no answers."""

    def message(self, topic: bytes, payload: bytes) -> None:
        """Take a message; ``topic`` comes without the prefix."""


class Way(Protocol):
    """The way of one user to the server that has its keys."""

    timeout: float
    publish_command: str  # PUBLISH, or SPUBLISH in a cluster

    def add(self, prefix: bytes, user: User) -> None:
        """Name the user. A prefix ends with the end of its hash tag and a colon, ``}:``."""

    def send(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, and nothing when the connection is lost before."""

    async def query(self, *words: Word) -> Any:
        """Return the answer to a command. Raises ``Unavailable``."""

    def subscribe(self, topic: bytes) -> None:
        """Get the messages of a topic."""

    def unsubscribe(self, topic: bytes) -> None:
        """Get the messages of a topic no longer."""

    def publish(self, topic: bytes, payload: bytes) -> bool:
        """Publish; return False when that is lost."""

    def fail(self, reason: str) -> None:
        """Give the connection up, and begin anew."""

    def is_ready(self, prefix: bytes) -> None:
        """The user can be used again."""

    def refused(self, problem: str) -> None:
        """The user can't use what it found there: ``open`` of the connections raises that."""


class Shared(Protocol):
    """Connections that several users share."""

    timeout: float
    name: str

    async def open(self) -> None:
        """Connect for the first time, check the servers, and wait until all users are ready.

        Each call needs one of ``close``; only the first connects. Raises ``Unavailable``, or ``SockudoError`` for a
        server that can't be used.
        """

    async def close(self) -> None:
        """Close the connections, when nobody else holds them open."""

    @property
    def ready(self) -> bool:
        """Whether commands can be answered now, of a cluster at least some."""

    def way(self, prefix: bytes) -> Way:
        """Return the way to the server that has the keys with a prefix."""

    def command(self, *words: Word, then: Answer) -> None:
        """Send a command; ``then`` gets the answer, or ``Unavailable``, exactly once."""

    async def query_each(self, *words: Word) -> list[Any]:
        """Return the answers of all servers to a command. Raises ``Unavailable``."""


def fields(answer: object) -> dict[str, str]:
    """Return the fields of an ``INFO`` answer."""
    lines = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer)
    return dict(line.split(":", 1) for line in lines.split("\r\n") if ":" in line)
