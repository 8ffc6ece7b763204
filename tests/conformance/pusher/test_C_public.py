"""Section C: public channels and delivery."""

import asyncio
import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.support.client import eventually
from tests.support.site import Site

SUCCEEDED = "pusher_internal:subscription_succeeded"


async def test_038_subscribing_to_a_public_channel_succeeds_with_empty_data(site: Site) -> None:
    async with site.connect() as client:
        await client.send('{"event":"pusher:subscribe","data":{"channel":"my-channel"}}')
        frame = await client.receive()
        assert frame.message == {"event": SUCCEEDED, "data": "{}", "channel": "my-channel"}
        assert '"data":"{}"' in frame.raw


@pytest.mark.parametrize(
    ("number", "auth"), [("039", ""), ("040", "garbage"), ("040", "key:0000"), ("040", "é:é"), ("040", None)]
)
async def test_039_040_auth_is_ignored_on_a_public_channel(site: Site, number: str, auth: str | None) -> None:
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": {"auth": auth, "channel": "my-channel"}})
        assert (await client.expect(SUCCEEDED, "my-channel")).text == "{}", number


async def test_041_the_data_of_a_subscribe_may_be_a_json_string(site: Site) -> None:
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": '{"channel":"my-channel"}'})
        await client.expect(SUCCEEDED, "my-channel")


async def test_042_a_second_subscribe_is_an_error_and_events_still_come_once(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("my-channel")
        await client.ask("my-channel")
        frames = [frame for frame in await client.barrier() if frame.event == "pusher:error"]
        assert len(frames) == 1
        assert frames[0].data["code"] is None
        assert "Existing subscription to channel my-channel" in frames[0].data["message"]
        site.api.publish("my-channel")
        await client.expect("my-event", "my-channel")
        await client.quiet()


async def test_043_unsubscribe_has_no_reply_and_ends_delivery(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("my-channel")
        await client.unsubscribe("my-channel")
        await client.quiet()
        site.api.publish("my-channel")
        await client.quiet()


async def test_044_unsubscribing_from_an_unknown_channel_does_no_harm(site: Site) -> None:
    async with site.connect() as client:
        await client.unsubscribe("never-joined")
        seen = await client.barrier()
        assert [frame.data["code"] for frame in seen] in ([], [None])


async def test_045_subscribing_again_after_unsubscribe_succeeds(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("my-channel")
        await client.unsubscribe("my-channel")
        await client.subscribe("my-channel")
        site.api.publish("my-channel")
        await client.expect("my-event", "my-channel")
        await client.quiet()


@pytest.mark.parametrize("data", ["{}", '{"channel":5}', '{"channel":null}', '{"channel":""}', "[]", "7", "null"])
async def test_046_a_subscribe_without_a_channel_name_is_an_error(site: Site, data: str) -> None:
    async with site.connect() as client:
        await client.send(f'{{"event":"pusher:subscribe","data":{data}}}')
        frames = await client.barrier()
        assert [f.data["code"] for f in frames if f.event == "pusher:error"] == [None]
        assert SUCCEEDED not in [frame.event for frame in frames]


@pytest.mark.parametrize("name", ["with space", "a/b", "a:b", "#x", "a*", "é", "a\n", "\u0000", "a+b", "a{b}"])
async def test_047_a_channel_name_with_other_characters_is_an_error(site: Site, name: str) -> None:
    async with site.connect() as client:
        await client.ask(name)
        frames = await client.barrier()
        assert [f.data["code"] for f in frames if f.event == "pusher:error"] == [None]
        assert SUCCEEDED not in [frame.event for frame in frames]


async def test_047_every_allowed_character_is_allowed(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("A-z_=@,.;9")


async def test_048_a_name_of_200_characters_is_the_longest(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("c" * 200)
        await client.ask("c" * 201)
        frames = await client.barrier()
        assert [f.data["code"] for f in frames if f.event == "pusher:error"] == [None]
        assert SUCCEEDED not in [frame.event for frame in frames]


async def test_049_a_hundred_channels_succeed_once_each(site: Site) -> None:
    names = [f"channel-{number}" for number in range(100)]
    async with site.connect() as client:
        for name in names:
            await client.ask(name)
        frames = await client.barrier()
        assert [frame.event for frame in frames] == [SUCCEEDED] * 100
        assert sorted(str(frame.channel) for frame in frames) == sorted(names)


async def test_050_unsubscribe_and_subscribe_at_once_end_subscribed_with_one_more_success(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("c")
        await client.unsubscribe("c")
        await client.ask("c")
        assert [frame.event for frame in await client.barrier()] == [SUCCEEDED]
        site.api.publish("c")
        await client.expect("my-event", "c")


async def test_051_closing_the_socket_removes_all_its_subscriptions(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("one")
        await client.subscribe("private-two")
        assert site.api.get("/channels").json == {"channels": {"one": {}, "private-two": {}}}
    await eventually(lambda: site.api.get("/channels").body == b'{"channels":{}}', "the channels are empty")


async def test_051_a_lost_connection_removes_all_its_subscriptions(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("one")
        client.abort()
        with pytest.raises(ConnectionClosed):
            await client.connection.recv()
    await eventually(lambda: not site.api.occupied("one"), "the channel is empty")


async def test_052_what_was_published_before_is_not_delivered(site: Site) -> None:
    async with site.connect() as witness, site.connect() as client:
        await witness.subscribe("c")
        site.api.publish("c", "early")
        await witness.expect("early", "c")
        await client.subscribe("c")
        await client.quiet()
        site.api.publish("c", "late")
        await client.expect("late", "c")


async def test_053_a_delivered_event_has_name_data_and_channel(site: Site) -> None:
    data = '{"message":"hello world"}'
    async with site.connect() as client:
        await client.subscribe("my-channel")
        site.api.publish("my-channel", data=data)
        assert (await client.receive()).message == {"event": "my-event", "data": data, "channel": "my-channel"}


@pytest.mark.parametrize("data", ["hello", "", "5", "null", '"quoted"', "é ☃ 🎉", 'back\\slash "and" quotes\n\t\x7f'])
async def test_054_data_that_is_not_json_is_delivered_verbatim(site: Site, data: str) -> None:
    async with site.connect() as client:
        await client.subscribe("my-channel")
        site.api.publish("my-channel", data=data)
        assert (await client.expect("my-event")).text == data


async def test_055_a_laravel_event_name_arrives_intact(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("my-channel")
        site.api.publish("my-channel", "App\\Events\\OrderShipped")
        frame = await client.receive()
        assert frame.event == "App\\Events\\OrderShipped"
        assert json.dumps("App\\Events\\OrderShipped") in frame.raw


async def test_053_every_subscriber_gets_an_event_once(site: Site) -> None:
    async with site.connect() as one, site.connect() as two, site.connect() as other:
        await asyncio.gather(one.subscribe("c"), two.subscribe("c"), other.subscribe("d"))
        site.api.publish("c")
        for client in (one, two):
            await client.expect("my-event", "c")
            await client.quiet()
        await other.quiet()
