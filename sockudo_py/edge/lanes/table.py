"""The lanes of this server, in their order."""

import asyncio
from collections.abc import Callable, Sequence

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.lane import Lane
from sockudo_py.edge.lanes.fallback import FallbackLane
from sockudo_py.edge.lanes.health import HealthLane
from sockudo_py.edge.lanes.publish import PublishLane, RequestApi
from sockudo_py.edge.websocket.lane import WebSocketLane


def usual_lanes(
    context: FrontContext,
    api: RequestApi,
    fallback: Callable[[], asyncio.Protocol],
    transports: Sequence[Lane] = (),
) -> tuple[Lane, ...]:
    """Return the lanes: publish, health, WebSocket, HTTP transports, and what another server goes on with.

    Args:
        context: The server's.
        api: Answers publishes and health checks.
        fallback: Makes the protocol of a connection that the other server (an aiohttp ``web.Server``) goes on with.
        transports: The lanes of the HTTP transports (``edge.xhr.lanes``); none where they are off.
    """
    return (
        PublishLane(api, context.prefix),
        HealthLane(api, context.prefix),
        WebSocketLane(context),
        *transports,
        FallbackLane(fallback, context.connections.open),
    )
