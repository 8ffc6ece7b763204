"""Cache channels: what a new subscriber is replayed, and what webhooks hear of misses."""

import asyncio

import pytest

from sockudo_py.changes import CacheMissed
from sockudo_py.errors import Unavailable
from tests.unit.node.kit import Bench, make_app

SUCCEEDED = ("pusher_internal:subscription_succeeded", "{}")
MISS = ("pusher:cache_miss", "{}")
CACHED_CLASSES = ["cache-c", "private-cache-c", "private-encrypted-cache-c"]


def misses(bench: Bench) -> list[CacheMissed]:
    return [change for change in bench.changes if isinstance(change, CacheMissed)]


@pytest.mark.parametrize("channel", CACHED_CLASSES)
def test_an_empty_cache_channel_is_a_miss(channel: str) -> None:
    bench = Bench()
    client = bench.client()
    bench.subscribe(client, channel)
    assert client.take() == [SUCCEEDED, MISS]
    assert misses(bench) == [CacheMissed("1", channel)]


@pytest.mark.parametrize("channel", CACHED_CLASSES)
def test_the_last_event_is_replayed_after_the_confirmation(channel: str) -> None:
    bench = Bench()
    bench.publish(channel, data="first")
    bench.publish(channel, data="last")
    client = bench.client()
    bench.subscribe(client, channel)
    assert client.take() == [SUCCEEDED, ("e", "last")]
    assert misses(bench) == []


@pytest.mark.parametrize("channel", ["my-cache-c", "private-my-cache-c", "c"])
def test_other_channels_replay_nothing_and_miss_nothing(channel: str) -> None:
    bench = Bench()
    bench.publish(channel)
    client = bench.client()
    bench.subscribe(client, channel)
    assert client.take() == [SUCCEEDED]


def test_a_presence_cache_channel_sends_the_members_first() -> None:
    bench = Bench()
    bench.publish("presence-cache-c")
    client = bench.client()
    bench.subscribe(client, "presence-cache-c", "1")
    assert [event for event, _ in client.take()] == ["pusher_internal:subscription_succeeded", "e"]


def test_an_event_is_forgotten_after_the_apps_ttl() -> None:
    bench = Bench(app=make_app(cache_ttl=10.0))
    bench.publish("cache-c")
    bench.loop.advance(10.0)
    client = bench.client()
    bench.subscribe(client, "cache-c")
    assert client.take() == [SUCCEEDED, MISS]


def test_misses_of_a_channel_within_a_second_are_told_once() -> None:
    bench = Bench()
    for _ in range(20):
        client = bench.client()
        bench.subscribe(client, "cache-c")
        assert client.take() == [SUCCEEDED, MISS]
    bench.subscribe(bench.client(), "cache-d")
    assert misses(bench) == [CacheMissed("1", "cache-c"), CacheMissed("1", "cache-d")]
    bench.loop.advance(1.0)
    bench.subscribe(bench.client(), "cache-c")
    assert misses(bench)[2:] == [CacheMissed("1", "cache-c")]


def test_client_events_do_not_change_the_cache() -> None:
    bench = Bench(app=make_app(client_events=True))
    bench.publish("private-cache-c", data="published")
    sender = bench.subscriber("private-cache-c")
    bench.send(sender, "client-e", "sent", "private-cache-c")
    client = bench.client()
    bench.subscribe(client, "private-cache-c")
    assert client.take() == [SUCCEEDED, ("e", "published")]


def test_an_excluded_socket_is_replayed_the_event_all_the_same() -> None:
    bench = Bench()
    client = bench.client()
    bench.publish("cache-c", exclude=client.session.socket_id)
    bench.subscribe(client, "cache-c")
    assert client.take() == [SUCCEEDED, ("e", "d")]


def test_live_events_wait_for_a_slow_replay() -> None:
    bench = Bench(slow_cache=True)
    bench.publish("cache-c", data="remembered")
    client = bench.client()
    bench.subscribe(client, "cache-c")
    bench.publish("cache-c", data="live")
    bench.loop.settle()
    assert client.take() == [SUCCEEDED]
    bench.slow_cache.answer()
    bench.loop.settle()
    assert client.take() == [("e", "remembered"), ("e", "live")]


def test_the_subscription_count_waits_for_a_slow_replay() -> None:
    bench = Bench(app=make_app(subscription_count=True), slow_cache=True)
    client = bench.client()
    bench.subscribe(client, "cache-c")
    bench.loop.settle()
    bench.slow_cache.answer()
    bench.loop.settle()
    assert [event for event, _ in client.take()] == [SUCCEEDED[0], MISS[0], "pusher_internal:subscription_count"]


def test_unsubscribing_during_a_slow_replay_ends_it() -> None:
    bench = Bench(slow_cache=True)
    client = bench.client()
    bench.subscribe(client, "cache-c")
    client.take()
    bench.unsubscribe(client, "cache-c")
    bench.slow_cache.answer()
    assert client.take() == []


def test_while_the_cache_is_away_clients_hear_of_a_miss_but_webhooks_do_not() -> None:
    bench = Bench(slow_cache=True)
    bench.slow_cache.away = True
    client = bench.client()
    bench.subscribe(client, "cache-c")
    bench.slow_cache.answer()
    assert client.take() == [SUCCEEDED, MISS]
    assert misses(bench) == []


async def test_the_backend_can_ask_what_is_remembered() -> None:
    bench = Bench()
    assert await bench.node.cached(bench.app, "cache-c") is None
    bench.publish("cache-c")
    bench.loop.advance(100.0)
    found = await bench.node.cached(bench.app, "cache-c")
    assert found is not None
    assert found.payload == b'{"event":"e","data":"d","channel":"cache-c"}'
    assert found.ttl == pytest.approx(1700.0)


async def test_asking_what_is_remembered_fails_while_the_cache_is_away() -> None:
    bench = Bench(slow_cache=True)
    bench.slow_cache.away = True
    question = asyncio.ensure_future(bench.node.cached(bench.app, "cache-c"))
    await asyncio.sleep(0)
    bench.slow_cache.answer()
    with pytest.raises(Unavailable):
        await question
