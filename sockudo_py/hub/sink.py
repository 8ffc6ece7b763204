"""A client's way out: what hub and node ask of every transport."""

from collections.abc import Callable
from typing import Final, Protocol

from sockudo_py.protocol.session import Session

# Returns a message, which is UTF-8, as a transport writes it. Encoded messages can be joined to one write. Clients that
# have the same function (not an equal one: outboxes ask with ``is``) share what was encoded and joined.
Encoding = Callable[[bytes], bytes]

PACED: Final = 1  # reasons for which a client is not read: it asks for more than its share ...
CROWDING: Final = 2  # ... or fills what webhooks wait in


class Sink(Protocol):
    """A client's way out. It never raises, never blocks, and doesn't call the hub or the node before it returns.

    (But ``release`` does, which is called from nowhere within them.)
    """

    session: Session

    @property
    def encoding(self) -> Encoding:
        """How messages are written to this client. It never changes."""

    def write(self, data: bytes) -> None:
        """Send one or more messages in the sink's encoding; ignored after ``close``."""

    def ping(self) -> None:
        """Ask for a sign of life below the messages, where the transport can; ignored after ``close``."""

    def close(self, code: int, reason: str) -> None:
        """Send what was written before, then this code and reason, then close the connection."""

    def hold(self, reason: int) -> None:
        """Read nothing more from the client, what came already included, until every reason is released.

        It stays alive meanwhile, however silent, and may be closed.
        """

    def release(self, reason: int) -> None:
        """Take a reason back, and go on where reading was stopped if it was the last one."""
