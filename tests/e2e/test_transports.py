"""The HTTP transports on real sockets, with both event loops: what only a kernel in between can show."""

import asyncio
import json
import socket
import struct
from pathlib import Path
from typing import Any

from sockudo_py.edge.context import FrontLimits
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrLimits
from sockudo_py.xhr.frames import read_messages
from tests.e2e.test_edge_server import Runner, client_tls, server_tls
from tests.support.client import eventually
from tests.support.edge_bench import APP, KEY
from tests.support.edge_stage import LOOPS, Peer, Stage, on_stage, stage
from tests.support.weigh import scales

SESSION = "123/abcdefgh"


def request(kind: str, body: bytes = b"", session: str = SESSION) -> bytes:
    head = f"POST /pusher/app/{KEY}/{session}/{kind}?protocol=7&t=1&n=2 HTTP/1.1\r\nHost: x\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Stream:
    """A streaming response that is read line by line."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    @classmethod
    async def open(cls, stage: Stage, session: str = SESSION, **options: Any) -> "Stream":
        peer = await stage.dial(**options)
        await peer.send(request("xhr_streaming", session=session))
        status, head = await peer.head()
        assert (status, b"chunked" in head) == (200, True)
        return cls(peer)

    async def lines(self) -> list[str]:
        """Return the lines of the next chunk; no line when the response has ended."""
        size = int(await self.peer.reader.readline(), 16)
        data = await self.peer.reader.readexactly(size + 2)
        return data[:-2].decode().splitlines()

    async def closing(self) -> list[Any]:
        """Return code and reason of the line that closes, past whatever comes before it."""
        while not (last := (await self.lines())[-1]).startswith("c"):
            pass
        found: list[Any] = json.loads(last[1:])
        return found

    async def greeted(self) -> "Stream":
        opened, established = await self.lines()
        assert opened == "o"
        assert "connection_established" in established
        return self


async def subscribe(stage: Stage, session: str = SESSION, **options: Any) -> None:
    peer = await stage.dial(**options)
    message = json.dumps({"event": "pusher:subscribe", "data": {"channel": "c"}})
    await peer.send(request("xhr_send", json.dumps([message]).encode(), session))
    status, head = await peer.head()
    assert status == 204
    assert b"Content-Length" not in head


async def talk(stage: Stage, **options: Any) -> None:
    """Have a streaming and a polling client hear an event."""
    stream = await (await Stream.open(stage, **options)).greeted()
    await subscribe(stage, **options)
    assert "subscription_succeeded" in (await stream.lines())[0]
    poll = await stage.dial(**options)
    await poll.send(request("xhr", session="7/hgfedcba"))
    assert (await poll.response())[1].startswith(b"o\n")
    await subscribe(stage, "7/hgfedcba", **options)
    await poll.send(request("xhr", session="7/hgfedcba"))
    assert b"subscription_succeeded" in (await poll.response())[1]
    await poll.send(request("xhr", session="7/hgfedcba"))
    await poll.send(request("xhr_send", b"[]", session="1/nosuchsn"))  # pipelined behind it
    await eventually(lambda: len(stage.node._hub.subscribers(APP.id, "c")) == 2, "both on the channel")
    stage.node.publish(APP, ["c"], "e", "hello")
    assert "hello" in (await stream.lines())[0]
    status, body = await poll.response()
    assert (status, body.count(b"\n")) == (200, 1)
    assert b"hello" in body
    assert (await poll.response())[0] == 404


@on_stage()
async def test_both_transports_over_tcp(stage: Stage) -> None:
    await talk(stage)


@on_stage(tls=server_tls())
async def test_both_transports_over_tls(stage: Stage) -> None:
    await talk(stage, client_tls=client_tls())


def test_both_transports_on_a_unix_socket(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s.sock"
        async with stage(unix_path=path) as running:
            await talk(running, unix_path=path)

    for name in LOOPS:
        Runner(name).run(main())


def reset(peer: Peer) -> None:
    """End a connection as a kernel does whose program has not read everything."""
    sock: socket.socket = peer.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.writer.transport.abort()


async def waits(stage: Stage) -> None:
    await eventually(lambda: transports_of(stage).sessions.waiting == 1, "the session to wait")


def transports_of(stage: Stage) -> Any:
    return stage.transports[1].transports  # type: ignore[attr-defined]


@on_stage()
async def test_a_stream_that_ended_when_all_was_read_is_resumed_and_loses_nothing(stage: Stage) -> None:
    stream = await (await Stream.open(stage)).greeted()
    await subscribe(stage)
    await stream.lines()
    stage.node.publish(APP, ["c"], "e", "one")
    assert "one" in (await stream.lines())[0]
    stream.peer.writer.close()
    await waits(stage)
    stage.node.publish(APP, ["c"], "e", "two")
    stream = await Stream.open(stage)
    assert "two" in (await stream.lines())[0]


@on_stage()
async def test_a_stream_that_broke_off_is_not_resumed(stage: Stage) -> None:
    stream = await (await Stream.open(stage)).greeted()
    await subscribe(stage)
    await stream.lines()
    stage.node.publish(APP, ["c"], "e", "one")
    reset(stream.peer)
    await waits(stage)
    stream = await Stream.open(stage)
    assert await stream.closing() == [4200, "Please reconnect immediately"]


@on_stage(transports=XhrLimits(session_timeout=0.3))
async def test_an_abandoned_session_ends(stage: Stage) -> None:
    stream = await (await Stream.open(stage)).greeted()
    assert stage.node.connections() == 1
    stream.peer.writer.close()
    await eventually(lambda: stage.node.connections() == 0, "the end of the session")
    assert len(transports_of(stage).sessions) == 0


@on_stage(transports=XhrLimits(max_kept_bytes=65_536))
async def test_a_stream_that_is_not_read_is_closed_and_costs_the_others_nothing(stage: Stage) -> None:
    reader = await (await Stream.open(stage, "1/aaaaaaaa")).greeted()
    sleeper = await (await Stream.open(stage, "2/bbbbbbbb")).greeted()
    for session in ("1/aaaaaaaa", "2/bbbbbbbb"):
        await subscribe(stage, session)
    await reader.lines()
    sleeper.peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    sent = 0
    while stage.metrics.app(APP.id).slow_consumers_closed == 0:
        if sent % 20 == 0:  # beyond 256 KB of one response the reader would have to ask anew
            reader.peer.writer.close()
            await eventually(lambda: transports_of(stage).sessions.waiting >= 1, "the reader's session to wait")
            reader = await Stream.open(stage, "1/aaaaaaaa")
        stage.node.publish(APP, ["c"], "e", "x" * 10_000)
        while not any("x" * 10_000 in line for line in await reader.lines()):
            pass
        sent += 1
        assert sent < 2000
    await eventually(lambda: stage.node.connections() == 1, "the end of the one that does not read")


@on_stage(limits=FrontLimits(head_timeout=0.5, body_timeout=0.5, linger=0.3))
async def test_slow_heads_and_bodies_end_and_the_session_goes_on(stage: Stage) -> None:
    stream = await (await Stream.open(stage)).greeted()
    slow = [await stage.dial() for _ in range(20)]
    for number, peer in enumerate(slow):
        data = request("xhr_send", b"x" * 1000)
        await peer.send(data[: 40 if number % 2 else len(data) - 500])
    await subscribe(stage)
    assert "subscription_succeeded" in (await stream.lines())[0]
    for peer in slow:
        assert (await peer.response())[0] == 408


@on_stage(limits=FrontLimits(linger=0.3))
async def test_an_endless_upload_is_refused_at_its_head(stage: Stage) -> None:
    await (await Stream.open(stage)).greeted()
    peer = await stage.dial()
    await peer.send(request("xhr_send").replace(b"Content-Length: 0", b"Content-Length: 1000000000"))
    assert (await peer.response())[0] == 413
    chunked = await stage.dial()
    await chunked.send(request("xhr_send").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    assert (await chunked.response())[0] == 411


@on_stage()
async def test_a_stop_tells_streams_and_polls(stage: Stage) -> None:
    stream = await (await Stream.open(stage)).greeted()
    poll = await stage.dial()
    await poll.send(request("xhr", session="7/hgfedcba"))
    await poll.response()
    await poll.send(request("xhr", session="7/hgfedcba"))
    await eventually(lambda: transports_of(stage).sessions.waiting == 0, "the second poll")
    stage.server.stop_accepting()
    await stage.node.drain(0.1)
    assert (await stream.closing())[0] == 4200
    assert b"c[4200," in (await poll.response())[1]
    await asyncio.wait_for(stream.peer.ended(), 10)
    await asyncio.wait_for(poll.ended(), 10)


@on_stage(transports=XhrLimits(max_kept_bytes=3000))
async def test_a_client_that_is_held_is_answered_when_it_is_read_again(stage: Stage) -> None:
    stream = await (await Stream.open(stage)).greeted()
    (client,) = stage.node._hub.sockets(APP.id).values()
    client.hold(1)
    senders = [await stage.dial() for _ in range(3)]
    for channel, sender, fill in zip("abc", senders, (300, 300, 600), strict=True):
        message = json.dumps({"event": "pusher:subscribe", "data": {"channel": channel}, "fill": "x" * fill})
        await sender.send(request("xhr_send", json.dumps([message]).encode()))
        await asyncio.sleep(0)
    assert (await senders[2].response())[0] == 429  # past what may wait
    assert transports_of(stage).refused.values == {("429",): 1}
    client.release(1)
    for sender in senders[:2]:
        assert (await sender.head())[0] == 204
    heard = ""
    while heard.count("subscription_succeeded") < 2:
        heard += "".join(await stream.lines())
    assert '\\"c\\"' not in heard


@on_stage(transports=XhrLimits(max_kept_bytes=100_000))
async def test_requests_to_send_that_wait_take_no_more_than_their_bound_however_small_they_are(stage: Stage) -> None:
    await (await Stream.open(stage)).greeted()
    (client,) = stage.node._hub.sockets(APP.id).values()
    assert isinstance(client, XhrClient)
    for body in (b'["x"]', b"[" + b'"xy",' * 99 + b'"xy"]'):
        client.hold(1)
        with scales() as weight:
            waiting = []
            while (done := client.take(read_messages(body), len(body))) is not False:
                waiting.append(done)
            assert len(waiting) > 10
            assert weight() < 100_000
        client._answer_inbox()
