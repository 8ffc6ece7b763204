"""Section O, item 230: what the strictest clients (Java, Swift, .NET) need of every single frame."""

from collections.abc import Callable

from tests.support.client import Client, Frame, member
from tests.support.site import Site

OBJECTS = {"pusher:error", "pusher:subscription_error"}
KINDS = {
    "pusher:connection_established",
    "pusher:pong",
    "pusher:error",
    "pusher:subscription_error",
    "pusher:cache_miss",
    "pusher:signin_success",
    "pusher_internal:subscription_succeeded",
    "pusher_internal:subscription_count",
    "pusher_internal:member_added",
    "pusher_internal:member_removed",
    "pusher_internal:watchlist_events",
    "my-event",
    "client-x",
}


async def act(client: Client, other: Client, site: Site) -> None:
    """Make the server send every kind of frame that it has."""
    await client.sign_in("1", watchlist=["2"])
    await other.sign_in("2")
    for one in (client, other):
        await one.barrier()
        for channel in ("c", "private-c", "private-encrypted-c", "cache-c", "private-cache-c"):
            await one.ask(channel)
        await one.ask("presence-c", member("1" if one is client else "2", name="é"))
        await one.barrier()
    for channel in ("c", "private-encrypted-c", "cache-c", "#server-to-user-1"):
        for data in ("text", '{"a":1}', ""):
            site.api.publish(channel, data=data)
    for sent in (None, {"a": 1}, "text", 5):
        await other.trigger("private-c", "client-x", sent)
        await other.trigger("presence-c", "client-x", sent)
    for wrong in ("not json", '{"event":"x"}', '{"event":"pusher:subscribe"}', '{"event":"pusher:signin","data":{}}'):
        await client.send(wrong)
    await client.ask("private-refused", auth="x")
    await client.ask("private-refused", auth=f"{site.app.key}:{'0' * 64}")
    await client.ask("no good")
    await client.ask("c")
    await client.trigger("c", "client-x")
    await other.unsubscribe("presence-c")
    await other.unsubscribe("c")
    await other.barrier()
    await client.barrier()


async def test_230_every_frame_of_a_full_session_has_string_data_except_the_errors(
    make_site: Callable[[str], Site],
) -> None:
    site = make_site("everything")
    async with site.connect() as client, site.connect() as other:
        await act(client, other, site)
        frames: list[Frame] = client.frames + other.frames
    assert KINDS - {frame.event for frame in frames} == set(), "the session did not show these frames"
    for frame in frames:
        assert isinstance(frame.message["data"], dict if frame.event in OBJECTS else str), frame.raw
        assert isinstance(frame.message.get("channel", ""), str), frame.raw
        assert isinstance(frame.message.get("user_id", ""), str), frame.raw
        assert set(frame.message) <= {"event", "data", "channel", "user_id"}, frame.raw
