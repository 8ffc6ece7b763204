"""What of a Redis URL is shown, and what the scripts are made of."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from sockudo_py.metrics import Metrics
from sockudo_py.queues.counters import Counters
from sockudo_py.queues.redis_link import RedisLink, Script, where

LUA = Path(__file__).parents[3] / "sockudo_py" / "lua"
NAMES = [path.stem.removeprefix("queue_") for path in LUA.glob("queue_*.lua") if path.stem != "queue_common"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://host:6380/1", "host:6380"),
        ("redis://user:secret@host/0", "host:6379"),
        ("rediss://:secret@10.0.0.1:1?password=secret", "10.0.0.1:1"),
        ("unix:///run/redis.sock?password=secret", "/run/redis.sock"),
        ("unix://:secret@/run/redis.sock", "/run/redis.sock"),
        ("redis://:secret@host:secret", "host"),
        ("redis://", "localhost:6379"),
    ],
)
def test_only_the_place_of_a_url_is_shown(url: str, shown: str) -> None:
    assert where(url) == shown


@pytest.mark.parametrize("name", NAMES)
def test_each_script_begins_with_its_flags_and_explains_its_arguments(name: str) -> None:
    text = (LUA / f"queue_{name}.lua").read_text()
    assert text.startswith("#!lua")
    assert "-- KEYS[1]" in text
    assert "-- Returns" in text


@pytest.mark.parametrize("name", NAMES)
def test_each_script_gets_the_common_part_once(name: str) -> None:
    assert Script(name).text.count("local P = KEYS[1]") == 1


def test_only_append_may_be_refused_by_a_full_redis() -> None:
    refused = [name for name in NAMES if not Script(name).text.startswith("#!lua flags=allow-oom")]
    assert refused == ["append"]


async def test_a_cancelled_call_is_cancelled_also_when_redis_py_says_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    link = RedisLink(
        "redis://127.0.0.1:1",
        cluster=False,
        max_connections=1,
        response_timeout=1.0,
        errors=Counters(Metrics()).store_errors,
    )
    begun = asyncio.Event()

    async def hang(*_: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RedisTimeoutError("closing took too long") from None

    monkeypatch.setattr(link._client, "execute_command", hang)
    call = asyncio.create_task(link.command("PING"))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await link.close()
