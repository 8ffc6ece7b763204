"""Who caused a change. Events that wait can so be counted by connection and by address."""

UNIX = "unix socket"  # in the log, where there is no address


class Source:
    """A connection, as what it caused names it: one object per connection, compared by identity, never changed.

    ``address`` is the client's, as far as proxies may tell it; of an IPv6 client its /64, which is what one client has;
    empty on a Unix socket.
    """

    __slots__ = ("address", "app_id", "socket_id")  # no dataclass: a frozen one takes twice as long, at every connect

    def __init__(self, app_id: str, socket_id: str, address: str = "") -> None:
        self.app_id = app_id
        self.socket_id = socket_id
        self.address = address

    @property
    def shown(self) -> str:
        """The address, for the log."""
        return self.address or UNIX

    def __repr__(self) -> str:
        return f"Source({self.app_id!r}, {self.socket_id!r}, {self.address!r})"
