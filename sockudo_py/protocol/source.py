"""Who caused a change: what is waiting for somebody else because of it can be told by connection and by address."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A connection, as what it caused names it: one object per connection, compared by identity.

    ``address`` is the client's, as far as proxies may tell it; of an IPv6 client its /64, which is what one client has;
    empty on a Unix socket.
    """

    app_id: str
    socket_id: str
    address: str = ""
