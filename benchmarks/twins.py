"""What each fast path of ``docs/fast-paths.md`` saves, in instructions: its path with it, and without it.

``python -m benchmarks.twins`` takes some minutes and needs valgrind. The figures are of all that happens in this
process for one message or request, without sockets.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from sockudo_py.caches.memory_keys import MemoryKeys
from sockudo_py.changes import ClientEventSent
from sockudo_py.edge import connection
from sockudo_py.edge.http1 import head, responses
from sockudo_py.edge.websocket import handshake
from sockudo_py.endpoints import Endpoint
from sockudo_py.http import api
from sockudo_py.http.messages import OK
from sockudo_py.hub import hub
from sockudo_py.metrics import Metrics
from sockudo_py.node import node, subscriptions
from sockudo_py.protocol import client_events, codec
from sockudo_py.protocol.app import App, AppKey
from sockudo_py.protocol.channels.table import classify
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.webhooks import events
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.intake import event_builder
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.ws import connection as websocket
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
WARM, MANY = 200, 1200


def _signed_post(names: list[str]) -> bytes:
    body = json.dumps({"name": "e", "data": json.dumps({"text": "hello" * 20}), "channels": names}).encode()
    pairs = auth_pairs(TestApp("3", KEY, SECRET), body)
    query = encode([*pairs, ("auth_signature", signature(SECRET, "POST", "/apps/3/events", pairs))])
    lines = ["Host: localhost", "User-Agent: x", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"POST /apps/3/events?{query} HTTP/1.1", *lines, "", ""]).encode() + body


def _joined(bench: Bench, channel: str) -> Peer:
    peer = bench.websocket()
    data = {"channel": channel, "auth": auth_for(channel, socket_id=peer.socket_id)}
    peer.send(message("pusher:subscribe", data=data))
    assert peer.messages()[0]["event"] == "pusher_internal:subscription_succeeded"
    return peer


def _publishes(number: int, names: list[str], cut: int = 0) -> None:
    bench = Bench(APP)
    clock = bench.loop.clock  # valgrind would make every answer a slow one
    bench.serve(api.Api(node=bench.node, apps=Apps(APP), metrics=bench.metrics, keys=MemoryKeys(clock), timer=clock))
    reader = _joined(bench, ROOM)
    peer, data = bench.dial(), _signed_post(names)
    pieces = (data[:-cut], data[-cut:]) if cut else (data,)
    for _ in range(number):
        for piece in pieces:
            peer.send(piece)
        bench.loop.advance()
        assert peer.transport.take().startswith(b"HTTP/1.1 200"), "the API refuses it"
        assert reader.transport.take()


def _client_events(number: int, at_once: int) -> None:
    bench = Bench(APP)
    sender, reader = _joined(bench, ROOM), _joined(bench, ROOM)
    data = frame(TEXT, json.dumps({"event": "client-a", "channel": ROOM, "data": {"x": 1, "y": [2, 3]}})) * at_once
    for _ in range(number):
        sender.send(data)
        bench.loop.advance()
        assert reader.transport.take()


def _connects(number: int) -> None:
    bench = Bench(APP)
    data = upgrade()
    for _ in range(number):
        peer = bench.dial()
        peer.send(data)
        peer.lose()


def _subscribes(number: int) -> None:
    bench = Bench(APP)
    peer = bench.websocket()
    on, off = message("pusher:subscribe", data={"channel": "a"}), message("pusher:unsubscribe", data={"channel": "a"})
    for _ in range(number):
        peer.send(on)
        peer.send(off)
        peer.transport.take()


def _webhook_events(number: int, at_once: int) -> None:
    registry = EndpointRegistry()
    registry.replace(
        "3", "config", [Endpoint("wh", 1, "3", APP.keys, url="http://127.0.0.1/", event_types=frozenset({"*"}))]
    )
    intake = event_builder.EventBuilder(
        registry.routes,
        WebhookMetrics(Metrics()),
        receipts=Receipts(),
        put=lambda uid, made: None,
        wake=lambda urgent: None,
        clock=lambda: 1e9,
    )
    payload = codec.client_event(ROOM, "client-a", "{}", None)
    change = ClientEventSent("3", ROOM, "client-a", "{}", "1.1", None, payload)
    for _ in range(number):
        for _ in range(at_once):
            intake.add(change)
        intake.settle()


def _decodes(number: int, own: int) -> None:
    event = events.encode({"name": "client_event", "channel": ROOM, "event": "client-a", "data": "{}"})
    text = jobs.encode_events(Append("e", "wh", "3", event, 1), [event] * 10)
    for _ in range(number):
        jobs.decode(text, own).count()


_decode = jobs.decode


def _off(module: Any, name: str, instead: Any) -> Callable[[], None]:
    def take_away() -> None:
        assert hasattr(module, name), f"{module.__name__}.{name} has moved"
        setattr(module, name, instead)

    return take_away


def _both(*steps: Callable[[], None]) -> Callable[[], None]:
    def take_away() -> None:
        for step in steps:
            step()

    return take_away


def _private(name: str) -> bool:
    return classify(name).private


def _cached(name: str) -> bool:
    return classify(name).cached


def _in_parts(channel: str, name_json: bytes, data_json: bytes) -> bytes:
    return codec.server_event("e", json.loads(data_json), channel)


_publish = hub.Hub.publish


def _wait(self: hub.Hub, app_id: str, channel: str, payload: bytes, exclude: Any = None, at_once: bool = False) -> None:
    _publish(self, app_id, channel, payload, exclude)


def _plainly(self: events.TextWriter, change: Any, time_ms: int) -> bytes:
    return events.encode(events.event_of(change, time_ms))


def _read_always(self: head.HeadReader, data: bytes | bytearray, start: int) -> tuple[head.Head | None, int]:
    return head.next_head(data, start, self._limit)


def _render(self: responses.Responses) -> bytes:
    return self.render(OK, None, keep_alive=True)


_one = _off(websocket, "only_message", lambda data, most: None)
_whole = _off(connection.HttpConnection, "_publish_known", lambda self, data: False)
TEN = [ROOM, *(f"private-{number}" for number in range(9))]
TWINS: dict[str, tuple[Callable[[int], None], Callable[[], None]]] = {
    "only_message": (lambda n: _client_events(n, 1), _one),
    "plain_messages, one": (
        lambda n: _client_events(n, 1),
        _both(_one, _off(websocket, "plain_messages", lambda data, start, most, limit: ([], start))),
    ),
    "plain_messages, of 8": (
        lambda n: _client_events(n, 8),
        _off(websocket, "plain_messages", lambda data, start, most, limit: ([], start)),
    ),
    "is_private": (lambda n: _client_events(n, 1), _off(client_events, "is_private", _private)),
    "is_cached, publish": (lambda n: _publishes(n, [ROOM]), _off(node, "is_cached", _cached)),
    "is_cached, subscribe": (_subscribes, _off(subscriptions, "is_cached", _cached)),
    "send at once": (lambda n: _client_events(n, 1), _off(hub.Hub, "publish", _wait)),
    "_publish_known": (lambda n: _publishes(n, [ROOM]), _whole),
    "HeadReader.next": (
        lambda n: _publishes(n, [ROOM], 20),
        _off(head.HeadReader, "next", _read_always),
    ),
    "is_signed_as_usual": (
        lambda n: _publishes(n, [ROOM]),
        _off(api, "is_signed_as_usual", lambda request, app, now: False),
    ),
    "Responses.usual": (lambda n: _publishes(n, [ROOM]), _off(responses.Responses, "usual", _render)),
    "codec.event": (lambda n: _publishes(n, TEN), _off(codec, "event", _in_parts)),
    "_open_known": (_connects, _off(handshake.Handshakes, "find", lambda self, data: None)),
    "TextWriter.text": (lambda n: _webhook_events(n, 20), _off(events.TextWriter, "text", _plainly)),
    "own jobs": (lambda n: _decodes(n, 10), _off(jobs, "decode", lambda text, own: _decode(text))),
}


def _count(name: str, way: str) -> float:
    """Return the instructions of one round."""
    found = []
    for number in (WARM, MANY):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable, "-m"]
        command += ["benchmarks.twins", name, way, str(number)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        counted = re.search(r"Collected : (\d+)", done.stderr)
        assert counted is not None, done.stderr
        found.append(int(counted[1]))
    return (found[1] - found[0]) / (MANY - WARM)


def main() -> None:
    """Print a line for each fast path; with arguments, run one of them."""
    if sys.argv[2:3] in (["with"], ["without"]):
        name, way, number = sys.argv[1:]
        workload, take_away = TWINS[name]
        if way == "without":
            take_away()
        workload(int(number))
        return
    print(f"{'fast path':24} {'with':>10} {'without':>10}  saves")
    for name in sys.argv[1:] or TWINS:
        fast, general = _count(name, "with"), _count(name, "without")
        print(f"{name:24} {fast:10.0f} {general:10.0f}  {1 - fast / general:.0%}", flush=True)


if __name__ == "__main__":
    main()
