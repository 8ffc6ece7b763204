"""Sockets, subscriptions and the channel outbox of this node."""

from sockudo_py.hub.hub import Hub
from sockudo_py.hub.outbox import Cursor
from sockudo_py.hub.sink import CROWDING, PACED, Encoding, Sink

__all__ = ["CROWDING", "PACED", "Cursor", "Encoding", "Hub", "Sink"]
