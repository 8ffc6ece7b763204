"""The hot paths of one process, without sockets: rounds of a publish, a client event, a connect, a subscribe.

``benchmarks.twins`` and ``benchmarks.instructions`` count the instructions of a round. The latter runs this file over
older revisions as well, so it uses only what they have.
"""

import json
import sys
from collections.abc import Callable

from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.http import api
from sockudo_py.protocol.app import App, AppKey
from tests.support.api import auth_pairs, encode, signature
from tests.support.edge_bench import KEY, SECRET, TEXT, Apps, Bench, Peer, frame, message, upgrade
from tests.support.server import TestApp
from tests.unit.protocol.speak import auth_for

APP = App(
    id="3",
    keys=(AppKey(KEY, SECRET.encode()),),
    client_events=True,
    client_events_per_second=None,
    subscribes_per_second=None,
)
ROOM = "private-room"


EIGHT = [ROOM, *(f"private-{number}" for number in range(7))]


def signed_post(names: list[str]) -> bytes:
    """Return the request that publishes an event to these channels."""
    body = json.dumps({"name": "e", "data": json.dumps({"text": "hello" * 20}), "channels": names}).encode()
    pairs = auth_pairs(TestApp("3", KEY, SECRET), body)
    query = encode([*pairs, ("auth_signature", signature(SECRET, "POST", "/apps/3/events", pairs))])
    lines = ["Host: localhost", "User-Agent: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"POST /apps/3/events?{query} HTTP/1.1", *lines, "", ""]).encode() + body


def joined(bench: Bench, channel: str, user: str | None = None) -> Peer:
    """Return a client that has subscribed; with a user it is a member."""
    peer = bench.websocket()
    data = {"channel": channel, "auth": auth_for(channel, socket_id=peer.socket_id)}
    if user is not None:
        data["channel_data"] = json.dumps({"user_id": user, "user_info": {"name": user}})
        data["auth"] = auth_for(channel, data["channel_data"], socket_id=peer.socket_id)
    peer.send(message("pusher:subscribe", data=data))
    assert peer.messages()[0]["event"] == "pusher_internal:subscription_succeeded"
    return peer


def publishes(number: int, names: list[str], cut: int = 0) -> None:
    """Publish to these channels, of which one has a reader; the last ``cut`` bytes of a request come by themselves."""
    bench = Bench(APP)
    clock = bench.loop.clock  # valgrind would make every answer a slow one
    bench.serve(api.Api(node=bench.node, apps=Apps(APP), metrics=bench.metrics, keys=MemoryKeys(clock), timer=clock))
    reader = joined(bench, ROOM)
    peer, data = bench.dial(), signed_post(names)
    pieces = (data[:-cut], data[-cut:]) if cut else (data,)
    for _ in range(number):
        for piece in pieces:
            peer.send(piece)
        bench.loop.advance()
        assert peer.transport.take().startswith(b"HTTP/1.1 200"), "the API refuses it"
        assert reader.transport.take()


def fan_out(number: int, readers: int) -> None:
    """Publish to a channel with that many readers."""
    bench = Bench(APP)
    peers = [joined(bench, ROOM) for _ in range(readers)]
    for _ in range(number):
        bench.node.publish(APP, [ROOM], "e", "hello" * 20)
        bench.loop.advance()
        for peer in peers:
            peer.transport.written = b""


def client_events(number: int, at_once: int) -> None:
    """Send this number of client events in one piece. One other client gets them."""
    bench = Bench(APP)
    sender, reader = joined(bench, ROOM), joined(bench, ROOM)
    data = frame(TEXT, json.dumps({"event": "client-a", "channel": ROOM, "data": {"x": 1, "y": [2, 3]}})) * at_once
    for _ in range(number):
        sender.send(data)
        bench.loop.advance()
        assert reader.transport.take()


def connects(number: int) -> None:
    """Connect and go."""
    bench = Bench(APP)
    data = upgrade()
    for _ in range(number):
        peer = bench.dial()
        peer.send(data)
        peer.lose()


def subscribes(number: int) -> None:
    """Subscribe to a public channel and unsubscribe."""
    bench = Bench(APP)
    peer = bench.websocket()
    on, off = message("pusher:subscribe", data={"channel": "a"}), message("pusher:unsubscribe", data={"channel": "a"})
    for _ in range(number):
        peer.send(on)
        peer.send(off)
        peer.transport.take()


def members(number: int) -> None:
    """Join a channel of twenty members and leave it."""
    bench = Bench(APP)
    peers = [joined(bench, "presence-room", f"u{n}") for n in range(20)]
    peer = bench.websocket()
    channel = "presence-room"
    told = json.dumps({"user_id": "newcomer", "user_info": {"name": "newcomer"}})
    data = {"channel": channel, "auth": auth_for(channel, told, socket_id=peer.socket_id), "channel_data": told}
    on, off = message("pusher:subscribe", data=data), message("pusher:unsubscribe", data={"channel": channel})
    for _ in range(number):
        peer.send(on)
        assert b"subscription_succeeded" in peer.transport.take()
        peer.send(off)
        bench.loop.advance()
        for each in peers:
            each.transport.written = b""


PATHS: dict[str, Callable[[int], None]] = {
    "publish": lambda n: publishes(n, [ROOM]),
    "publish, 8 channels": lambda n: publishes(n, EIGHT),
    "fan-out to 100": lambda n: fan_out(n, 100),
    "client event": lambda n: client_events(n, 1),
    "client events, 8 at once": lambda n: client_events(n, 8),
    "connect": connects,
    "subscribe and unsubscribe": subscribes,
    "join and leave 20 members": members,
}

if __name__ == "__main__":
    PATHS[sys.argv[1]](int(sys.argv[2]))
