"""Changes in, requests out: dispatcher, queue, worker and a real receiver in one process."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import orjson
import pusher
import pytest
from standardwebhooks import Webhook

from sockudo_py.changes import (
    CacheMissed,
    Change,
    ChannelOccupied,
    ChannelVacated,
    ClientEventSent,
    ConnectionEstablished,
    MemberAdded,
    MemberRemoved,
    SubscriptionCountChanged,
)
from sockudo_py.endpoints import Batching, ChannelFilter, Endpoint, ProfileName, RetryPolicy, Secret
from sockudo_py.errors import ConfigError
from sockudo_py.metrics import Metrics
from sockudo_py.protocol.app import AppKey
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.endpoints.guard import AddressGuard
from sockudo_py.webhooks.service import DeliverySettings, WebhookService
from sockudo_py.webhooks.targets.http.target import HttpTarget
from tests.support.receiver import Answer, Behaviour, Hang, Receiver, Reset
from tests.unit.webhooks import verifiers

KEY = "app-key"
APP_SECRET = b"app-secret"
STANDARD_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
FAST = RetryPolicy(schedule=(0.05, 0.05, 0.05))


class Site:
    def __init__(self, receiver: Receiver, shutdown_timeout: float) -> None:
        self.receiver = receiver
        self.queue = MemoryQueue()
        target = HttpTarget(guard=AddressGuard(), trusted_guard=AddressGuard(allow_private=True))
        settings = DeliverySettings(
            worker=WorkerSettings(poll_interval=0.05), shutdown_timeout=shutdown_timeout, slow_start=True
        )
        self.service = WebhookService(self.queue, {"http": target}, Metrics(), settings)

    def endpoint(self, uid: str = "wh_1", **fields: Any) -> Endpoint:
        given: dict[str, Any] = {
            "id": 1,
            "app_id": "app-1",
            "app_keys": (AppKey(KEY, APP_SECRET),),
            "url": self.receiver.url(),
            "event_types": frozenset({"*"}),
            "secrets": (Secret(STANDARD_SECRET),),
            "retry": FAST,
            "batching": Batching(duration=0.03),
            **fields,
        }
        return Endpoint(uid=uid, **given)

    def send(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.service.add(change)

    async def dead(self) -> list[dict[str, Any]]:
        return [orjson.loads(text) for text in await self.queue.failed()]


@asynccontextmanager
async def running(*endpoints: dict[str, Any], shutdown_timeout: float = 0.0) -> AsyncIterator[Site]:
    async with Receiver() as receiver:
        site = Site(receiver, shutdown_timeout)
        made = [site.endpoint(**({"uid": f"wh_{index}"} | fields)) for index, fields in enumerate(endpoints or ({},))]
        for app_id in {one.app_id for one in made}:
            site.service.replace(app_id, "config", [one for one in made if one.app_id == app_id])
        await site.service.start()
        try:
            yield site
        finally:
            await site.service.stop()


ALL: list[Change] = [
    ChannelOccupied("app-1", "presence-a"),
    MemberAdded("app-1", "presence-a", "10", "1.2", '{"name":"Ünï"}'),
    SubscriptionCountChanged("app-1", "presence-a", 2),
    ClientEventSent("app-1", "presence-a", "client-typing", '{"on":true}', "1.2", "10"),
    CacheMissed("app-1", "cache-x"),
    MemberRemoved("app-1", "presence-a", "10", "1.2"),
    ChannelVacated("app-1", "presence-a"),
]


async def test_n205_n208_pushers_python_sdk_takes_a_batch_off_the_wire() -> None:
    async with running({"payload": "pusher"}) as site:
        site.send(ALL)
        [got] = await site.receiver.wait_for(1)
        client = pusher.Pusher(app_id="1", key=KEY, secret=APP_SECRET.decode())
        taken = client.validate_webhook(
            got.headers["x-pusher-key"], got.headers["x-pusher-signature"], got.body.decode()
        )
        assert taken is not None
        assert set(taken) == {"time_ms", "events"}
        assert isinstance(taken["time_ms"], int)
        assert abs(taken["time_ms"] - time.time() * 1000) < 60_000
        assert taken["events"] == [
            {"name": "channel_occupied", "channel": "presence-a"},
            {"name": "member_added", "channel": "presence-a", "user_id": "10"},
            {"name": "subscription_count", "channel": "presence-a", "subscription_count": 2},
            {
                "name": "client_event",
                "channel": "presence-a",
                "event": "client-typing",
                "data": '{"on":true}',
                "socket_id": "1.2",
                "user_id": "10",
            },
            {"name": "cache_miss", "channel": "cache-x"},
            {"name": "member_removed", "channel": "presence-a", "user_id": "10"},
            {"name": "channel_vacated", "channel": "presence-a"},
        ]


async def test_n206_the_headers_on_the_wire() -> None:
    async with running({"headers": (("Authorization", "Bearer your-api-token"), ("X-Source", "sockudo"))}) as site:
        site.send([ChannelOccupied("app-1", "c")])
        [got] = await site.receiver.wait_for(1)
        assert got.values(b"Content-Type") == [b"application/json"]
        assert got.values(b"X-Pusher-Key") == [KEY.encode()]
        [signature] = got.values(b"X-Pusher-Signature")
        assert len(signature) == 64
        assert signature == signature.lower()
        assert got.headers["authorization"] == "Bearer your-api-token"  # n219
        assert got.headers["x-source"] == "sockudo"
        assert verifiers.sockudo({"X-Pusher-Signature": signature.decode()}, got.body, APP_SECRET.decode())


PROFILES: list[tuple[ProfileName, str]] = [
    ("pulse", "X-Webhook-Signature"),
    ("realcast", "X-RealCast-Signature"),
    ("irisx", "X-IRISX-Signature"),
    ("remotedevai", "X-Webhook-Signature"),
    ("standard", "webhook-signature"),
]


@pytest.mark.parametrize(("profile", "header"), PROFILES)
async def test_n209_every_profile_is_verified_off_the_wire_one_event_a_request(
    profile: ProfileName, header: str
) -> None:
    async with running({"profile": profile, "json_style": "python"}) as site:
        site.send(ALL[:3])
        requests = await site.receiver.wait_for(3)
        now = int(time.time())
        for got in requests:
            headers = {name.decode(): value.decode() for name, value in got.raw_headers}
            assert header in headers
            if profile == "pulse":
                assert verifiers.pulse(headers, got.body, STANDARD_SECRET)
            elif profile == "realcast":
                assert verifiers.realcast(headers, got.body, STANDARD_SECRET)
            elif profile == "irisx":
                assert verifiers.irisx(headers, got.body, STANDARD_SECRET, now)
            elif profile == "remotedevai":
                assert verifiers.remotedevai(headers, got.body, STANDARD_SECRET, now)
            else:
                assert Webhook(STANDARD_SECRET).verify(got.body, headers)
        names = {got.json().get("event") or got.json().get("type") for got in requests}
        assert names == {"channel_occupied", "member_added", "subscription_count"}


async def test_n213_events_within_the_window_share_a_request() -> None:
    async with running({"batching": Batching(duration=0.2)}) as site:
        site.send(ChannelOccupied("app-1", f"c-{number}") for number in range(10))
        [got] = await site.receiver.wait_for(1)
        assert [event["channel"] for event in got.json()["events"]] == [f"c-{number}" for number in range(10)]


async def test_n213_without_batching_each_event_has_a_request_of_its_own() -> None:
    async with running({"batching": Batching(enabled=False)}) as site:
        site.send(ChannelOccupied("app-1", f"c-{number}") for number in range(10))
        requests = await site.receiver.wait_for(10)
        assert all(len(got.json()["events"]) == 1 for got in requests)
        assert len({got.headers["webhook-id"] for got in requests}) == 10


async def test_a_backlog_is_cut_into_batches_of_the_size() -> None:
    async with running({"batching": Batching(duration=0.01, size=20)}) as site:
        site.send(ChannelOccupied("app-1", f"c-{number}") for number in range(1000))
        await site.receiver.until(lambda: len(site.receiver.events()) >= 1000)
        assert max(len(got.json()["events"]) for got in site.receiver.received) == 20
        assert len({event["channel"] for event in site.receiver.events()}) == 1000


async def test_n214_n215_lonely_events_never_share_a_request() -> None:
    listed = frozenset({"*", "connection_established"})
    async with running({"event_types": listed, "batching": Batching(duration=0.1)}) as site:
        site.send(
            [
                ChannelOccupied("app-1", "a"),
                ChannelOccupied("app-1", "private-encrypted-a"),
                ConnectionEstablished("app-1", "1.2"),
                ClientEventSent("app-1", "private-encrypted-a", "client-x", "cipher", "1.2"),
                ChannelOccupied("app-1", "b"),
            ]
        )
        await site.receiver.until(lambda: len(site.receiver.events()) == 5)
        for got in site.receiver.received:
            events = got.json()["events"]
            lonely = [e for e in events if not e.get("channel") or e["channel"].startswith("private-encrypted-")]
            assert not lonely or len(events) == 1


async def test_n215_connection_events_are_sent_only_where_they_are_listed() -> None:
    async with running() as site:
        site.send([ConnectionEstablished("app-1", "1.2"), ChannelOccupied("app-1", "c")])
        await site.receiver.wait_for(1)
        assert [event["name"] for event in site.receiver.events()] == ["channel_occupied"]


async def test_n211_n212_the_signature_is_over_what_is_left_after_filtering() -> None:
    wanted = ChannelFilter(channel_type="presence", channel_prefix="admin-")
    async with running({"filter": wanted, "event_types": frozenset({"channel_occupied"})}) as site:
        site.send(
            [
                ChannelOccupied("app-1", "presence-user-1"),
                ChannelOccupied("app-1", "presence-admin-1"),
                ChannelVacated("app-1", "presence-admin-1"),
            ]
        )
        [got] = await site.receiver.wait_for(1)
        assert [event["channel"] for event in got.json()["events"]] == ["presence-admin-1"]
        assert verifiers.sockudo(
            {"X-Pusher-Signature": got.headers["x-pusher-signature"]}, got.body, APP_SECRET.decode()
        )


@pytest.mark.parametrize("behaviour", [Answer(500), Answer(404), Answer(302), Reset(), Answer(delay=60)])
async def test_n216_what_fails_is_retried_with_the_same_id_and_events(behaviour: Behaviour) -> None:
    async with running({"request_timeout": 1.0}) as site:
        site.receiver.script(behaviour)
        site.send([ChannelOccupied("app-1", "c")])
        first, second = await site.receiver.wait_for(2)
        assert second.headers["webhook-id"] == first.headers["webhook-id"]
        assert second.json()["events"] == first.json()["events"]
        assert (first.headers["x-sockudo-attempt"], second.headers["x-sockudo-attempt"]) == ("1", "2")


async def test_n216_waits_grow_and_a_success_is_not_repeated() -> None:
    schedule = RetryPolicy(schedule=(0.1, 0.2, 0.4))
    async with running({"retry": schedule}) as site:
        site.receiver.script(Answer(500), Answer(503), Answer(500), Answer(204))
        site.send([ChannelOccupied("app-1", "c")])
        requests = await site.receiver.wait_for(4)
        gaps = [later.at - earlier.at for earlier, later in pairwise(requests)]
        for gap, wait in zip(gaps, schedule.schedule, strict=True):
            assert wait - 0.002 <= gap < wait + 30  # times in the queue are whole milliseconds
        await _settled(site)
        assert len(site.receiver.received) == 4
        assert site.service.usage()["webhook_success_rate"] == "100%"


async def test_n218_after_the_last_attempt_it_is_a_dead_letter_and_can_be_sent_again() -> None:
    async with running() as site:
        site.receiver.script(*[Answer(500)] * 4)
        site.send([ChannelOccupied("app-1", "c")])
        await site.receiver.wait_for(4)
        await _settled(site)
        [dead] = await site.dead()
        assert dead["error"]["class"] == "http_5xx"
        assert site.service.usage()["failed_webhooks_last_hour"] == 1
        assert await site.queue.redrive() == 1
        requests = await site.receiver.wait_for(5)
        assert requests[4].headers["webhook-id"] == requests[0].headers["webhook-id"]
        assert requests[4].headers["x-sockudo-attempt"] == "1"


async def test_n220_dead_endpoints_do_not_delay_another_one() -> None:
    hung = [{"uid": f"wh_hung{number}", "url_path": f"/hung{number}"} for number in range(20)]
    async with Receiver() as receiver:
        site = Site(receiver, 0.0)
        endpoints = [
            site.endpoint(
                one["uid"],
                url=receiver.url(one["url_path"]),
                batching=Batching(enabled=False),
                request_timeout=60.0,
            )
            for one in hung
        ]
        good = site.endpoint("wh_good", app_id="app-2", url=receiver.url("/good"), batching=Batching(enabled=False))
        for one in hung:
            receiver.script(path=one["url_path"], then=Hang())
        site.service.replace("app-1", "config", endpoints)
        site.service.replace("app-2", "config", [good])
        await site.service.start()
        site.send(ChannelOccupied("app-1", f"c-{number}") for number in range(20))
        await receiver.until(lambda: len(receiver.received) >= 20)
        times = []
        for number in range(30):
            started = time.monotonic()
            site.send([ChannelOccupied("app-2", f"c-{number}")])
            await receiver.wait_for(number + 1, "/good")
            times.append(time.monotonic() - started)
        await site.service.stop()
        assert sorted(times)[15] < 0.5
        assert max(times) < 45.0  # not the 60 s for which the dead ones are waited for


async def test_an_endpoint_that_disappears_leaves_dead_letters_and_a_new_one_starts_at_once() -> None:
    async with running() as site:
        site.receiver.script(then=Answer(500))
        site.service.replace("app-1", "config", [site.endpoint("wh_0", retry=RetryPolicy(schedule=(60.0,)))])
        site.send([ChannelOccupied("app-1", "c")])
        await until(lambda: _delayed(site))
        site.service.replace("app-1", "config", [site.endpoint("wh_new", url=site.receiver.url("/new"))])
        site.send([ChannelOccupied("app-1", "d")])
        [got] = await site.receiver.wait_for(1, "/new")
        assert [event["channel"] for event in got.json()["events"]] == ["d"]
        await until(site.queue.failed)
        assert [dead["error"]["class"] for dead in await site.dead()] == ["endpoint_deleted"]


async def test_a_bad_endpoint_is_refused_and_the_old_ones_stay() -> None:
    async with running() as site:
        with pytest.raises(ConfigError, match=r"headers\.Host"):
            site.service.replace("app-1", "config", [site.endpoint(headers=(("Host", "evil"),))])
        site.send([ChannelOccupied("app-1", "c")])
        await site.receiver.wait_for(1)


async def test_stop_delivers_what_is_queued_before_a_forgetful_queue_goes() -> None:
    async with running({"batching": Batching(duration=0.2)}, shutdown_timeout=10.0) as site:
        site.send(ChannelOccupied("app-1", f"c-{number}") for number in range(5))
        await site.service.stop()
        assert len(site.receiver.events()) == 5


async def test_the_usage_section_shows_endpoints_and_figures_without_secrets() -> None:
    async with running({"headers": (("Authorization", "Bearer hush"),), "name": "billing"}) as site:
        site.send([ChannelOccupied("app-1", "c")])
        await site.receiver.wait_for(1)
        await _settled(site)
        usage = site.service.usage()
        assert usage["endpoints"] == [
            {
                "id": 1,
                "uid": "wh_0",
                "app_id": "app-1",
                "name": "billing",
                "event_types": ["*"],
                "enabled": True,
                "profile": "pusher",
                "url": site.receiver.url("/..."),
            }
        ]
        assert usage["webhook_success_rate"] == "100%"
        assert usage["average_processing_time"].endswith("ms")
        assert "hush" not in repr(usage)


async def until(question: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again until the answer is a yes; fail after a minute."""
    deadline = time.monotonic() + 60
    while not await question():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.005)


async def _delayed(site: Site) -> bool:
    return (await site.queue.depths()).delayed == 1


async def _settled(site: Site) -> None:
    """Wait until nothing is waiting, in flight or delayed."""

    async def idle() -> bool:
        depths = await site.queue.depths()
        return depths.waiting == depths.active == depths.delayed == 0

    await until(idle)
