import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from redis.exceptions import AuthenticationError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.link import RedisLink, Script
from sockudo_py.metrics import Metrics


class Client:
    """Answers as redis-py does, at its worst: a cancellation is lost, or becomes another error."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.error: Exception | None = None

    async def execute_command(self, *words: str) -> bytes:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.error is not None:
                raise self.error from None
        return b"answer"

    async def aclose(self) -> None:
        pass


class Prompt(Client):
    async def execute_command(self, *words: str) -> bytes:
        if self.error is not None:
            raise self.error
        return b"answer"


@pytest.fixture
async def link() -> AsyncIterator[RedisLink]:
    made = link_of("cache", "cache.redis.url")
    yield made
    await made.close()


def link_of(owner: str, keys: str) -> RedisLink:
    errors = Metrics().counter("errors", "", ("kind",))
    return RedisLink(
        "redis://user:secret@localhost:1",
        owner=owner,
        keys=keys,
        max_connections=1,
        response_timeout=1.0,
        errors=errors,
    )


@pytest.mark.parametrize("error", [None, RedisTimeoutError("closing took too long")])
async def test_a_cancelled_call_ends_its_task_whatever_the_library_makes_of_it(
    link: RedisLink, error: Exception | None
) -> None:
    client = Client()
    client.error = error
    link._client = client  # type: ignore[assignment]
    task = asyncio.create_task(link.command("PING"))
    await client.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("error", "expected"), [(None, b"answer"), (RedisTimeoutError("no answer"), Unavailable)])
async def test_a_task_that_was_cancelled_before_may_still_call(
    link: RedisLink, error: Exception | None, expected: object
) -> None:
    client = Prompt()
    client.error = error
    link._client = client  # type: ignore[assignment]

    async def tidy_up() -> object:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            with contextlib.suppress(Unavailable):
                return await link.command("PING")
        return Unavailable

    task = asyncio.create_task(tidy_up())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == expected


async def test_an_error_names_its_owner_and_the_keys_of_that_and_no_secret(link: RedisLink) -> None:
    client = Prompt()
    client.error = AuthenticationError("WRONGPASS")
    link._client = client  # type: ignore[assignment]
    with pytest.raises(Unavailable) as refused:
        await link.command("PING")
    assert str(refused.value) == (
        "the cache's Redis at localhost:1: it refuses user or password; check cache.redis.url"
    )


def test_a_script_holds_what_it_includes() -> None:
    script = Script("queue_turn")
    assert "\n-- include" not in script.text
    assert "local function settle(lane)" in script.text
