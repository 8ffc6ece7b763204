"""The edge on real sockets, with both event loops: what only a kernel in between can show."""

import asyncio
import json
import socket
import struct
from typing import cast

import pytest

from sockudo_py.edge.context import FrontLimits
from sockudo_py.http.messages import OK, ApiRequest, ApiResponse
from tests.support.client import eventually
from tests.support.edge_bench import APP, CLOSE, CONT, PING, TEXT, frame, message, post, subscribe, upgrade
from tests.support.edge_stage import Peer, Stage, on_stage, signed

SHORT = FrontLimits(head_timeout=2.0, body_timeout=2.0, idle_timeout=2.0, linger=0.3)
EVENT = json.dumps({"name": "e", "channel": "c", "data": "{}"}).encode()
WITH_INFO = json.dumps({"name": "e", "channel": "c", "data": "{}", "info": "subscription_count"}).encode()


async def close_code(peer: Peer) -> int:
    """Return the code of the close frame, past whatever comes before it."""
    while True:
        opcode, payload = await peer.frame()
        if opcode == CLOSE:
            return int.from_bytes(payload[:2], "big")


# -- the lanes --


@on_stage()
async def test_a_client_receives_what_a_backend_publishes_on_a_kept_alive_connection(stage: Stage) -> None:
    client = await stage.websocket()
    await client.send(subscribe("c"))
    assert (await client.message())["event"] == "pusher_internal:subscription_succeeded"
    backend = await stage.dial()
    for _ in range(5):
        await backend.send(signed(EVENT))
        assert await backend.response() == (200, b"{}")
        assert (await client.message()) == {"event": "e", "data": "{}", "channel": "c"}


