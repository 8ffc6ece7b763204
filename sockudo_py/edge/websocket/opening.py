"""Opens a WebSocket connection from its handshake, or tells the client in-band why it is refused."""

import asyncio
from collections.abc import Callable
from functools import partial

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.newcomers import Newcomer
from sockudo_py.edge.proxies import network_of
from sockudo_py.edge.websocket.handshake import Handshake, acceptance
from sockudo_py.metrics import AppCounters
from sockudo_py.protocol.effects import Close, Reply
from sockudo_py.protocol.readers.opening import Refusal, refusal_effects
from sockudo_py.protocol.session import Session
from sockudo_py.ws.connection import WebSocketConnection
from sockudo_py.ws.deflated import DeflatedConnection
from sockudo_py.ws.framing import close_frame, text_frame
from sockudo_py.ws.refused import RefusedConnection


def open_connection(
    context: FrontContext,
    transport: asyncio.Transport,
    asked: Handshake,
    nonce: bytes,
    received: bytes,
    *,
    secure: bool,
) -> None:
    """Accept a sound handshake; the transport has a new protocol afterwards, which stays among the open connections.

    Args:
        context: The server's.
        transport: Of a connection that has not been answered yet.
        asked: What the handshake asks for.
        nonce: The handshake's.
        received: The bytes after it.
        secure: Whether the listener speaks TLS.
    """
    connections, newcomers, admission = context.connections, context.newcomers, context.admission
    address, secure = context.caller(transport, asked.forwarded_for, asked.forwarded_proto, secure)
    network = network_of(address)
    app = admission.app(asked)
    if newcomers.addresses and app is not None and (app.id, network) in newcomers.addresses:
        go_on = partial(open_connection, context, transport, asked, nonce, secure=secure)
        Newcomer(newcomers, (app.id, network), transport, received, opens=go_on, left=connections.open.leave)
        return
    compression, agreed = connections.compression, None
    if compression is not None and asked.extensions is not None:
        agreed = compression.agree(asked.extensions)
    make: Callable[[Session, AppCounters], WebSocketConnection] = (
        partial(WebSocketConnection, connections, transport)
        if agreed is None
        else partial(DeflatedConnection, connections, transport, agreed)
    )
    client = admission.admit(asked, app, make, secure, address, network)
    if isinstance(client, Refusal):
        RefusedConnection(connections, transport).start(acceptance(nonce) + _frames(client), received)
    else:
        client.start(acceptance(nonce, None if agreed is None else agreed.response), received)


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
