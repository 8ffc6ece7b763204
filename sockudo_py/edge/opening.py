"""From an accepted WebSocket handshake to an open connection, or to one that is told in-band why it can't be."""

import asyncio
import logging
from functools import partial

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.handshake import Handshake, acceptance
from sockudo_py.edge.newcomers import Newcomer
from sockudo_py.edge.proxies import address_of, network_of
from sockudo_py.logs import quoted
from sockudo_py.protocol.app import App
from sockudo_py.protocol.effects import Close, Reply
from sockudo_py.protocol.errors import ErrorCode
from sockudo_py.protocol.opening import Refusal, admit, refusal, refusal_effects
from sockudo_py.protocol.session import Session
from sockudo_py.ws.connection import WebSocketConnection
from sockudo_py.ws.framing import close_frame, text_frame
from sockudo_py.ws.refused import RefusedConnection

log = logging.getLogger(__name__)


def open_connection(
    context: FrontContext,
    transport: asyncio.Transport,
    asked: Handshake,
    nonce: bytes,
    received: bytes,
    *,
    secure: bool,
) -> None:
    """Accept a sound handshake; the transport has a new protocol afterwards, which goes on being in the census.

    Args:
        context: The server's.
        transport: Of a connection that has not been answered yet.
        asked: What the handshake asks for.
        nonce: The handshake's.
        received: The bytes after it.
        secure: Whether the listener speaks TLS.
    """
    peer = address_of(transport)
    if asked.forwarded_proto is not None and not secure:
        secure = context.proxies.secure(peer, asked.forwarded_proto)
    address = context.connect_proxies.client(peer, asked.forwarded_for)
    app = None if asked.app_key is None else context.apps.by_key(asked.app_key)
    network = network_of(address)
    if app is not None and context.newcomers.must_wait((app.id, network)):
        go_on = partial(open_connection, context, transport, asked, nonce, secure=secure)
        left = context.connections.census.leave
        Newcomer(context.newcomers, (app.id, network), transport, received, opens=go_on, left=left)
        return
    refused = _refusal(context, asked, app, secure=secure, address=address)
    accepted = acceptance(nonce)
    if refused is not None and app is not None:
        context.metrics.app(app.id).connection_errors += 1  # the node counts those that it refuses
    elif app is not None:
        connections = context.connections
        socket_id, now = context.socket_ids.next(), context.clock()
        session = Session(app, socket_id, context.settings, now, network)
        client = WebSocketConnection(connections, transport, session, context.metrics.app(app.id))
        refused = connections.node.connect(client)
        if refused is None:
            if log.isEnabledFor(logging.DEBUG):
                about = {
                    "app_id": app.id,
                    "socket_id": session.socket_id,
                    "address": address,
                    "query": _shown(asked.query),
                }
                log.debug("client connected", extra=about)
            client.start(accepted, received)
            return
    if refused is not None:
        context.refused.add(str(refused.code))
        if log.isEnabledFor(logging.DEBUG):
            told = {"path": _shown(asked.path), "address": address, "code": refused.code, "error": refused.message}
            log.debug("client refused", extra=told)
        RefusedConnection(context.connections, transport).start(accepted + _frames(refused), received)


def _refusal(context: FrontContext, asked: Handshake, app: App | None, *, secure: bool, address: str) -> Refusal | None:
    limit = context.connect_limit
    if limit is not None and context.limiter is not None and address:
        allowance = context.limiter.take(f"ws:address:{address}", limit.max_requests, limit.window)
        if not allowance.allowed:
            return Refusal(
                int(ErrorCode.OVER_CAPACITY), "Over capacity: too many connection attempts from this address"
            )
    if asked.app_key is None:
        return refusal(ErrorCode.PATH_NOT_FOUND)
    return admit(
        app,
        key=asked.app_key,
        protocol=asked.protocol,
        origin=asked.origin,
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