@on_stage()
async def test_pipelined_requests_of_all_lanes_are_answered_in_order(stage: Stage) -> None:
    backend = await stage.dial()
    batch = json.dumps({"batch": [{"name": "e", "channel": "c", "data": "{}"}]}).encode()
    unsigned = post(EVENT, "/apps/3/events")
    await backend.send(
        signed(WITH_INFO) + unsigned + signed(batch, "batch_events") + b"GET /up HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert await backend.response() == (200, b'{"channels":{"c":{"subscription_count":0}}}')
    assert (await backend.response())[0] == 401
    assert await backend.response() == (200, b"{}")
    assert await backend.response() == (200, b"OK")


@on_stage()
async def test_http_that_is_not_plain_is_served_by_aiohttp(stage: Stage) -> None:
    plain = signed(EVENT)
    head, _, body = plain.partition(b"\r\n\r\n")
    chunked = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
    chunked += b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    for request in (chunked, plain.replace(b"HTTP/1.1", b"HTTP/1.0"), plain.replace(b"Host:", b"Expect: \r\nHost:")):
        backend = await stage.dial()
        await backend.send(request)
        assert (await backend.head())[0] in (200, 417)
    backend = await stage.dial()
    await backend.send(signed(EVENT, "events", "Expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    assert (await backend.head())[0] == 100
    await backend.send(EVENT)
    assert (await backend.head())[0] == 200


OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")


def asked(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def in_chunks(*lines: str, coding: str = "chunked") -> bytes:
    """Return a signed publish whose body comes in one chunk."""
    head, _, body = signed(EVENT, "events", *lines).partition(b"\r\n\r\n")
    head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: " + coding.encode())
    return head + b"\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


BEHIND_OFFERS = {
    "a question": (asked("/usage", *OFFER) + asked("/usage"), 2),
    "offers behind offers": (asked("/usage", *OFFER) * 3 + asked("/usage"), 4),
    "a publish behind a question for the health": (asked("/up", *OFFER) + signed(EVENT), 2),
    "a question behind a publish": (signed(EVENT, "events", *OFFER) + asked("/up"), 2),
    "another protocol": (asked("/usage", "Connection: upgrade", "Upgrade: foo/2") + asked("/usage"), 2),
    "many": (asked("/usage") * 40 + asked("/usage", *OFFER) + asked("/usage") * 40, 81),
}


@pytest.mark.parametrize("size", [1 << 20, 97])
@pytest.mark.parametrize(("data", "answers"), BEHIND_OFFERS.values(), ids=BEHIND_OFFERS)
@on_stage()
async def test_what_is_behind_an_offer_that_nobody_takes_is_answered(
    stage: Stage, data: bytes, answers: int, size: int
) -> None:
    backend = await stage.dial()
    for at in range(0, len(data), size):
        await backend.send(data[at : at + size])
        await asyncio.sleep(0)
    for _ in range(answers):
        assert (await backend.response())[0] == 200


WEBSOCKET = ("Connection: Upgrade", "Upgrade: WebSocket")


@pytest.mark.parametrize(
    "request_",
    [in_chunks(*OFFER), signed(EVENT, "events", *WEBSOCKET)],
    ids=["a body in chunks", "a WebSocket offer that is no handshake"],
)
@on_stage()
async def test_behind_an_offer_whose_end_aiohttp_does_not_tell_the_connection_is_closed(
    stage: Stage, request_: bytes
) -> None:
    backend = await stage.dial()
    await backend.send(request_ + asked("/usage", *OFFER) + asked("/usage"))
    status, head = await backend.head()
    assert status == 200
    assert b"Connection: close\r\n" in head
    assert await backend.ended() == b"{}"


@pytest.mark.parametrize(
    ("before", "coding"),
    [
        (b"", "gzip, chunked"),
        (b"", "identity,chunked"),
        (b"", "gzip\r\nTransfer-Encoding: chunked"),
        (asked("/usage"), "gzip, chunked"),
        (asked("/usage"), "x,chunked"),
    ],
)
@on_stage()
async def test_a_transfer_coding_that_is_not_known_is_told_as_such(stage: Stage, before: bytes, coding: str) -> None:
    backend = await stage.dial()
    await backend.send(before + in_chunks(coding=coding))
    if before:
        assert (await backend.response())[0] == 200
    status, head = await backend.head()
    assert status == 501
    assert b"Connection: close\r\n" in head
    assert b"The only transfer coding that this server knows is chunked" in await backend.ended()
    assert stage.metrics.app(APP.id).published_events == 0


@on_stage()
async def test_a_handshake_and_the_first_message_split_anywhere_are_understood(stage: Stage) -> None:
    stream = upgrade() + subscribe("c") + frame(PING, "")
    for at in range(1, len(stream), 7):
        peer = await stage.dial()
        await peer.send(stream[:at])
        await asyncio.sleep(0)
        await peer.send(stream[at:])
        assert (await peer.head())[0] == 101
        assert (await peer.message())["event"] == "pusher:connection_established"
        opcodes = {(await peer.frame())[0], (await peer.frame())[0]}
        assert opcodes == {TEXT, 10}


# -- ends --


@on_stage()
async def test_a_client_that_closes_is_answered_and_forgotten(stage: Stage) -> None:
    peer = await stage.websocket()
    await peer.send(frame(CLOSE, b"\x03\xe8bye"))
    assert await peer.frame() == (CLOSE, b"\x03\xe8bye")
    assert await peer.ended() == b""
    await eventually(lambda: stage.node.connections() == 0, "forgotten")


@on_stage()
async def test_a_client_that_vanishes_in_the_middle_of_a_frame_is_forgotten(stage: Stage) -> None:
    peer = await stage.websocket()
    await peer.send(message("pusher:ping")[:9])
    reset(peer)
    await eventually(lambda: stage.node.connections() == 0, "forgotten")


@on_stage()
async def test_a_refused_client_gets_error_and_close_and_then_the_end(stage: Stage) -> None:
    peer = await stage.dial()
    await peer.send(upgrade("/app/unknown"))
    assert (await peer.head())[0] == 101
    assert (await peer.message())["data"]["code"] == 4001
    opcode, payload = await peer.frame()
    assert (opcode, payload[:2]) == (CLOSE, b"\x0f\xa1")
    await peer.send(frame(CLOSE, payload[:2]))
    assert await peer.ended() == b""


@on_stage()
async def test_clients_are_told_to_reconnect_when_the_server_drains(stage: Stage) -> None:
    peers = [await stage.websocket() for _ in range(10)]
    drained = asyncio.ensure_future(stage.node.drain(0.1))
    for peer in peers:
        assert await close_code(peer) == 4200
        await peer.send(frame(CLOSE, b"\x10\x68"))
        assert await peer.ended() == b""
    await drained
    await stage.server.close(1.0)
    assert stage.connections.open.count == 0


@on_stage()
async def test_closing_waits_for_answers_and_drops_who_does_not_go(stage: Stage) -> None:
    silent, idle, deaf = await stage.dial(), await stage.dial(), await stage.websocket()
    await idle.send(signed(EVENT))
    await idle.response()
    busy = await stage.dial()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    original = stage.node.channel

    async def slowly(*args: object) -> object:
        await answer
        return await original(*args)  # type: ignore[arg-type]

    stage.node.channel = slowly  # type: ignore[assignment,method-assign]
    await busy.send(signed(WITH_INFO))
    await eventually(lambda: len(stage.context.busy) == 1, "the request is being answered")
    closed = asyncio.ensure_future(stage.server.close(3.0))
    assert await idle.ended() == b""
    with pytest.raises(ConnectionError):
        await stage.dial()
    answer.set_result(None)
    status, body = await busy.response()
    assert (status, json.loads(body)["channels"]["c"]) == (200, {"subscription_count": 0})
    assert await busy.ended() == b""
    await closed
    assert stage.connections.open.count == 0
    for peer in (silent, deaf):
        await peer.reader.read()
        assert peer.reader.at_eof()


# -- clients that end their stream --


async def accepted_and_ended(stage: Stage, peer: Peer) -> None:
    assert (await peer.head())[0] == 101
    await peer.ended()
    await eventually(lambda: stage.connections.open.count == 0, "it is gone")
    assert stage.node.connections(APP.id) == 0


@on_stage()
async def test_a_handshake_behind_publishes_whose_client_sends_no_more_is_answered_and_ended(stage: Stage) -> None:
    peer = await stage.dial()
    peer.writer.write(signed(EVENT) * 17 + upgrade())  # one more than are served in a turn: the end of the stream waits
    peer.writer.write_eof()
    for _ in range(17):
        assert (await peer.response())[0] == 200
    await accepted_and_ended(stage, peer)


@on_stage()
async def test_a_handshake_behind_a_slow_answer_whose_client_sends_no_more_is_ended(stage: Stage) -> None:
    gate: asyncio.Future[ApiResponse] = asyncio.get_running_loop().create_future()

    class Slow:
        def handle(self, request: ApiRequest) -> asyncio.Future[ApiResponse]:
            return gate

    stage.serve(Slow())
    peer = await stage.dial()
    peer.writer.write(signed(EVENT) + upgrade())
    peer.writer.write_eof()
    await eventually(lambda: len(stage.context.busy) == 1, "the answer is waited for")
    gate.set_result(OK)
    assert (await peer.response())[0] == 200
    await accepted_and_ended(stage, peer)


# -- hostile clients --


@on_stage()
async def test_a_message_of_1_mb_is_closed_with_1009_which_can_be_read(stage: Stage) -> None:
    other = await stage.websocket()
    peer = await stage.websocket()
    await peer.send(frame(TEXT, b"x" * (1 << 20)))
    assert await close_code(peer) == 1009
    assert await peer.ended() == b""
    await other.send(message("pusher:ping"))
    assert (await other.message())["event"] == "pusher:pong"


@on_stage()
async def test_a_flood_of_tiny_fragments_does_not_keep_others_from_being_served(stage: Stage) -> None:
    flooder, other = await stage.websocket(), await stage.websocket()
    flood = frame(TEXT, "", fin=False) + frame(CONT, "", fin=False) * 100_000
    sending = asyncio.ensure_future(flooder.send(flood))
    for _ in range(50):
        await other.send(message("pusher:ping"))
        assert (await other.message())["event"] == "pusher:pong"
    await sending
    await flooder.send(frame(CONT, '{"event":"pusher:ping"}'))
    assert (await flooder.message())["event"] == "pusher:pong"


@on_stage()
async def test_a_client_that_does_not_read_is_closed_and_nobody_waits_for_it(stage: Stage) -> None:
    slow, quick = await stage.websocket(), await stage.websocket()
    for peer in (slow, quick):
        await peer.send(subscribe("c"))
        await peer.message()
    slow.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    cast("asyncio.ReadTransport", slow.writer.transport).pause_reading()
    counters = stage.metrics.app(APP.id)
    sent = 0
    while not counters.slow_consumers_closed:
        assert sent < 5000, "the bound does not hold"
        stage.node.publish(APP, ["c"], "e", "x" * 10_000)
        sent += 1
        assert (await quick.message())["event"] == "e"
    await eventually(lambda: stage.node.connections(APP.id) == 1, "the slow one is gone")
    await quick.send(message("pusher:ping"))
    assert (await quick.message())["event"] == "pusher:pong"


@on_stage(limits=FrontLimits(max_body_bytes=100_000))
async def test_a_body_that_is_too_large_is_refused_while_it_is_sent(stage: Stage) -> None:
    peer = await stage.dial()
    peer.writer.write(post(b"x" * 300_000))
    status, text = await peer.response()
    assert (status, text) == (413, b"The body exceeds the allowed maximum (100000 bytes)\n")
    assert await peer.ended() == b""


@on_stage(limits=SHORT)
async def test_heads_and_bodies_that_dribble_are_given_up(stage: Stage) -> None:
    peers = []
    for begin in (b"GET / HT", upgrade()[:-4], post(b"", length=100)):
        peers.append(await stage.dial())
        await peers[-1].send(begin)
    silent = await stage.dial()
    for peer in peers:
        assert (await peer.response())[0] == 408
        assert await peer.ended() == b""
    assert await silent.ended() == b""


@on_stage(limits=FrontLimits(idle_timeout=0.3, linger=0.3))
async def test_an_idle_connection_is_closed(stage: Stage) -> None:
    peer = await stage.dial()
    await peer.send(signed(EVENT))
    assert (await peer.response())[0] == 200
    assert await peer.ended() == b""


@on_stage()
async def test_a_smuggled_request_is_not_served(stage: Stage) -> None:
    hidden = signed(EVENT)
    for lines in (("Transfer-Encoding: chunked",), ("Content-Length: 5",)):
        peer = await stage.dial()
        await peer.send(post(b"0\r\n\r\n" + hidden, "/apps/3/events", *lines))
        assert (await peer.response())[0] == 400
        assert await peer.ended() == b""
    assert stage.metrics.app(APP.id).published_events == 0


@on_stage(limits=FrontLimits(max_waiting=200))
async def test_hundreds_of_half_open_sockets_hurt_nobody(stage: Stage) -> None:
    silent = [await stage.dial() for _ in range(300)]
    for peer in silent[::2]:
        peer.writer.write(b"GET / HTTP/1.1\r\n")
    client = await stage.websocket()
    await client.send(subscribe("c"))
    await client.message()
    backend = await stage.dial()
    await backend.send(signed(EVENT))
    assert (await backend.response())[0] == 200
    assert (await client.message())["event"] == "e"
    await eventually(lambda: len(stage.context.heads) <= 200, "the oldest make place")
    assert stage.metrics.series["connections_dropped_total"].values[("head",)] >= 100
    for peer in silent:
        reset(peer)
    await eventually(lambda: stage.connections.open.count == 2, "they are forgotten")


@on_stage()
async def test_a_storm_of_connects_is_accepted_whole(stage: Stage) -> None:
    peers = await asyncio.gather(*[stage.websocket() for _ in range(300)])
    assert stage.node.connections(APP.id) == 300
    for peer in peers:
        reset(peer)
    await eventually(lambda: stage.node.connections() == 0, "all are forgotten")
    assert stage.connections.open.count == 0


def reset(peer: Peer) -> None:
    """End the connection with a RST."""
    linger = struct.pack("ii", 1, 0)
    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.writer.transport.abort()
