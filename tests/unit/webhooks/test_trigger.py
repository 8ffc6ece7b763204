"""Triggering events: what is read, what is refused, what the queue gets, and what a key does."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import orjson
import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append
from sockudo_py.queues.once import OnceKey
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.validation import EndpointRules
from sockudo_py.webhooks.events import EVENT_NAMES
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.trigger.asked import Asked, NotTriggered, read, read_key
from sockudo_py.webhooks.trigger.trigger import Trigger, Triggered
from tests.unit.webhooks import make
from tests.unit.webhooks.fakes import FlakyQueue

APP = "app-1"


class Bench:
    """A trigger over a queue in memory."""

    def __init__(
        self, *endpoints: Endpoint, queue: FlakyQueue | None = None, max_payload_bytes: int = 1_048_576
    ) -> None:
        self.queue = queue or FlakyQueue()
        self.metrics = Metrics()
        registry = EndpointRegistry(EndpointRules(), ledger=False)
        registry.replace(APP, "config", endpoints or (make.endpoint(),))
        self.trigger = Trigger(
            self.queue,
            registry,
            WebhookMetrics(self.metrics),
            max_payload_bytes=max_payload_bytes,
            clock=lambda: make.NOW,
        )

    async def fire(self, key: str | None = None, **fields: Any) -> Triggered:
        return await self.trigger.fire(APP, {"event_type": "room.started", **fields}, key)

    async def waiting(self) -> list[tuple[str, dict[str, Any]]]:
        """Return endpoint and event of all that waits."""
        await asyncio.sleep(0.06)  # the window in which events gather
        found = []
        while claims := await self.queue.claim("w", 100, 30.0):
            for claim in claims:
                job = jobs.of_claim(claim)
                [event] = job.events()
                found.append((job.endpoint, event))
                await self.queue.ack(claim.token)
        return found


def refused(**fields: Any) -> NotTriggered:
    with pytest.raises(NotTriggered) as problem:
        read(fields, APP)
    return problem.value


async def not_fired(work: Awaitable[object]) -> tuple[int, str]:
    """Return status and code of a refusal."""
    with pytest.raises(NotTriggered) as problem:
        await work
    return problem.value.status, problem.value.code


# -- reading


def test_the_names_of_both_documents_are_understood() -> None:
    assert read({"eventType": "project.created", "userId": "u1", "data": {"id": 1}}, APP) == Asked(
        "project.created", {"id": 1}, None, "u1"
    )
    assert read({"tenantId": APP, "eventType": "call.dtmf", "eventId": "c_1", "payload": [1]}, APP) == Asked(
        "call.dtmf", [1], "c_1"
    )


@pytest.mark.parametrize("data", [None, 0, "text", [], {}, {"a": {"b": [1, 2.5, None, True]}}])
def test_data_may_be_any_json(data: object) -> None:
    assert read({"event_type": "a", "data": data}, APP).data == data


def test_without_data_it_is_an_empty_object() -> None:
    assert read({"event_type": "a"}, APP).data == {}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "event_type"),
        ({"event_type": None}, "event_type"),
        ({"event_type": ""}, "event_type"),
        ({"event_type": 7}, "event_type"),
        ({"event_type": "*"}, "event_type"),
        ({"event_type": "a b"}, "event_type"),
        ({"event_type": "ä"}, "event_type"),
        ({"event_type": "a" * 201}, "event_type"),
        ({"event_type": "a\n"}, "event_type"),
        ({"event_type": "a", "event_id": 7}, "event_id"),
        ({"event_type": "a", "eventId": ""}, "eventId"),
        ({"event_type": "a", "event_id": "x" * 201}, "event_id"),
        ({"event_type": "a", "event_id": "x\r\ny"}, "event_id"),
        ({"event_type": "a", "userId": {}}, "userId"),
        ({"event_type": "a", "data": 1, "payload": 1}, "payload"),
        ({"event_type": "a", "eventType": "a"}, "eventType"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], named: str) -> None:
    problem = refused(**fields)
    assert (problem.status, problem.code) == (422, "invalid_field")
    assert [name for name, _ in problem.fields] == [named]


def test_unknown_fields_are_refused_and_bounded() -> None:
    problem = refused(event_type="a", channel="c", **{f"x{number}": 1 for number in range(50)})
    assert (problem.status, problem.code) == (422, "unknown_field")
    assert len(problem.fields) == 20
    assert problem.fields[0][0] == "channel"


@pytest.mark.parametrize("name", [*EVENT_NAMES.values(), "resync_started", "webhook.endpoint_failing", "webhook.x"])
def test_names_of_the_servers_own_events_are_reserved(name: str) -> None:
    assert (refused(event_type=name).status, refused(event_type=name).code) == (422, "reserved_event_type")


def test_another_tenant_is_not_found() -> None:
    assert refused(event_type="a", tenantId="other").status == 404


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "\x7f"])
def test_a_bad_key_is_refused(key: str) -> None:
    with pytest.raises(NotTriggered) as problem:
        read_key(key)
    assert problem.value.status == 400


# -- into the queue


async def test_every_enabled_endpoint_that_wants_the_event_gets_it_alone() -> None:
    bench = Bench(
        make.endpoint("wh_all"),
        make.endpoint(
            "wh_named", id=2, event_types=frozenset({"room.started"}), profile="pulse", url="https://a.example"
        ),
        make.endpoint("wh_other", id=3, event_types=frozenset({"room.ended"})),
        make.endpoint("wh_off", id=4, enabled=False),
    )
    answer = await bench.fire(data={"room": "a"}, event_id="evt_7", userId="u")
    assert answer == Triggered({"event_id": "evt_7", "matched": 2})
    event = {"name": "room.started", "event_id": "evt_7", "data": {"room": "a"}, "user_id": "u", "time_ms": make.NOW_MS}
    assert sorted(await bench.waiting(), key=str) == [("wh_all", event), ("wh_named", event)]
    assert {append.solo for append in bench.queue.taken} == {True}


async def test_without_an_id_the_server_makes_one() -> None:
    bench = Bench()
    first, second = await bench.fire(), await bench.fire()
    assert first.answer["event_id"] != second.answer["event_id"]
    assert [event["event_id"] for _, event in await bench.waiting()] == [
        first.answer["event_id"],
        second.answer["event_id"],
    ]


async def test_an_event_that_nobody_wants_is_accepted() -> None:
    bench = Bench(make.endpoint(event_types=frozenset({"room.ended"})))
    assert (await bench.fire(event_id="e")).answer == {"event_id": "e", "matched": 0}
    assert (await bench.fire("key", event_id="e")).answer == {"event_id": "e", "matched": 0}


async def test_names_of_applications_are_no_labels_of_metrics() -> None:
    bench = Bench()
    await bench.fire(event_type="secret.project")
    text = str(bench.metrics.counter("webhook_events_total", "", ("app_id", "event")).values)
    assert "custom" in text
    assert "secret" not in text


async def test_the_answer_waits_for_the_queue() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class SlowQueue(FlakyQueue):
        async def append(self, events: Sequence[Append], ledger: Any = ()) -> None:
            begun.set()
            await go_on.wait()
            await super().append(events, ledger)

    bench = Bench(queue=SlowQueue())
    asked = asyncio.create_task(bench.fire())
    await begun.wait()
    await asyncio.sleep(0.01)
    assert not asked.done()
    go_on.set()
    assert (await asked).answer["matched"] == 1


async def test_a_client_that_goes_away_does_not_end_the_work() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    class SlowQueue(FlakyQueue):
        async def append(self, events: Sequence[Append], ledger: Any = ()) -> None:
            begun.set()
            await go_on.wait()
            await super().append(events, ledger)

    bench = Bench(queue=SlowQueue())
    asked = asyncio.create_task(bench.fire())
    await begun.wait()
    asked.cancel()
    await asyncio.wait([asked])
    go_on.set()
    await bench.trigger.stop()
    assert len(await bench.waiting()) == 1


async def test_a_queue_that_is_away_is_said() -> None:
    bench = Bench()
    bench.queue.away = True
    with pytest.raises(Unavailable):
        await bench.fire()


async def test_data_that_its_schema_does_not_allow_is_refused_with_the_places() -> None:
    bench = Bench()
    bench.trigger._check = lambda app_id, name, data: [("a.0", "is wrong"), ("", "is too")] if data == 1 else []
    with pytest.raises(NotTriggered) as problem:
        await bench.fire("key", data=1)
    assert (problem.value.status, problem.value.code) == (422, "invalid_data")
    assert problem.value.fields == (("data.a.0", "is wrong"), ("data", "is too"))
    assert not (await bench.fire("key", data=2)).replayed


# -- size


@pytest.mark.parametrize("profile", ["pusher", "pulse", "irisx", "remotedevai"])
@pytest.mark.parametrize("style", ["compact", "python"])
async def test_what_is_accepted_fits_into_a_request(profile: Any, style: Any) -> None:
    from sockudo_py.webhooks.delivery.requests.envelopes import bodies

    most = 3000
    one = make.endpoint(profile=profile, json_style=style, url="https://receiver.example/hook")
    bench = Bench(one, max_payload_bytes=most)
    seen = set()
    for length in range(0, 1600, 37):
        try:
            await bench.fire(data="é" * length)
        except NotTriggered as problem:
            seen.add(problem.status)
        else:
            seen.add(202)
            job = make.job(orjson.loads(bench.queue.taken[-1].event), id=bench.queue.taken[-1].id)
            assert all(len(made.content) <= most for made in bodies(one, job, lambda: make.NOW_MS))
    assert seen == {202, 413}


async def test_what_is_too_large_for_any_request_is_refused_without_endpoints_too() -> None:
    bench = Bench(make.endpoint(event_types=frozenset()), max_payload_bytes=500)
    assert await not_fired(bench.fire(data="x" * 600)) == (413, "too_large")


async def test_data_that_is_nested_too_deeply_is_refused() -> None:
    bench = Bench()
    data: list[Any] = []
    for _ in range(600):
        data = [data]
    assert await not_fired(bench.fire(data=data)) == (422, "invalid_field")


# -- keys


async def test_the_same_again_under_a_key_gets_the_first_answer() -> None:
    bench = Bench()
    first = await bench.fire("key", data={"a": 1, "b": 2})
    again = await bench.trigger.fire(APP, {"data": {"b": 2, "a": 1}, "eventType": "room.started"}, "key")
    assert not first.replayed
    assert again == Triggered(first.answer, replayed=True)
    assert len(await bench.waiting()) == 1


@pytest.mark.parametrize("other", [{"data": 2}, {"event_type": "b"}, {"event_id": "x"}, {"user_id": "u"}])
async def test_another_event_under_the_key_is_a_conflict(other: dict[str, Any]) -> None:
    bench = Bench()
    await bench.fire("key", data=1)
    assert await not_fired(bench.fire("key", **{"data": 1, **other})) == (409, "idempotency_mismatch")
    assert len(await bench.waiting()) == 1


async def test_the_same_at_the_same_time_waits_for_the_first() -> None:
    bench = Bench()
    answers = await asyncio.gather(*(bench.fire("key", data=1) for _ in range(20)))
    assert len({str(answer.answer) for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len(await bench.waiting()) == 1


async def test_a_refused_request_leaves_its_key_free() -> None:
    bench = Bench()
    assert await not_fired(bench.fire("key", event_type="channel_occupied")) == (422, "reserved_event_type")
    assert not (await bench.fire("key")).replayed


async def test_after_a_lost_answer_of_the_queue_the_same_again_finds_what_was_done() -> None:
    class Losing(FlakyQueue):
        lose = True

        async def append_once(self, key: OnceKey, events: Sequence[Append]) -> bytes | None:
            answer = await super().append_once(key, events)
            if self.lose:
                self.lose = False
                raise Unavailable("the reply was lost")
            return answer

    bench = Bench(queue=Losing())
    with pytest.raises(Unavailable):
        await bench.fire("key")
    assert (await bench.fire("key")).replayed
    assert len(await bench.waiting()) == 1


# -- a full queue


@pytest.mark.parametrize("key", [None, "key"])
async def test_an_endpoint_without_room_costs_the_others_nothing_and_is_named(key: str | None) -> None:
    bench = Bench(make.endpoint("wh_dead"), make.endpoint("wh_well", id=2), queue=FlakyQueue(max_queue_len=8))
    await bench.queue.append([Append(f"e{n}", "wh_dead", APP, b"{}", make.NOW_MS) for n in range(4)])
    answer = await bench.fire(key, event_id="e")
    assert answer == Triggered({"event_id": "e", "matched": 1, "refused": ["wh_dead"]})
    lanes = {lane.endpoint: lane.waiting for lane in (await bench.queue.depths()).lanes}
    assert lanes == {"wh_dead": 4, "wh_well": 1}
    if key is not None:
        assert (await bench.fire(key, event_id="e")).answer == answer.answer


@pytest.mark.parametrize("key", [None, "key"])
async def test_without_room_for_anybody_it_is_not_accepted(key: str | None) -> None:
    bench = Bench(make.endpoint("wh_dead"), queue=FlakyQueue(max_queue_len=2))
    await bench.queue.append([Append("e1", "wh_dead", APP, b"{}", make.NOW_MS)])
    assert await not_fired(bench.fire(key)) == (503, "queue_full")
