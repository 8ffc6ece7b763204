"""A server that echoes messages, on the WebSocket shell of this project: ``python -m tests.autobahn.echo``.

The port, the handshake, ``ws.connection`` and its fast paths are the server's own. The session and the node behind them
are stand-ins that give back what they get, which no Pusher session does.
"""

import argparse
import asyncio
from collections.abc import Sequence
from functools import partial

from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.caches.memory import MemoryCache
from sockudo_py.clients.wheel import Wheel
from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.lane import Lane
from sockudo_py.edge.server import EdgeServer
from sockudo_py.edge.websocket.lane import WebSocketLane
from sockudo_py.hub import Sink
from sockudo_py.metrics import Metrics
from sockudo_py.node import Node
from sockudo_py.protocol.effects import Effect, Reply
from sockudo_py.protocol.readers.opening import Refusal
from sockudo_py.protocol.session import Session, Settings
from sockudo_py.ws.connection import WebSocketConnection
from sockudo_py.ws.context import ConnectionContext
from sockudo_py.ws.deflate import deflated_frame
from sockudo_py.ws.frames import Received
from tests.support.changes import Changes
from tests.support.edge_bench import APP, KEY, Apps

_DAY = 86_400.0
PATH = f"/app/{KEY}?protocol=7"
_MAX_MESSAGE = 16 * 1024 * 1024 + 1024  # the largest of section 9, and what compression may add to it


class EchoSession(Session):
    """Says nothing by itself, and answers a message with the same message."""

    def open(self) -> list[Effect]:
        return []

    def first_check(self) -> float:
        return self.last_seen + _DAY

    def receive(self, message: str | bytes, now: float) -> list[Effect]:
        return [Reply(message.encode() if isinstance(message, str) else message)]


class EchoNode(Node):
    """Gives every client an ``EchoSession``."""

    def connect(self, client: Sink) -> Refusal | None:
        was = client.session
        client.session = EchoSession(was.app, was.socket_id, was.settings, was.last_seen)
        return super().connect(client)


def _echo_binary() -> None:
    """Let connections echo binary messages, too: sessions are not told what was in them."""
    take = WebSocketConnection._take

    def echo(connection: WebSocketConnection, received: Received, now: float) -> None:
        if isinstance(received, bytes):
            frame = bytearray(connection.encoding(received))
            frame[0] += 1  # opcode 2
            connection.write(bytes(frame))
        else:
            take(connection, received, now)

    WebSocketConnection._take = echo  # type: ignore[assignment, method-assign]


async def serve(port: int) -> None:
    """Listen until the process ends; say the port once it is open."""
    _echo_binary()
    loop = asyncio.get_running_loop()
    metrics = Metrics()
    node = EchoNode(
        adapter=LocalAdapter(0.0, loop.call_later, loop.time),
        cache=MemoryCache(loop.time),
        metrics=metrics,
        call_soon=loop.call_soon,
        call_later=loop.call_later,
        clock=loop.time,
        max_connections=None,
        on_change=Changes(),
    )
    wheel = Wheel(loop.time, loop.call_later)
    wheel.start()
    connections = ConnectionContext(
        node=node,
        wheel=wheel,
        clock=loop.time,
        max_message_bytes=_MAX_MESSAGE,
        max_unsent_bytes=4 * _MAX_MESSAGE,
        compress=True,
    )
    compression = connections.compression
    assert compression is not None
    # The cases of sections 12 and 13 can't read an answer that the server left as it was (README.md).
    compression._encodings = {bits: partial(deflated_frame, bits=bits) for bits in compression._encodings}
    context = FrontContext(connections=connections, apps=Apps(APP), metrics=metrics, settings=Settings())
    lanes: Sequence[Lane] = (WebSocketLane(context),)
    context.use(lanes)
    server = EdgeServer(context, host="127.0.0.1", port=port)
    await server.start()
    print(server.port, flush=True)  # whoever started the program reads it
    await asyncio.Event().wait()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description="Echo WebSocket messages on the shell of this project.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
