"""The connection that carries the scripts, against a server that answers what the test says."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import trustme
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.link import RedisLink, Script
from sockudo_py.metrics import Metrics

SCRIPT = Script("queue_depths")


class FakeRedis:
    """Answers redis-py's hello with OK, and scripts with ``answers``: each is written as it stands, None is silence."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.connections = 0
        self.asked: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.come = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        while line := await reader.readline():
            words = [await self._word(reader) for _ in range(int(line[1:]))]
            if words[0] not in (b"EVALSHA", b"EVAL"):
                writer.write(b"+OK\r\n")
                continue
            async with self.come:
                self.asked.append(words[0])
                self.come.notify_all()
            answer = self.answers.pop(0) if self.answers else b":1\r\n"
            if answer is not None:
                writer.write(answer)
        writer.close()

    async def _word(self, reader: asyncio.StreamReader) -> bytes:
        length = int((await reader.readline())[1:])
        return (await reader.readexactly(length + 2))[:-2]

    async def has_been_asked(self, times: int) -> None:
        """Wait until that many scripts have come."""
        async with asyncio.timeout(30), self.come:
            await self.come.wait_for(lambda: len(self.asked) >= times)


def link_to(url: str, timeout: float = 30.0) -> RedisLink:
    errors = Metrics().counter("errors", "", ("kind",))
    return RedisLink(url, owner="queue", keys="a key", max_connections=2, response_timeout=timeout, errors=errors)


Dial = Callable[..., Awaitable[RedisLink]]


@pytest.fixture
async def fake() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
async def dial(fake: FakeRedis) -> AsyncIterator[Dial]:
    """Make links to the fake server."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    made: list[RedisLink] = []

    async def make(timeout: float = 30.0) -> RedisLink:
        made.append(link_to(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", timeout))
        return made[-1]

    yield make
    for link in made:
        await link.close()
    server.close()
    for writer in fake.writers:
        writer.close()


async def test_calls_of_one_moment_share_a_connection_and_each_gets_its_own_answer(fake: FakeRedis, dial: Dial) -> None:
    fake.answers = [b":%d\r\n" % number for number in range(50)]
    link = await dial()
    answers = await asyncio.gather(*(link.call(SCRIPT, "k", [number]) for number in range(50)))
    assert answers == list(range(50))
    assert fake.connections == 1


async def test_an_answer_in_pieces_is_put_together(fake: FakeRedis, dial: Dial) -> None:
    fake.answers = [None, b"*2\r\n$3\r\nab"]
    link = await dial()
    first = asyncio.create_task(link.call(SCRIPT, "k", []))
    second = asyncio.create_task(link.call(SCRIPT, "k", []))
    await fake.has_been_asked(2)
    fake.writers[0].write(b"c\r\n:7\r\n$-1\r\n")
    assert await first == [b"abc", 7]
    assert await second is None


async def test_a_cancelled_call_leaves_the_connection_and_the_answers_of_others(fake: FakeRedis, dial: Dial) -> None:
    fake.answers = [None, None]
    link = await dial()
    left = asyncio.create_task(link.call(SCRIPT, "k", []))
    stays = asyncio.create_task(link.call(SCRIPT, "k", []))
    await fake.has_been_asked(2)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    fake.writers[0].write(b":1\r\n:2\r\n")
    assert await stays == 2
    assert fake.connections == 1


async def test_without_an_answer_in_time_all_in_flight_fail_and_the_next_call_connects_anew(
    fake: FakeRedis, dial: Dial
) -> None:
    fake.answers = [None, None]
    link = await dial(timeout=0.2)
    failed = await asyncio.gather(*(link.call(SCRIPT, "k", []) for _ in range(2)), return_exceptions=True)
    assert [str(error) for error in failed] == [f"the queue's Redis at {link.where}: it did not answer in time"] * 2
    assert isinstance(failed[0], Unavailable)
    assert isinstance(failed[0].__cause__, RedisTimeoutError)
    assert await link.call(SCRIPT, "k", []) == 1
    assert fake.connections == 2


async def test_a_closed_connection_fails_what_is_in_flight_and_is_made_anew(fake: FakeRedis, dial: Dial) -> None:
    fake.answers = [None]
    link = await dial()
    call = asyncio.create_task(link.call(SCRIPT, "k", []))
    await fake.has_been_asked(1)
    fake.writers[0].close()
    with pytest.raises(Unavailable, match="no connection"):
        await call
    assert await link.call(SCRIPT, "k", []) == 1
    assert fake.connections == 2


async def test_nonsense_closes_the_connection(fake: FakeRedis, dial: Dial) -> None:
    fake.answers = [b"HTTP/1.1 400 Bad Request\r\n"]
    link = await dial()
    with pytest.raises(Unavailable, match="no connection"):
        await link.call(SCRIPT, "k", [])
    assert await link.call(SCRIPT, "k", []) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "meaning"),
    [
        (b"-OOM command not allowed\r\n", OutOfMemoryError, "out of memory"),
        (b"-READONLY You can't write\r\n", ReadOnlyError, "read-only replica"),
        (b"-NOPERM no\r\n", RedisError, "ACL"),
        (b"-LOADING dataset\r\n", RedisError, "no connection"),
        (b"-MISCONF disk\r\n", ResponseError, "answered with an error: MISCONF disk"),
    ],
)
async def test_an_error_has_the_meaning_that_it_has_with_redis_py(
    fake: FakeRedis, dial: Dial, answer: bytes, kind: type[Exception], meaning: str
) -> None:
    fake.answers = [answer]
    with pytest.raises(Unavailable, match=meaning) as caught:
        await (await dial()).call(SCRIPT, "k", [])
    assert isinstance(caught.value.__cause__, kind)


async def test_a_script_that_is_not_known_there_is_sent_whole(fake: FakeRedis, dial: Dial) -> None:
    fake.answers = [b"-NOSCRIPT No matching script.\r\n"]
    assert await (await dial()).call(SCRIPT, "k", []) == 1
    assert fake.asked == [b"EVALSHA", b"EVAL"]


async def test_the_connection_speaks_tls(fake: FakeRedis, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0, ssl=context)
    link = link_to(f"rediss://127.0.0.1:{server.sockets[0].getsockname()[1]}/0?ssl_ca_certs={tmp_path}/ca.pem")
    try:
        assert await asyncio.gather(*(link.call(SCRIPT, "k", []) for _ in range(3))) == [1, 1, 1]
        assert fake.connections == 1
    finally:
        await link.close()
        server.close()
