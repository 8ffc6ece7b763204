"""From an accepted WebSocket handshake to an open connection, or to one that is told in-band why it can't be."""

import asyncio
import logging

from sockudo_py.edge import handshake
from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.head import Head
from sockudo_py.logs import quoted
from sockudo_py.protocol.app import App
from sockudo_py.protocol.effects import Close, Reply
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.framing import close_frame, text_frame
from sockudo_py.protocol.opening import Refusal, admit, refusal, refusal_effects
from sockudo_py.protocol.session import Session
from sockudo_py.ws.connection import WebSocketConnection
from sockudo_py.ws.refused import RefusedConnection

log = logging.getLogger(__name__)


def open_connection(
    context: FrontContext, transport: asyncio.Transport, head: Head, received: bytes, *, secure: bool, address: str
) -> None:
    """Accept the handshake in ``head``; the transport has a new protocol afterwards.

    Args:
        context: The server's.
        transport: Of a connection that has not been answered yet.
        head: A sound handshake.
        received: The bytes after the head.
        secure: Whether the client came over TLS.
        address: The client's, for the limit of attempts; empty when it is not known.
    """
    key = handshake.app_key(head.path, context.prefix)
    app = None if key is None else context.apps.by_key(key)
    refused = _refusal(context, head, key, app, secure=secure, address=address)
    acceptance = handshake.acceptance(head)
    if refused is not None and app is not None:
        context.metrics.app(app.id).connection_errors += 1  # the node counts those that it refuses
    elif app is not None:
        connections = context.connections
        session = Session(app, context.socket_ids.next(), context.settings, context.clock())
        client = WebSocketConnection(connections, transport, session, context.metrics.app(app.id))
        refused = connections.node.connect(client)
        if refused is None:
            if log.isEnabledFor(logging.DEBUG):
                about = {
                    "app_id": app.id,
                    "socket_id": session.socket_id,
                    "address": address,
                    "query": _shown(head.query),
                }
                log.debug("client connected", extra=about)
            client.start(acceptance, received)
            return
    if refused is not None:
        context.refused.add(str(refused.code))
        if log.isEnabledFor(logging.DEBUG):
            told = {"path": _shown(head.path), "address": address, "code": refused.code, "error": refused.message}
            log.debug("client refused", extra=told)
        RefusedConnection(context.connections, transport).start(acceptance + _frames(refused), received)


def _refusal(
    context: FrontContext, head: Head, key: str | None, app: App | None, *, secure: bool, address: str
) -> Refusal | None:
    limit = context.connect_limit
    if limit is not None and context.limiter is not None and address:
        allowance = context.limiter.take(f"ws:address:{address}", limit.max_requests, limit.window)
        if not allowance.allowed:
            return Refusal(
                int(ErrorCode.OVER_CAPACITY), "Over capacity: too many connection attempts from this address"
            )
    if key is None:
        return refusal(ErrorCode.PATH_NOT_FOUND)
    origin = head.headers.get(b"origin")
    return admit(
        app,
        key=key,
        protocol=handshake.protocol_parameter(head.query),
        origin=None if origin is None else origin.decode("latin-1"),
        secure=secure,
        strict=context.settings.strict_protocol,
    )


def _shown(text: bytes | str) -> str:
    return quoted(text, 200)


def _frames(refused: Refusal) -> bytes:
    frames = b""
    for effect in refusal_effects(refused):
        match effect:
            case Reply(payload):
                frames += text_frame(payload)
            case Close(code, reason):
                frames += close_frame(code, reason)
            case _:
                raise TypeError(f"a refusal leads to messages and a close, not to {effect!r}")
    return frames
