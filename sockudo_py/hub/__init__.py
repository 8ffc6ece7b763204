"""Sockets, subscriptions and the channel outbox of this node."""

from sockudo_py.hub.hub import Hub
from sockudo_py.hub.outbox import CROWDING, PACED, Share, Sink

__all__ = ["CROWDING", "PACED", "Hub", "Share", "Sink"]
