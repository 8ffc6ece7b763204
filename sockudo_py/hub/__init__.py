"""Sockets, subscriptions and the channel outbox of this node."""

from sockudo_py.hub.hub import Hub
from sockudo_py.hub.outbox import Share, Sink

__all__ = ["Hub", "Share", "Sink"]
