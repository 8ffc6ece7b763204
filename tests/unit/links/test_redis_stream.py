"""The stream to Redis: answers, confirmations and messages are taken in the order in which they are read."""

import asyncio
from typing import Any

import hiredis
import pytest

from sockudo_py.links.redis.stream import RedisStream


class Transport:
    """What the stream writes to."""

    def __init__(self) -> None:
        self.written = b""
        self.unsent = 0
        self.closed = False
        self.protocol: asyncio.Protocol | None = None

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.closed = True

    close = abort


class Connection:
    """As much of redis-py's connection as the stream takes."""

    def __init__(self) -> None:
        self._reader = None
        self._writer = self
        self.transport = Transport()

    async def connect(self) -> None:
        pass


class Listener:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def message(self, topic: bytes, payload: bytes) -> None:
        self.heard.append((topic, payload))

    def lost(self, reason: str) -> None:
        self.heard.append(reason)


async def stream(timeout: float = 60.0, **options: Any) -> tuple[RedisStream, Transport, Listener]:
    connection, listener = Connection(), Listener()
    made = await RedisStream.connect(connection, timeout, listener, **options)  # type: ignore[arg-type]
    return made, connection.transport, listener


def push(*words: bytes | int) -> bytes:
    parts = [b":%d\r\n" % word if isinstance(word, int) else b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b">%d\r\n" % len(parts) + b"".join(parts)


async def test_02_an_answer_and_the_messages_around_it_are_taken_in_their_order() -> None:
    made, _, listener = await stream()
    made.ask("HGETALL", "r", then=listener.heard.append)
    made.data_received(
        push(b"message", b"t", b"before") + b"%1\r\n$3\r\nann\r\n$1\r\n1\r\n" + push(b"message", b"t", b"after")
    )
    assert listener.heard == [(b"t", b"before"), {b"ann": b"1"}, (b"t", b"after")]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_what_comes_in_pieces_is_taken_when_it_is_whole(size: int) -> None:
    made, _, listener = await stream()
    made.subscribe(b"t")
    made.ask("PING", then=listener.heard.append)
    data = push(b"subscribe", b"t", 1) + b"+PONG\r\n" + push(b"message", b"t", b"x" * 50)
    for start in range(0, len(data), size):
        made.data_received(data[start : start + size])
    assert listener.heard == [b"PONG", (b"t", b"x" * 50)]


async def test_13_each_subscription_is_one_step_whatever_confirms_it() -> None:
    made, _, listener = await stream()
    for topic in (b"a", b"b"):
        made.subscribe(topic)
    made.unsubscribe(b"a")
    made.ask("PING", then=listener.heard.append)
    made.data_received(push(b"subscribe", b"a", 1) + push(b"subscribe", b"b", 2) + push(b"unsubscribe", b"a", 1))
    made.data_received(b"+PONG\r\n")
    assert listener.heard == [b"PONG"]
    assert not made.closed


async def test_13_a_subscription_that_is_refused_ends_the_stream_and_says_why() -> None:
    made, transport, listener = await stream()
    made.subscribe(b"t")
    made.ask("PING", then=listener.heard.append)
    made.data_received(b"-NOPERM this user has no permissions to access one of the channels\r\n+PONG\r\n")
    (reason,) = listener.heard
    assert "NOPERM" in reason
    assert transport.closed


@pytest.mark.parametrize("awaited", [False, True])
async def test_13_a_topic_that_moves_to_another_server_ends_the_stream(awaited: bool) -> None:
    made, _, listener = await stream(sharded=True)
    if awaited:
        made.ask("PING", then=listener.heard.append)
    made.data_received(push(b"sunsubscribe", b"t", 0))
    assert listener.heard == ["the topics have moved to another server"]


async def test_13_redirections_are_answers_to_whoever_asked() -> None:
    made, _, _ = await stream()
    answers: list[Any] = []
    made.ask("EVALSHA", "x", 0, then=answers.append)
    made.ask("PING", then=answers.append)
    made.data_received(b"-ASK 3999 127.0.0.1:6381\r\n+PONG\r\n")
    assert isinstance(answers[0], hiredis.ReplyError)
    assert answers[1:] == [b"PONG"]


async def test_what_is_asked_in_one_turn_is_written_at_once() -> None:
    made, transport, _ = await stream()
    made.subscribe(b"t")
    made.ask("PING", then=print)
    assert transport.written == b""
    await asyncio.sleep(0)
    assert transport.written.count(b"SUBSCRIBE") == 1
    assert transport.written.endswith(b"PING\r\n")


async def test_publishes_are_lost_when_redis_takes_nothing() -> None:
    made, transport, _ = await stream()
    assert made.publish(b"t", b"x")
    transport.unsent = 1 << 30
    assert not made.publish(b"t", b"x")
    made.close()
    assert not made.publish(b"t", b"x")


@pytest.mark.parametrize("refusal", [b"-MOVED 5 127.0.0.1:7001\r\n", b"-CLUSTERDOWN Hash slot not served\r\n"])
async def test_a_message_that_went_to_the_wrong_server_ends_the_stream(refusal: bytes) -> None:
    made, _, listener = await stream(sharded=True)
    assert made.publish(b"p:{0}:ch:c", b"message")
    made.data_received(refusal)
    (said,) = listener.heard
    assert said.startswith("a message was refused: ")


async def test_a_message_that_may_not_be_published_does_not() -> None:
    made, _, listener = await stream()
    assert made.publish(b"topic", b"message")
    made.data_received(b"-NOPERM no\r\n")
    assert listener.heard == []


async def test_a_server_that_says_nothing_for_too_long_is_lost() -> None:
    made, _, listener = await stream(timeout=0.01)
    made.ask("PING", then=print)
    async with asyncio.timeout(60):
        while not made.closed:  # noqa: ASYNC110 - its own timer ends it
            await asyncio.sleep(0.01)
    assert listener.heard == ["no answer within 0.01 s"]


async def test_what_is_no_answer_ends_the_stream() -> None:
    made, _, listener = await stream()
    made.data_received(b"hello\r\n")
    assert listener.heard == ["it sent what is no answer"]
