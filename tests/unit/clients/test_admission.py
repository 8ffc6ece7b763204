"""Admission, with clients of a transport that is not WebSocket."""

from dataclasses import dataclass
from typing import Any

import pytest

from sockudo_py.clients.admission import Admission
from sockudo_py.limits.base import RequestLimit
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.metrics import AppCounters
from sockudo_py.protocol.readers.opening import Refusal
from sockudo_py.protocol.session import Session, Settings
from tests.support.edge_bench import Apps
from tests.support.sink import RecordingSink, in_a_list, make_app
from tests.unit.node.kit import Bench


@dataclass
class Asked:
    path: str = "/app/key"
    query: str = "protocol=7"
    app_key: str | None = "key"
    protocol: str | None = "7"
    origin: str | None = None


class Door:
    """An admission before a node, for sinks that only remember."""

    def __init__(self, limit: RequestLimit | None = None, **app: Any) -> None:
        self.bench = Bench(app=make_app(**app))
        self.counters = self.bench.metrics.app("1")
        self.made: list[RecordingSink] = []
        self.admission = Admission(
            node=self.bench.node,
            apps=Apps(self.bench.app),
            metrics=self.bench.metrics,
            settings=Settings(),
            clock=self.bench.loop.clock,
            limiter=MemoryRateLimiter(self.bench.loop.clock),
            limit=limit,
        )

    def ask(self, asked: Asked) -> RecordingSink | Refusal:
        app = self.admission.app(asked)
        return self.admission.admit(asked, app, self._make, secure=False, address="192.0.2.1", network="192.0.2.1")

    def _make(self, session: Session, counters: AppCounters) -> RecordingSink:
        sink = RecordingSink(session.app, session.socket_id, in_a_list)
        sink.session = session
        self.made.append(sink)
        return sink


def test_an_admitted_client_is_counted_and_speaks_through_its_own_encoding() -> None:
    door = Door()
    client = door.ask(Asked())
    assert isinstance(client, RecordingSink)
    assert door.bench.node.connections("1") == 1
    door.bench.node.perform(client, client.session.open())
    assert client.writes[0].startswith(b'a["{')
    assert client.messages[0]["event"] == "pusher:connection_established"
    door.bench.subscribe(client, "c")
    client.writes.clear()
    door.bench.publish("c")
    door.bench.loop.settle()
    assert client.writes[0].startswith(b'a["{')
    assert client.events == [("e", "d")]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Asked(app_key=None), 4005),
        (Asked(app_key="another"), 4001),
        (Asked(protocol="3"), 4007),
    ],
)
def test_who_is_refused_by_what_it_asks_for_is_counted_and_never_made(asked: Asked, code: int) -> None:
    door = Door()
    refused = door.ask(asked)
    assert isinstance(refused, Refusal)
    assert refused.code == code
    assert door.made == []
    assert door.bench.metrics.series["connections_refused_total"].values == {(str(code),): 1}


def test_who_the_node_refuses_is_counted_once() -> None:
    door = Door(max_connections=0)
    refused = door.ask(Asked())
    assert isinstance(refused, Refusal)
    assert refused.code == 4004
    assert door.counters.connection_errors == 1
    assert door.bench.node.connections() == 0


def test_an_address_that_asks_too_often_is_refused() -> None:
    door = Door(limit=RequestLimit(1, 60.0))
    assert isinstance(door.ask(Asked()), RecordingSink)
    refused = door.ask(Asked())
    assert isinstance(refused, Refusal)
    assert refused.code == 4100
    assert door.counters.connection_errors == 1
