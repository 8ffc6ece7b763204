"""The port of clients and of the HTTP API, as the configuration asks for it."""

import asyncio
import ssl
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

from sockudo_py.apps.base import AppManager
from sockudo_py.clients.wheel import Wheel
from sockudo_py.config import Config
from sockudo_py.config.sections.server import RateLimit
from sockudo_py.edge.context import FrontContext, FrontLimits
from sockudo_py.edge.lane import Lane
from sockudo_py.edge.lanes.table import usual_lanes
from sockudo_py.edge.newcomers import Newcomers
from sockudo_py.edge.proxies import TrustedProxies
from sockudo_py.edge.server import EdgeServer
from sockudo_py.edge.xhr.lanes import xhr_lanes
from sockudo_py.http.api import Api
from sockudo_py.http.cors import Cors
from sockudo_py.limits.base import RateLimiter, RequestLimit
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.process.descriptors import Descriptors
from sockudo_py.protocol.session import Settings
from sockudo_py.relays.base import Relay
from sockudo_py.tap import Tap
from sockudo_py.wiring.place import Place
from sockudo_py.ws.context import ConnectionContext
from sockudo_py.xhr.context import XhrLimits

CLOSING_HANDSHAKE = 3.0  # seconds that a client gets for its part of the close


def make_edge(
    config: Config,
    *,
    node: Node,
    wheel: Wheel,
    clock: Callable[[], float],
    apps: AppManager,
    metrics: Metrics,
    tap: Tap,
    api: Api,
    fallback: Callable[[], asyncio.Protocol],
    relay: Relay | None,
    proxies: TrustedProxies,
    cors: Cors,
    limiter: RateLimiter,
    descriptors: Descriptors,
    newcomers: Newcomers,
    tls: ssl.SSLContext | None,
    place: Place | None,
) -> EdgeServer:
    """Return the port with its lanes, not open yet. ``place``: of a worker, which inherits its sockets."""
    http, limits = config.http_api, config.rate_limiter
    connect = limits.websocket_rate_limit
    context = FrontContext(
        connections=ConnectionContext(
            node=node,
            wheel=wheel,
            clock=clock,
            max_message_bytes=config.websocket_max_payload_kb * 1024,
            max_unsent_bytes=config.websocket.max_bytes,
            close_timeout=CLOSING_HANDSHAKE,
            compress=config.websocket.compression != "disabled",
        ),
        apps=apps,
        metrics=metrics,
        tap=tap,
        settings=Settings(
            activity_timeout=config.activity_timeout,
            ping_interval=config.ping_interval,
            pong_timeout=config.pong_timeout,
            error_style=config.subscription_error_style,
            strict_protocol=config.strict_protocol,
        ),
        limits=FrontLimits(
            max_body_bytes=max_body_bytes(config),
            head_timeout=http.header_timeout,
            body_timeout=http.body_timeout,
            idle_timeout=http.keep_alive_timeout,
            write_timeout=http.write_timeout,
        ),
        path_prefix=config.url_prefix,
        proxies=proxies,
        cors=cors,
        limiter=limiter,
        connect_limit=limit_of(config, connect),
        descriptors=descriptors,
        newcomers=newcomers,
        connect_proxies=None if connect.trust_hops is None else proxies_of(config, connect.trust_hops),
    )
    context.use(usual_lanes(context, api, fallback, _transports(config, context, metrics, relay)))
    unix = config.unix_socket
    return EdgeServer(
        context,
        host=config.host,
        port=config.port,
        named=config.named("host", "port"),
        tls=tls,
        unix_path=Path(unix.path) if unix.enabled else None,
        unix_mode=unix.mode,
        listeners=() if place is None else place.listeners,
        unix_listener=None if place is None else place.unix,
    )


def _transports(config: Config, context: FrontContext, metrics: Metrics, relay: Relay | None) -> tuple[Lane, ...]:
    transport = config.http_transport
    if not transport.enabled:
        return ()
    limits = XhrLimits(
        max_message_bytes=config.websocket_max_payload_kb * 1024,
        max_kept_bytes=config.websocket.max_bytes,
        session_timeout=transport.session_timeout,
        poll_timeout=transport.poll_timeout,
        close_timeout=CLOSING_HANDSHAKE,
        relay_patience=max(transport.poll_timeout, min(config.activity_timeout, config.ping_interval))
        + config.pong_timeout,
    )
    return xhr_lanes(context, "" if transport.path == "/" else transport.path, limits, metrics, relay)


def proxies_of(config: Config, hops: int) -> TrustedProxies:
    """Return the proxies whose word about an address counts."""
    networks = [ip_network(cidr) for cidr in config.trusted_proxies]
    return TrustedProxies(networks, hops)


def limit_of(config: Config, limit: RateLimit) -> RequestLimit | None:
    """Return a limit by address; None: there is none."""
    if not config.rate_limiter.enabled or limit.max_requests is None:
        return None
    return RequestLimit(limit.max_requests, limit.window_seconds)


def max_body_bytes(config: Config) -> int:
    """Return how many bytes the body of a request may have."""
    return config.http_api.request_limit_in_mb * 1024 * 1024
