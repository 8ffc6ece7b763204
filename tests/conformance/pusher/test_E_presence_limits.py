"""Section E: presence limits and many connections at once."""

import asyncio
import json
from contextlib import AsyncExitStack

from tests.support.client import Client, eventually, member
from tests.support.site import Site

ROOM = "presence-room"
SUCCEEDED = "pusher_internal:subscription_succeeded"
ADDED = "pusher_internal:member_added"
REMOVED = "pusher_internal:member_removed"


async def outcome(client: Client, channel: str, channel_data: str) -> str:
    """Return the event of the answer to a subscribe: success, or the name of the error."""
    await client.ask(channel, channel_data)
    events = {frame.event for frame in await client.barrier()} & {SUCCEEDED, "pusher:error"}
    assert len(events) == 1, events
    return events.pop()


async def test_088_the_101st_user_is_refused_and_the_hundred_stay(site: Site) -> None:
    async with AsyncExitStack() as stack:
        clients: list[Client] = [await stack.enter_async_context(site.connect()) for _ in range(102)]
        for number, client in enumerate(clients[:100]):
            await client.subscribe(ROOM, member(number))
        late, again = clients[100:]
        await late.ask(ROOM, member("one too many"))
        await late.expect_refused(ROOM, status=403)
        await late.quiet()
        assert len(site.api.users(ROOM)) == 100
        assert (await again.subscribe(ROOM, member(5))).data["presence"]["count"] == 100
        site.api.publish(ROOM)
        for client in clients[:100]:
            frames = [frame.event for frame in await client.barrier()]
            assert frames[-1:] == ["my-event"], (frames[-3:], len(frames))
            assert set(frames[:-1]) <= {ADDED}


async def test_089_a_user_id_has_at_most_128_characters(site: Site) -> None:
    async with site.connect() as client:
        assert await outcome(client, "presence-a", member("u" * 128)) == SUCCEEDED
        assert await outcome(client, "presence-b", member("u" * 129)) == "pusher:error"
        assert await outcome(client, "presence-c", member("é" * 128)) == SUCCEEDED


async def test_089_user_info_has_at_most_one_kilobyte(site: Site) -> None:
    def sized(size: int) -> str:
        frame = len(json.dumps({"n": ""}, separators=(",", ":")))
        return member("1", n="x" * (size - frame))

    async with site.connect() as client:
        assert await outcome(client, "presence-a", sized(1024)) == SUCCEEDED
        assert await outcome(client, "presence-b", sized(1025)) == "pusher:error"


async def test_094_concurrent_joins_and_leaves_of_one_user_alternate_and_end_balanced(site: Site) -> None:
    async def come_and_go(client: Client) -> None:
        await client.subscribe(ROOM, member("busy"))
        await client.unsubscribe(ROOM)

    async with AsyncExitStack() as stack:
        witness: Client = await stack.enter_async_context(site.connect())
        await witness.subscribe(ROOM, member("witness"))
        clients: list[Client] = [await stack.enter_async_context(site.connect()) for _ in range(50)]
        await asyncio.gather(*(come_and_go(client) for client in clients))
        for client in clients:
            await client.quiet()
        await eventually(lambda: site.api.users(ROOM) == ["witness"], "the busy user has left")
        events = [frame.event for frame in await witness.barrier()]
    assert events
    assert len(events) % 2 == 0
    assert events == [ADDED, REMOVED] * (len(events) // 2)
