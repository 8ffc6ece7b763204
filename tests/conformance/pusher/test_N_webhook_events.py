"""Section N: which webhook events happen, and what is in them.

The endpoint of these tests takes one request at a time, in order: once the event of a sentinel channel is there,
everything that happened before is there too.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from itertools import count
from typing import Any

from tests.support.client import Client, eventually, member
from tests.support.site import Site

Event = dict[str, Any]
_sentinels = (f"sentinel-{number}" for number in count())


def occupied(channel: str) -> Event:
    return {"name": "channel_occupied", "channel": channel}


def vacated(channel: str) -> Event:
    return {"name": "channel_vacated", "channel": channel}


def added(channel: str, user_id: str) -> Event:
    return {"name": "member_added", "channel": channel, "user_id": user_id}


def removed(channel: str, user_id: str) -> Event:
    return {"name": "member_removed", "channel": channel, "user_id": user_id}


async def settled(site: Site, client: Client, *, delayed: bool = False) -> list[Event]:
    """Return the events so far, once all that has happened is delivered; ``delayed`` waits out the vacate delay too."""
    sentinel = next(_sentinels)
    await client.ask(sentinel)
    await client.barrier()
    await client.unsubscribe(sentinel)
    last = vacated(sentinel) if delayed else occupied(sentinel)
    await eventually(lambda: last in site.events(), f"{last} arrives")
    return [event for event in site.events() if not event.get("channel", "").startswith("sentinel-")]


async def test_197_the_first_subscriber_occupies_a_channel_and_the_second_does_not(hooked: Site) -> None:
    async with hooked.connect() as one, hooked.connect() as two:
        await one.subscribe("c")
        await two.subscribe("c")
        assert await settled(hooked, two) == [occupied("c")]


async def test_198_the_last_to_leave_vacates_it_after_the_delay(hooked: Site) -> None:
    async with hooked.connect() as one, hooked.connect() as two:
        await one.subscribe("c")
        await two.subscribe("c")
        await one.unsubscribe("c")
        await one.quiet()
        left = time.monotonic()
        await two.unsubscribe("c")
        assert await settled(hooked, two, delayed=True) == [occupied("c"), vacated("c")]
        at = next(hook.at for hook in hooked.requests() if hook.events == [vacated("c")])
        assert at - left > 0.4  # the delay of the shared server is 0.5 s


async def test_198_a_lost_connection_vacates_its_channels(hooked: Site) -> None:
    async with hooked.connect() as one:
        await one.subscribe("c")
        one.abort()
    await eventually(lambda: vacated("c") in hooked.events(), "the channel is vacated")


async def test_199_a_return_within_the_delay_tells_neither_of_leaving_nor_of_coming(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("c")
        await client.subscribe("presence-c", member("1"))
        for channel, data in (("c", None), ("presence-c", member("1"))):
            leave = {"event": "pusher:unsubscribe", "data": {"channel": channel}}
            await client.send_at_once(leave, client.request(channel, data))
            await client.expect("pusher_internal:subscription_succeeded", channel)
        events = await settled(hooked, client, delayed=True)
        assert sorted(map(str, events)) == sorted(
            map(str, [occupied("c"), occupied("presence-c"), added("presence-c", "1")])
        )


async def test_200_the_first_and_last_connection_of_a_user_are_told_and_others_not(hooked: Site) -> None:
    async with hooked.connect() as one, hooked.connect() as two, hooked.connect() as witness:
        await witness.subscribe("presence-c", member("w"))
        for client in (one, two):
            await client.subscribe("presence-c", member(10, name="A"))
        await one.unsubscribe("presence-c")
        await one.quiet()
        assert removed("presence-c", "10") not in await settled(hooked, witness, delayed=True)
        await two.unsubscribe("presence-c")
        await two.quiet()
        events = await settled(hooked, witness, delayed=True)
        of_the_user = [event for event in events if event.get("user_id") == "10"]
        assert of_the_user == [added("presence-c", "10"), removed("presence-c", "10")]


async def test_201_a_presence_channel_is_occupied_and_vacated_too(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("presence-c", member("1"))
        await client.unsubscribe("presence-c")
        await client.quiet()
        events = await settled(hooked, client, delayed=True)
        assert occupied("presence-c") in events
        assert vacated("presence-c") in events
        assert len(events) == 4


async def test_202_a_client_event_is_told_with_its_data_as_a_string(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("private-room")
        await client.trigger("private-room", "client-typing", {"on": True})
        assert (await settled(hooked, client))[-1] == {
            "name": "client_event",
            "channel": "private-room",
            "event": "client-typing",
            "data": '{"on":true}',
            "socket_id": client.socket_id,
        }


async def test_202_a_client_event_on_presence_tells_who_sent_it(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("presence-room", member(10))
        await client.trigger("presence-room", "client-typing", '{"on": true}')
        event = (await settled(hooked, client))[-1]
        assert event["user_id"] == "10"
        assert event["data"] == '{"on": true}'


async def test_202_a_refused_client_event_is_not_told(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.trigger("private-room", "client-typing", {"on": True})
        await client.expect_error()
        assert await settled(hooked, client) == []


async def test_203_a_cache_miss_is_told(hooked: Site) -> None:
    async with hooked.connect() as client:
        await client.subscribe("cache-x")
        await client.expect("pusher:cache_miss")
        assert {"name": "cache_miss", "channel": "cache-x"} in await settled(hooked, client)


async def test_203_simultaneous_misses_are_told_far_fewer_times(hooked: Site) -> None:
    async with AsyncExitStack() as stack:
        clients: list[Client] = [await stack.enter_async_context(hooked.connect()) for _ in range(20)]
        await asyncio.gather(*(client.subscribe("cache-x") for client in clients))
        events = await settled(hooked, clients[0])
        misses = [event for event in events if event["name"] == "cache_miss"]
        assert 1 <= len(misses) <= 5


async def test_204_a_subscription_count_is_an_integer(make_site: Callable[[str], Site]) -> None:
    site = make_site("hooked_counted")
    async with site.connect() as one, site.connect() as two:
        await one.subscribe("c")
        await two.subscribe("c")
        events = await settled(site, one)
        counts = [event for event in events if event["name"] == "subscription_count"]
        assert counts[-1] == {"name": "subscription_count", "channel": "c", "subscription_count": 2}
        assert type(counts[-1]["subscription_count"]) is int


async def test_223_non_ascii_data_is_signed_as_the_bytes_that_are_sent(hooked: Site) -> None:
    from tests.support.client import hmac_hex

    text = 'é ☃ 🎉 "quoted" \\ \u2028 \x7f'
    async with hooked.connect() as client:
        await client.subscribe("private-room")
        await client.trigger("private-room", "client-ünï", text)
        assert (await settled(hooked, client))[-1]["data"] == text
    hook = next(hook for hook in hooked.requests() if hook.events[0]["name"] == "client_event")
    assert json.loads(hook.body.decode())["events"][0]["event"] == "client-ünï"
    assert hook.header("X-Pusher-Signature") == hmac_hex(hooked.app.secret, hook.body)
