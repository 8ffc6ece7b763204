"""Section G: subscription_count."""

import time
from contextlib import AsyncExitStack

import pytest

from tests.support.client import Client, Frame, member
from tests.support.site import Site

COUNT = "pusher_internal:subscription_count"


def counts(frames: list[Frame]) -> list[int]:
    assert all(frame.event == COUNT for frame in frames), [frame.raw for frame in frames]
    return [frame.data["subscription_count"] for frame in frames]


async def test_105_by_default_there_is_no_such_frame(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe("my-channel")
        await two.subscribe("my-channel")
        await two.quiet()
        await one.quiet()


@pytest.mark.parametrize("channel", ["my-channel", "private-x", "private-encrypted-x"])
async def test_106_subscribers_get_the_count_at_each_change(counted: Site, channel: str) -> None:
    async with counted.connect() as one:
        await one.subscribe(channel)
        assert counts(await one.barrier()) == [1]
        async with counted.connect() as two:
            await two.subscribe(channel)
            assert counts(await two.barrier()) == [2]
            frame = await one.receive()
            assert frame.message == {"event": COUNT, "data": '{"subscription_count":2}', "channel": channel}
            await two.unsubscribe(channel)
            await two.quiet()
            assert counts([await one.receive()]) == [1]
            await two.subscribe(channel)
            assert counts([await one.receive()]) == [2]
        assert counts([await one.receive()]) == [1]


@pytest.mark.parametrize("channel", ["presence-x", "presence-cache-x"])
async def test_107_presence_channels_have_no_counts(counted: Site, channel: str) -> None:
    async with counted.connect() as one, counted.connect() as two:
        await one.subscribe(channel, member("1"))
        await two.subscribe(channel, member("2"))
        assert COUNT not in [frame.event for frame in await two.barrier()]
        assert COUNT not in [frame.event for frame in await one.barrier()]


async def test_108_success_then_the_cached_event_then_the_count(counted: Site) -> None:
    counted.api.publish("cache-x", "cached")
    async with counted.connect() as client:
        await client.subscribe("cache-x")
        await client.expect("cached", "cache-x")
        await client.expect(COUNT, "cache-x")


async def test_109_over_a_hundred_subscriptions_counts_come_at_most_every_five_seconds(counted: Site) -> None:
    async with AsyncExitStack() as stack:
        witness: Client = await stack.enter_async_context(counted.connect())
        await witness.subscribe("c")
        for _ in range(99):
            client: Client = await stack.enter_async_context(counted.connect())
            await client.subscribe("c")
        assert counts(await witness.barrier()) == list(range(1, 101))
        since = time.monotonic()
        for _ in range(20):
            client = await stack.enter_async_context(counted.connect())
            await client.subscribe("c")
        at_once = counts(await witness.barrier())
        assert len(at_once) <= 1 + (time.monotonic() - since) / 5
        last = at_once[-1] if at_once else 0
        while last != 120:
            last = counts([await witness.receive()])[0]
            at_once.append(last)
        assert len(at_once) <= 2 + (time.monotonic() - since) / 5
