"""Section F: cache channels."""

from collections.abc import Iterator

import pytest

from tests.support.client import Frame, eventually, member
from tests.support.site import Site, private_site

MISS = "pusher:cache_miss"
SUCCEEDED = "pusher_internal:subscription_succeeded"
CLASSES = ["cache-x", "private-cache-x", "private-encrypted-cache-x", "presence-cache-x"]


def channel_data(channel: str) -> str | None:
    return member("1", name="A") if channel.startswith("presence-") else None


def shown(frames: list[Frame]) -> list[str]:
    return [frame.event for frame in frames]


async def test_095_subscribing_to_an_empty_cache_channel_gives_cache_miss_after_success(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("cache-x")
        assert (await client.receive()).message == {"event": MISS, "data": "{}", "channel": "cache-x"}


async def test_096_the_last_event_is_replayed_instead_of_a_miss(site: Site) -> None:
    site.api.publish("cache-x", "App\\Events\\Price", '{"price": 5}')
    async with site.connect() as client:
        await client.subscribe("cache-x")
        replay = {"event": "App\\Events\\Price", "data": '{"price": 5}', "channel": "cache-x"}
        assert (await client.receive()).message == replay
        await client.quiet()


async def test_097_only_the_last_of_two_events_is_replayed(site: Site) -> None:
    site.api.publish("cache-x", "first")
    site.api.publish("cache-x", "second")
    async with site.connect() as client:
        await client.subscribe("cache-x")
        assert shown(await client.barrier()) == ["second"]


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server whose cache channels remember for a second."""
    with private_site(tmp_path_factory.mktemp("forgetful"), channel_limits={"cache_ttl": 1}) as site:
        yield site


async def test_098_after_its_time_to_live_the_event_is_forgotten(forgetful: Site) -> None:
    forgetful.api.publish("cache-x", "soon-forgotten")
    async with forgetful.connect() as client:
        await client.subscribe("cache-x")
        await client.expect("soon-forgotten", "cache-x")
        await client.unsubscribe("cache-x")

        def forgotten() -> bool:
            return forgetful.api.get("/channels/cache-x", info="cache").json["cache"] is None

        await eventually(forgotten, "the cached event is forgotten")
        await client.subscribe("cache-x")
        await client.expect(MISS, "cache-x")


async def test_099_a_client_event_does_not_change_the_cache(talk: Site) -> None:
    channel = "private-cache-x"
    talk.api.publish(channel, "kept")
    async with talk.connect() as one, talk.connect() as two:
        for client in (one, two):
            await client.subscribe(channel)
            await client.expect("kept", channel)
        await one.trigger(channel, "client-typing")
        await two.expect("client-typing", channel)
    async with talk.connect() as late:
        await late.subscribe(channel)
        await late.expect("kept", channel)


@pytest.mark.parametrize("channel", CLASSES)
async def test_100_every_cache_class_misses_and_replays(site: Site, channel: str) -> None:
    async with site.connect() as client:
        succeeded = await client.subscribe(channel, channel_data(channel))
        assert (succeeded.text != "{}") is channel.startswith("presence-")
        await client.expect(MISS, channel)
        site.api.publish(channel, "published")
        await client.expect("published", channel)
    async with site.connect() as client:
        await client.subscribe(channel, channel_data(channel))
        assert shown(await client.barrier()) == ["published"]


@pytest.mark.parametrize("channel", CLASSES[1:])
async def test_100_the_cache_classes_that_are_private_still_need_auth(site: Site, channel: str) -> None:
    site.api.publish(channel, "secret")
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": channel}})
        frames = await client.barrier()
        assert set(shown(frames)) == {"pusher:error", "pusher:subscription_error"}


@pytest.mark.parametrize("channel", ["presence-cache-x", "private-cache-x"])
async def test_101_private_and_presence_cache_channels_take_client_events(talk: Site, channel: str) -> None:
    async with talk.connect() as one, talk.connect() as two:
        await one.subscribe(channel, member("1") if channel.startswith("presence-") else None)
        await two.subscribe(channel, member("2") if channel.startswith("presence-") else None)
        await one.barrier()
        await two.barrier()
        await one.trigger(channel, "client-typing", {"on": True})
        frame = await two.expect("client-typing", channel)
        assert frame.message.get("user_id") == ("1" if channel.startswith("presence-") else None)


async def test_102_the_cache_is_shown_by_the_http_api(site: Site) -> None:
    assert site.api.get("/channels/cache-x", info="cache").json == {"occupied": False, "cache": None}
    site.api.publish("cache-x", data='{"a": 1}')
    cache = site.api.get("/channels/cache-x", info="cache").json["cache"]
    assert set(cache) == {"data", "ttl"}
    assert cache["data"] == '{"a": 1}'
    assert type(cache["ttl"]) is int
    assert 1700 < cache["ttl"] <= 1800


async def test_103_publishing_with_nobody_there_fills_the_cache(site: Site) -> None:
    site.api.publish("cache-x", "unheard")
    assert not site.api.occupied("cache-x")
    async with site.connect() as client:
        await client.subscribe("cache-x")
        assert shown(await client.barrier()) == ["unheard"]


async def test_103_an_excluded_socket_does_not_keep_the_event_out_of_the_cache(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("cache-x")
        await client.expect(MISS)
        site.api.publish("cache-x", "not-to-me", socket_id=client.socket_id)
        await client.quiet()
        await client.unsubscribe("cache-x")
        await client.subscribe("cache-x")
        await client.expect("not-to-me", "cache-x")


async def test_104_my_cache_is_no_cache_channel(site: Site) -> None:
    site.api.publish("my-cache-x", "gone")
    async with site.connect() as client:
        await client.subscribe("my-cache-x")
        await client.quiet()
