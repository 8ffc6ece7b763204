"""Section H: client events."""

import asyncio
import json
from typing import Any

import pytest

from tests.support.client import Client, Frame, member
from tests.support.site import Site

ROOM = "private-room"


async def refused(sender: Client, receiver: Client, text: str = "") -> None:
    """Fail unless the sender got one err(null) and the receiver nothing."""
    frames = await sender.barrier()
    assert [frame.event for frame in frames] == ["pusher:error"], [frame.raw for frame in frames]
    assert frames[0].data["code"] is None
    assert text in frames[0].data["message"]
    await receiver.quiet()


async def relayed(talk: Site, data: Any, channel: str = ROOM) -> Frame:
    """Return what the other subscriber gets for a client event with this data."""
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(channel)
        await two.subscribe(channel)
        await one.send({"event": "client-typing", "channel": channel, "data": data})
        frame = await two.expect("client-typing", channel)
        await one.quiet()
        await two.quiet()
        return frame


async def test_110_an_app_without_client_events_refuses_them(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        await one.trigger(ROOM, "client-typing")
        await refused(one, two, "To send client events, you must enable this feature")


async def test_111_the_other_subscribers_get_it_and_the_sender_does_not(talk: Site) -> None:
    frame = await relayed(talk, {"on": True})
    assert frame.message == {"event": "client-typing", "data": '{"on":true}', "channel": ROOM}


@pytest.mark.parametrize(
    ("data", "text"),
    [({"on": True}, '{"on":true}'), ([1, 2], "[1,2]"), (5, "5"), (False, "false"), (None, "null"), ({}, "{}")],
)
async def test_112_data_that_is_no_string_arrives_as_compact_string_json(talk: Site, data: Any, text: str) -> None:
    assert (await relayed(talk, data)).text == text


@pytest.mark.parametrize("text", ['{"a":1}', '{ "a" : 1 }', "plain", "", '"twice"', "é 🎉"])
async def test_113_a_string_arrives_identical_and_not_double_encoded(talk: Site, text: str) -> None:
    assert (await relayed(talk, text)).text == text


async def test_112_absent_data_arrives_as_an_empty_object(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        await one.send({"event": "client-typing", "channel": ROOM})
        assert (await two.expect("client-typing")).text == "{}"


async def test_114_on_presence_the_frame_carries_the_members_user_id_as_a_string(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe("presence-room", member(10))
        await two.subscribe("presence-room", member(20))
        await one.expect("pusher_internal:member_added")
        await one.trigger("presence-room", "client-typing", {"on": True})
        assert (await two.receive()).message == {
            "event": "client-typing",
            "data": '{"on":true}',
            "channel": "presence-room",
            "user_id": "10",
        }


@pytest.mark.parametrize("channel", ["presence-room", ROOM])
async def test_115_a_forged_user_id_and_extra_keys_are_not_relayed(talk: Site, channel: str) -> None:
    presence = channel.startswith("presence-")
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(channel, member("10") if presence else None)
        await two.subscribe(channel, member("20") if presence else None)
        await one.barrier()
        await one.trigger(channel, "client-x", user_id="admin", socket_id="1.1", more={"a": 1})
        frame = await two.expect("client-x", channel)
        assert set(frame.message) == {"event", "data", "channel"} | ({"user_id"} if presence else set())
        assert frame.message.get("user_id") == ("10" if presence else None)


async def test_116_on_a_private_channel_there_is_no_user_id(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.sign_in("u1")
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        await one.trigger(ROOM, "client-x")
        assert "user_id" not in (await two.expect("client-x")).message


@pytest.mark.parametrize("channel", ["public", "cache-public", "my-private-x"])
async def test_117_public_channels_refuse_client_events(talk: Site, channel: str) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(channel)
        await two.subscribe(channel)
        await one.barrier()
        await two.barrier()
        await one.trigger(channel, "client-x")
        await refused(one, two)


async def test_118_a_sender_that_is_not_subscribed_is_refused(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await two.subscribe(ROOM)
        await one.trigger(ROOM, "client-x")
        await refused(one, two, "Cannot broadcast client event")
        await one.subscribe(ROOM)
        await one.unsubscribe(ROOM)
        await one.trigger(ROOM, "client-x")
        await refused(one, two, "Cannot broadcast client event")


@pytest.mark.parametrize("event", ["my-event", "xclient-a", "Client-a", "client", " client-a", "client:a", ""])
async def test_119_other_event_names_are_refused(talk: Site, event: str) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        await one.trigger(ROOM, event)
        await refused(one, two, f"Unsupported event received on socket: {event}" if event else "")


async def test_120_the_eleventh_event_in_a_second_is_refused_with_4301_and_the_connection_lives(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        burst = 30  # sent at once: even if a new second begins in between, some are over the limit
        for number in range(burst):
            await one.trigger(ROOM, "client-x", number)
        errors = await one.barrier()
        assert errors
        assert {(frame.event, frame.data["code"]) for frame in errors} == {("pusher:error", 4301)}
        arrived = await two.barrier()
        assert len(arrived) == burst - len(errors)
        assert [frame.data for frame in arrived[:10]] == list(range(10))
        for _ in range(100):  # usable again when the second is over
            await one.trigger(ROOM, "client-later")
            if not await one.barrier():
                break
            await asyncio.sleep(0.05)
        else:
            pytest.fail("the sender is never allowed again")
        await two.expect("client-later", ROOM)


async def test_121_the_limit_is_per_connection(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two, talk.connect() as witness:
        for client in (one, two, witness):
            await client.subscribe(ROOM)
        for _ in range(30):  # at once: even if a new second begins in between, some are over the limit
            await one.trigger(ROOM, "client-one")
        assert {frame.data["code"] for frame in await one.barrier()} == {4301}
        await two.trigger(ROOM, "client-two")
        await two.barrier()
        assert [frame.event for frame in await witness.barrier()].count("client-two") == 1


@pytest.mark.parametrize("unit", ["x", "é"])
async def test_122_data_of_ten_kilobytes_is_the_most(talk: Site, unit: str) -> None:
    full = unit * (10240 // len(unit.encode()))
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        await one.trigger(ROOM, "client-x", full)
        assert (await two.expect("client-x")).text == full
        await one.trigger(ROOM, "client-x", full + "x")
        await refused(one, two)


async def test_123_an_event_name_has_at_most_200_characters(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        longest = "client-" + "n" * 193
        await one.trigger(ROOM, longest)
        await two.expect(longest, ROOM)
        await one.trigger(ROOM, longest + "n")
        await refused(one, two)


async def test_124_the_same_users_other_connection_gets_it(talk: Site) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe("presence-room", member("10"))
        await two.subscribe("presence-room", member("10"))
        await one.trigger("presence-room", "client-x")
        assert (await two.expect("client-x")).message["user_id"] == "10"
        await one.quiet()


async def test_125_the_server_to_user_channel_refuses_client_events(talk: Site) -> None:
    channel = "#server-to-user-u1"
    async with talk.connect() as one, talk.connect() as two:
        for client in (one, two):
            await client.sign_in("u1")
            await client.ask(channel, auth="")
            await client.expect("pusher_internal:subscription_succeeded", channel)
        await one.trigger(channel, "client-x")
        await refused(one, two)


@pytest.mark.parametrize(
    "event", ["pusher:foo", "pusher_internal:member_added", "pusher_internal:subscription_succeeded", "pusher:error"]
)
async def test_126_reserved_events_of_a_client_are_never_broadcast(talk: Site, event: str) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(ROOM)
        await two.subscribe(ROOM)
        await one.trigger(ROOM, event, {"user_id": "1"})
        assert event not in [f.event for f in await one.barrier() if f.event != "pusher:error"]
        await two.quiet()


async def test_127_ciphertext_is_relayed_byte_for_byte(talk: Site) -> None:
    text = json.dumps({"nonce": "a+/=", "ciphertext": "b+/=="}, indent=1)
    assert (await relayed(talk, text, "private-encrypted-room")).text == text
