"""The table of lanes: one of another author's gets its requests, and takes none from the others."""

import asyncio
from collections.abc import Awaitable

import pytest

from sockudo_py.edge.context import FrontLimits
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import AnswerLane, TakenOver, TakeOverLane
from sockudo_py.http.messages import ApiRequest, ApiResponse, error
from tests.support.edge_bench import KEY, Bench, post, upgrade


class Echo(AnswerLane):
    """Answers what stands below ``/echo`` with the body, and whatever has the header ``X-Echo``."""

    def __init__(self) -> None:
        self.requests: list[ApiRequest] = []

    def takes(self, head: Head) -> bool:
        return head.path.startswith("/echo") or b"x-echo" in head.headers

    def answer(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        self.requests.append(request)
        return ApiResponse(200, request.body)


class Raw(asyncio.Protocol):
    """Remembers what it gets."""

    def __init__(self) -> None:
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data


class Streams(TakeOverLane):
    """Goes on with what asks for ``/stream``, but not by POST."""

    def __init__(self) -> None:
        self.taken: list[TakenOver] = []

    def takes(self, head: Head) -> bool:
        return head.path == "/stream"

    def refusal(self, head: Head) -> ApiResponse | None:
        return error(405, "Method not allowed", ("Allow", "GET")) if head.method == b"POST" else None

    def take_over(self, taken: TakenOver) -> None:
        self.taken.append(taken)
        taken.transport.set_protocol(Raw())


@pytest.fixture
def bench() -> Bench:
    return Bench(limits=FrontLimits(max_body_bytes=2000))


def test_a_lane_that_answers_gets_its_requests_and_the_others_go_where_they_went(bench: Bench) -> None:
    lane = Echo()
    bench.context.use((lane, *bench.lanes))
    client = bench.dial()
    client.send(post(b"hello", "/echo/1?x=%20") + post(b"{}") + b"PUT /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    assert [body for _, _, body in client.responses()] == [b"hello", b"{}", b""]
    asked = [(request.method, request.path, request.query, request.body) for request in lane.requests]
    assert asked == [("POST", "/echo/1", "x=%20", b"hello"), ("PUT", "/echo", "", b"")]
    assert [request.path for request in bench.api.requests] == ["/apps/3/events"]
    websocket = bench.dial()
    websocket.send(upgrade())
    assert websocket.accepted()
    other = bench.dial()
    other.send(b"GET /apps/3/channels HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(bench.fallbacks) == 1


def test_a_body_in_pieces_is_received_for_the_lane(bench: Bench) -> None:
    lane = Echo()
    bench.context.use((lane, *bench.lanes))
    client = bench.dial()
    for byte in post(b"hello", "/echo"):
        client.send(bytes([byte]))
    assert client.response()[2] == b"hello"


def test_the_bounds_of_the_port_hold_for_every_lane(bench: Bench) -> None:
    lane = Echo()
    bench.context.use((lane, *bench.lanes))
    client = bench.dial()
    client.send(post(b"x" * 2001, "/echo"))
    assert client.response()[0] == 413
    assert lane.requests == []


@pytest.mark.parametrize("coding", ["Transfer-Encoding: chunked", "Expect: 100-continue\r\nContent-Length: 2"])
def test_a_lane_that_answers_is_not_asked_about_a_body_that_the_port_cant_receive(bench: Bench, coding: str) -> None:
    lane = Echo()
    bench.context.use((lane, *bench.lanes))
    bench.dial().send(f"POST /echo HTTP/1.1\r\nHost: x\r\n{coding}\r\n\r\n".encode())
    assert lane.requests == []
    assert len(bench.fallbacks) == 1


def test_publishes_that_the_port_has_seen_before_still_go_to_an_earlier_lane_that_takes_them(bench: Bench) -> None:
    lane = Echo()
    bench.context.use((lane, *bench.lanes))
    client = bench.dial()
    client.send(post(b"{}"))
    client.send(post(b"mine", "/echo", "X-Echo: 1"))
    client.send(post(b"mine", "/apps/3/events?x=1", "X-Echo: 1"))  # path and header lines are known, but not together
    assert [body for _, _, body in client.responses()] == [b"{}", b"mine", b"mine"]


def test_a_lane_can_take_the_connection_over_with_all_that_came(bench: Bench) -> None:
    lane = Streams()
    bench.context.use((lane, *bench.lanes))
    client, head = bench.dial(secure=True), b"GET /stream HTTP/1.1\r\nHost: x\r\n\r\n"
    client.send(post() + head + b"more")
    (taken,) = lane.taken
    assert (taken.head.path, taken.head_bytes, taken.rest, taken.secure) == ("/stream", head, b"more", True)
    client.send(b" and more")
    assert isinstance(client.transport.protocol, Raw)
    assert client.transport.protocol.received == b" and more"
    assert bench.connections.open.count == 1
    bench.loop.advance(1000)
    assert not client.transport.closed  # no timeout of the port's


def test_a_lane_can_refuse_what_it_takes(bench: Bench) -> None:
    lane = Streams()
    bench.context.use((lane, *bench.lanes))
    client = bench.dial()
    client.send(post(b"", "/stream"))
    status, headers, _ = client.response()
    assert (status, headers["allow"], headers["connection"]) == (405, "GET", "close")
    assert lane.taken == []


def test_without_a_lane_a_request_is_not_found(bench: Bench) -> None:
    bench.context.use(bench.lanes[:1])
    client = bench.dial()
    client.send(upgrade(f"/app/{KEY}"))
    assert client.response()[0] == 404
