"""Makes the lanes of pusher-js's HTTP transports, with their shared state."""

import asyncio

from sockudo_py.edge.connection import HttpConnection
from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.lane import Lane
from sockudo_py.edge.xhr.receive import ReceiveLane
from sockudo_py.edge.xhr.requests import XhrPaths
from sockudo_py.edge.xhr.send import SendLane
from sockudo_py.metrics import Metrics
from sockudo_py.relays.base import Relay
from sockudo_py.xhr.context import XhrContext, XhrLimits
from sockudo_py.xhr.relaying import Relaying


def xhr_lanes(
    context: FrontContext, path: str, limits: XhrLimits, metrics: Metrics, relay: Relay | None = None
) -> tuple[Lane, ...]:
    """Return the lanes of requests to send and to receive.

    Args:
        context: The server's.
        path: What stands between the prefix of all paths and ``/app``; without a slash at its end.
        limits: Bounds of the transports.
        metrics: Counts sessions and requests.
        relay: The way to other nodes; None: there are none.
    """

    def give_back(transport: asyncio.Transport, secure: bool, received: bytes) -> None:
        HttpConnection(context, secure=secure).come_back(transport, received)

    connections = context.connections
    transports = XhrContext(
        node=connections.node,
        wheel=connections.wheel,
        clock=connections.clock,
        call_soon=context.call_soon,
        metrics=metrics,
        connections=connections.open,
        idle=context.idle,
        unread=context.unread,
        count_late=context.count_late,
        count_dropped=context.count_dropped,
        give_back=give_back,
        date=context.responses.date,
        closing=lambda: context.closing,
        limits=limits,
    )
    paths = XhrPaths(context.prefix + path)
    relaying = None if relay is None else Relaying(transports, relay)
    if relaying is not None:
        context.on_closing = relaying.leave
    return SendLane(context, transports, paths, relaying), ReceiveLane(context, transports, paths, relaying)
