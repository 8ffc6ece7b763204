"""What each fast path of ``docs/fast-paths.md`` saves, in instructions: its path with it, and without it.

``python -m benchmarks.twins`` takes some minutes and needs valgrind. The figures are of all that happens in this
process for one message or request, without sockets.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

from benchmarks import paths
from benchmarks.instructions import MANY, WARM, counted
from benchmarks.paths import APP, ROOM
from sockudo_py.changes import ClientEventSent
from sockudo_py.edge import connection
from sockudo_py.edge.http1 import head, responses
from sockudo_py.edge.websocket import handshake
from sockudo_py.endpoints import Endpoint
from sockudo_py.http import api
from sockudo_py.http.messages import OK
from sockudo_py.hub import hub
from sockudo_py.metrics import Metrics
from sockudo_py.protocol import codec
from sockudo_py.protocol.channels.table import classify
from sockudo_py.protocol.readers import client_events
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.webhooks import events
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.intake import event_builder
from sockudo_py.webhooks.intake.receipts import Receipts
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.ws import connection as websocket


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


def _perform_always(self: websocket.WebSocketConnection, text: str) -> None:
    self._counters.messages_received += 1
    effects = self.session.receive(text, self._context.clock())
    if effects:
        self._perform_corked(effects)


_one = _off(websocket, "only_message", lambda data, most: None)
_whole = _off(connection.HttpConnection, "_publish_known", lambda self, data: False)
TEN = [ROOM, *(f"private-{number}" for number in range(9))]
TWINS: dict[str, tuple[Callable[[int], None], Callable[[], None]]] = {
    "only_message": (lambda n: paths.client_events(n, 1), _one),
    "plain_messages, one": (
        lambda n: paths.client_events(n, 1),
        _both(_one, _off(websocket, "plain_messages", lambda data, start, most, limit: ([], start))),
    ),
    "plain_messages, of 8": (
        lambda n: paths.client_events(n, 8),
        _off(websocket, "plain_messages", lambda data, start, most, limit: ([], start)),
    ),
    "_take_only": (
        lambda n: paths.client_events(n, 1),
        _off(websocket.WebSocketConnection, "_take_only", _perform_always),
    ),
    "is_private": (lambda n: paths.client_events(n, 1), _off(client_events, "is_private", _private)),
    "send at once": (lambda n: paths.client_events(n, 1), _off(hub.Hub, "publish", _wait)),
    "_publish_known": (lambda n: paths.publishes(n, [ROOM]), _whole),
    "HeadReader.next": (
        lambda n: paths.publishes(n, [ROOM], 20),
        _off(head.HeadReader, "next", _read_always),
    ),
    "is_signed_as_usual": (
        lambda n: paths.publishes(n, [ROOM]),
        _off(api, "is_signed_as_usual", lambda request, app, now: False),
    ),
    "Responses.usual": (lambda n: paths.publishes(n, [ROOM]), _off(responses.Responses, "usual", _render)),
    "codec.event": (lambda n: paths.publishes(n, TEN), _off(codec, "event", _in_parts)),
    "_open_known": (paths.connects, _off(handshake.Handshakes, "find", lambda self, data: None)),
    "TextWriter.text": (lambda n: _webhook_events(n, 20), _off(events.TextWriter, "text", _plainly)),
    "own jobs": (lambda n: _decodes(n, 10), _off(jobs, "decode", lambda text, own: _decode(text))),
}


def _count(name: str, way: str) -> float:
    """Return the instructions of one round."""
    found = []
    for number in (WARM, MANY):
        found.append(counted([sys.executable, "-m", "benchmarks.twins", name, way, str(number)]))
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
