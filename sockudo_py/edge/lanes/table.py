"""The lanes of this server, in their order."""

import asyncio
from collections.abc import Callable

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.lane import Lane
from sockudo_py.edge.lanes.fallback import FallbackLane
from sockudo_py.edge.lanes.health import HealthLane
from sockudo_py.edge.lanes.publish import PublishLane, RequestApi
from sockudo_py.edge.websocket.lane import WebSocketLane


def usual_lanes(context: FrontContext, api: RequestApi, fallback: Callable[[], asyncio.Protocol]) -> tuple[Lane, ...]:
    """Return the lanes: publish, health, WebSocket, and what another server goes on with.

    Args:
        context: The server's.
        api: Answers publishes and health checks.
        fallback: Makes the protocol of a connection that the other server (an aiohttp ``web.Server``) goes on with.
    """
    return (
        PublishLane(api, context.prefix),
        HealthLane(api, context.prefix),
        WebSocketLane(context),
        FallbackLane(fallback, context.connections.open),
    )
