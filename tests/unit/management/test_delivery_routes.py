"""The management routes about deliveries, over a queue and a history in memory."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.credentials.keys import SOCKET_OWNER, Admin
from sockudo_py.management.deliveries.letters import letters_of
from sockudo_py.management.deliveries.queue import QueueRoutes
from sockudo_py.management.deliveries.routes import DeliveryRoutes, Past
from sockudo_py.management.deliveries.statistics import StatisticsRoutes
from sockudo_py.management.endpoints.routes import EndpointRoutes, Listed
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.stores.history.base import Bounds
from sockudo_py.stores.history.memory import MemoryHistory
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, requests_for
from sockudo_py.webhooks.history.reader import HistoryReader
from sockudo_py.webhooks.history.redelivery import Redelivery
from sockudo_py.webhooks.history.writer import HistoryWriter
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Timing
from tests.unit.webhooks.make import endpoint, job

FIRST = 1_800_000_000_000  # ms
NOW = 1_800_000_100.0
ATTEMPT = {
    "id", "attempt_id", "webhook_id", "app_id", "event_ids", "event_types", "event_count", "attempt", "max_attempts",
    "status", "http_status", "response_body", "response_truncated", "error", "request_headers", "signed", "target",
    "timing", "created_at", "started_at", "finished_at", "next_attempt_at", "size", "test", "redrive", "retry_of",
}  # fmt: skip


def key(*apps: str, scopes: tuple[str, ...] = ("read", "write")) -> Admin:
    return Admin(b"", frozenset(apps), frozenset(scopes))


class Bench:
    def __init__(self, *, kept: bool = True, max_queue_len: int = 100_000) -> None:
        self.queue = MemoryQueue(max_queue_len=max_queue_len)
        self.history = MemoryHistory(Bounds())
        self.writer = HistoryWriter(self.history, 1000, WebhookMetrics(Metrics()))
        self.endpoints: dict[str, Endpoint] = {
            one.uid: one
            for one in (
                endpoint(uid="wh_a", app_id="1", headers=(("X-Token", "s3cret-token"),)),
                endpoint(uid="wh_b", id=2, app_id="2"),
                endpoint(uid="wh_c", id=3, app_id="1"),
            )
        }
        letters = letters_of(self.queue)
        past = None
        if kept:
            past = Past(
                HistoryReader(self.history, self.writer),
                Redelivery(
                    self.history,
                    self.writer,
                    self.queue,
                    letters,
                    self.endpoints.get,
                    clock=lambda: NOW,
                ),
            )
        shown = EndpointRoutes(Listed(self.endpoints.values))
        reader = past.reader if past is not None else None
        statistics = StatisticsRoutes(reader, self.queue, lambda uid: "closed", shown.find)
        shown.figures = statistics.beside
        shown.list_figures = statistics.of_list
        self.routes = Router(
            [
                shown,
                DeliveryRoutes(past, shown.find),
                statistics,
                QueueRoutes(letters, self.endpoints.values, reader=reader),
            ]
        )

    async def open(self) -> "Bench":
        await self.queue.open()
        for uid in self.endpoints:
            await self.queue.set_policy(uid, LanePolicy(window=0.0, size=100, slow_start=False, max_in_flight=10_000))
        return self

    def tried(
        self,
        delivery: str,
        status: str = "delivered",
        *,
        uid: str = "wh_a",
        number: int = 1,
        redrives: int = 0,
        outcome: Outcome | None = None,
        events: tuple[dict[str, Any], ...] = (),
        at: int = 0,
        test: bool = False,
    ) -> None:
        """Note an attempt, whose event is of so many seconds after the first."""
        of = self.endpoints[uid]
        time_ms = FIRST + at * 1000
        listed = events or ({"name": "channel_occupied", "channel": "c", "time_ms": time_ms},)
        made = job(
            *listed,
            id=delivery,
            endpoint=uid,
            app_id=of.app_id,
            created_ms=time_ms,
            attempt=number - 1,
            redrives=redrives,
        )
        good = Delivered(200, Timing(20, 15), b"OK")
        bad = Failure("http_5xx", "the endpoint answered 503", 503, timing=Timing(20, 15), response_body=b"busy")
        attempt = Attempt(
            job=made,
            number=number,
            max_attempts=6,
            target="http",
            outcome=outcome or (good if status == "delivered" else bad),
            status=status,
            started_ms=time_ms + number * 1000,
            duration=0.02,
            retry_in=2.0 if status == "retrying" else None,
            request=requests_for(of, made, NOW)[-1],
            test=test,
        )
        self.writer.add(attempt, of)

    async def bury(self, delivery: str, uid: str = "wh_a") -> None:
        """Add a dead letter."""
        event = orjson.dumps({"name": "channel_occupied", "channel": "dead"})
        await self.queue.append([Append(delivery, uid, self.endpoints[uid].app_id, event, FIRST)])
        [claim] = await self.queue.claim("w", 1, 30)
        await self.queue.fail(claim.token, jobs.bury(claim.job, FIRST, jobs.JobError("connect", "no")))

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        admin: Admin = SOCKET_OWNER,
    ) -> Answer:
        answer = await self.routes.handle(method, path, Asked(admin, query=query or {}, body=body or {}))
        json.dumps(answer.document)
        return answer

    async def get(self, path: str, **query: str) -> Mapping[str, Any]:
        answer = await self.ask("GET", path, query=query)
        assert answer.status == 200, answer
        return answer.document

    async def post(self, path: str, **body: Any) -> Mapping[str, Any]:
        answer = await self.ask("POST", path, body)
        assert answer.status == (200 if body.get("dry_run") else 202), answer
        return answer.document

    async def claimed(self) -> list[jobs.Job]:
        """Return the jobs that wait, oldest first."""
        return [jobs.of_claim(claim) for claim in await self.queue.claim("w", 1000, 30)]


@pytest.fixture
async def bench() -> Bench:
    return await Bench().open()


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in rows]


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.document["error"]["code"]


# -- lists


async def test_d4_i6_an_attempt_is_shown_as_the_specification_says(bench: Bench) -> None:
    bench.tried("d1", "retrying", number=2)
    document = await bench.get("/api/webhooks/wh_a/deliveries")
    [item] = document["deliveries"]
    assert item.keys() == ATTEMPT
    assert (item["id"], item["webhook_id"], item["attempt"], item["max_attempts"]) == ("d1", "wh_a", 2, 6)
    assert (item["status"], item["http_status"], item["response_body"]) == ("retrying", 503, "busy")
    assert item["error"] == {"class": "http_5xx", "message": "the endpoint answered 503"}
    assert item["timing"].keys() == {"queued_ms", "dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "total_ms"}
    assert item["event_types"] == ["channel_occupied"]
    assert item["started_at"] == "2027-01-15T08:00:02.000Z"
    assert item["finished_at"] == "2027-01-15T08:00:02.020Z"
    assert item["next_attempt_at"] == "2027-01-15T08:00:04.020Z"
    assert item["request_headers"]["X-Token"] == "***"
    assert item["request_headers"]["X-Pusher-Signature"] != "***"
    assert document["next_cursor"] is None


@pytest.mark.parametrize("path", ["/api/webhooks/wh_a", "/v1/webhooks/1", "/apps/1/webhooks/wh_a"])
async def test_every_way_to_write_it_leads_to_the_deliveries_of_the_endpoint_alone(bench: Bench, path: str) -> None:
    bench.tried("d1")
    bench.tried("d2", uid="wh_c")
    bench.tried("d3", uid="wh_b")
    assert ids((await bench.get(f"{path}/deliveries"))["deliveries"]) == ["d1"]
    assert (await bench.get(f"{path}/deliveries/d1"))["id"] == "d1"
    assert (await bench.get(f"{path}/stats"))["total"] == 1
    assert (await bench.post(f"{path}/deliveries/d1/retry"))["retry_of"] == "d1"
    assert (await bench.post(f"{path}/replay", dry_run=True))["matched"] == 1
    root = path.rpartition("/")[0]
    assert (await bench.get(f"{root}/deliveries/d1"))["id"] == "d1"
    assert "d1" in ids((await bench.get(f"{root}/logs"))["logs"])


async def test_pages_stay_put_while_new_attempts_come(bench: Bench) -> None:
    for number in range(10):
        bench.tried(f"d{number}")
    first = await bench.get("/api/webhooks/wh_a/deliveries", limit="4")
    bench.tried("new")
    second = await bench.get("/api/webhooks/wh_a/deliveries", limit="4", cursor=first["next_cursor"])
    third = await bench.get("/api/webhooks/wh_a/deliveries", limit="4", cursor=second["next_cursor"])
    found = [*first["deliveries"], *second["deliveries"], *third["deliveries"]]
    assert ids(found) == [f"d{number}" for number in reversed(range(10))]
    assert third["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["d4", "d3", "d2", "d1", "d0"]),
        ({"status": "failed"}, ["d3", "d1"]),
        ({"status": "failed,retrying"}, ["d3", "d2", "d1"]),
        ({"event_type": "b"}, ["d4"]),
        ({"since": "2027-01-15T08:00:03Z"}, ["d4", "d3"]),
        ({"until": str(FIRST + 1000)}, ["d0"]),
        ({"test": "true"}, ["d0"]),
        ({"test": "false", "status": "delivered"}, ["d4"]),
    ],
)
async def test_attempts_are_chosen(bench: Bench, query: dict[str, str], found: list[str]) -> None:
    for number, status in enumerate(["delivered", "failed", "retrying", "failed"]):
        bench.tried(f"d{number}", status, at=number, test=number == 0)
    bench.tried("d4", events=({"name": "a", "time_ms": FIRST + 4000}, {"name": "b"}), at=4)
    assert ids((await bench.get("/api/webhooks/wh_a/deliveries", **query))["deliveries"]) == found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"status": "lost"}, (422, "invalid_field")),
        ({"limit": "0"}, (422, "invalid_field")),
        ({"limit": "201"}, (422, "invalid_field")),
        ({"since": "yesterday"}, (422, "invalid_field")),
        ({"cursor": "%%%"}, (400, "invalid_cursor")),
        ({"cursor": "aDk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"}, (400, "invalid_cursor")),
        ({"cursor": "é"}, (400, "invalid_cursor")),
        ({"statuss": "failed"}, (422, "unknown_field")),
        ({"test": "maybe"}, (422, "invalid_field")),
    ],
)
async def test_bad_fields_are_refused(bench: Bench, query: dict[str, str], expected: tuple[int, str]) -> None:
    assert code(await bench.ask("GET", "/api/webhooks/wh_a/deliveries", query=query)) == expected
    assert code(await bench.ask("GET", "/api/v1/webhooks/logs", query=query)) == expected


async def test_a_rare_match_ends_the_page_early_and_the_cursor_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sockudo_py.webhooks.history.reader._MOST_LOOKED", 500)
    bench.tried("old", "failed")
    for number in range(900):
        bench.tried(f"d{number}")
    found, cursor, pages = [], "", 0
    while cursor is not None:
        query = {"status": "failed", **({"cursor": cursor} if cursor else {})}
        page = await bench.get("/api/webhooks/wh_a/deliveries", **query)
        found += ids(page["deliveries"])
        cursor = page["next_cursor"]
        pages += 1
    assert (found, pages) == (["old"], 2)


# -- one delivery


async def test_a_delivery_is_shown_with_all_attempts_and_its_events(bench: Bench) -> None:
    for number in (1, 2, 3):
        bench.tried("d1", "delivered" if number == 3 else "retrying", number=number)
    for path in ("/api/webhooks/wh_a/deliveries/d1", "/api/webhooks/deliveries/d1"):
        document = await bench.get(path)
        assert document.keys() == ATTEMPT | {"attempts", "payload"}
        assert document["status"] == "delivered"
        assert [each["status"] for each in document["attempts"]] == ["retrying", "retrying", "delivered"]
        assert document["payload"] == [{"name": "channel_occupied", "channel": "c", "time_ms": FIRST}]


async def test_what_is_not_there_or_not_theirs_is_404(bench: Bench) -> None:
    bench.tried("d1")
    bench.tried("d2", uid="wh_b")
    theirs = key("2")
    for method, path in [
        ("GET", "/api/webhooks/wh_a/deliveries"),
        ("GET", "/api/webhooks/wh_a/deliveries/d1"),
        ("GET", "/api/webhooks/wh_b/deliveries/d1"),
        ("GET", "/api/webhooks/deliveries/d1"),
        ("GET", "/api/webhooks/wh_a/stats"),
        ("GET", "/apps/1/webhooks/logs"),
        ("GET", "/apps/1/webhooks/wh_b/deliveries"),
        ("GET", "/apps/2/webhooks/deliveries/d1"),
        ("GET", "/api/webhooks/deliveries/nothing"),
        ("POST", "/api/webhooks/wh_a/deliveries/d1/retry"),
        ("POST", "/api/webhooks/wh_b/deliveries/d1/retry"),
        ("POST", "/api/webhooks/wh_b/deliveries/nothing/retry"),
        ("POST", "/api/webhooks/wh_a/replay"),
        ("POST", "/apps/1/webhooks/replay"),
    ]:
        assert (await bench.ask(method, path, admin=theirs)).status == 404, path
    for path, body in [
        ("/api/webhooks/replay", {"app_id": "1"}),
        ("/api/webhooks/replay", {"webhookId": "wh_a"}),
        ("/apps/2/webhooks/replay", {"webhookId": "wh_a"}),
    ]:
        assert (await bench.ask("POST", path, body, admin=theirs)).status == 404
    assert (await bench.ask("GET", "/api/v1/webhooks/logs", query={"webhookId": "wh_a"}, admin=theirs)).status == 404
    assert await bench.claimed() == []


async def test_a_key_that_only_reads_sends_nothing(bench: Bench) -> None:
    bench.tried("d1")
    reader = key("*", scopes=("read",))
    for path in ("/api/webhooks/wh_a/deliveries/d1/retry", "/api/webhooks/wh_a/replay", "/api/webhooks/replay"):
        assert code(await bench.ask("POST", path, admin=reader)) == (403, "forbidden")


async def test_without_a_history_the_routes_say_which_key_turns_it_on() -> None:
    bench = Bench(kept=False)
    for method, path in [
        ("GET", "/api/webhooks/wh_a/deliveries"),
        ("GET", "/api/v1/webhooks/logs"),
        ("POST", "/api/webhooks/wh_a/deliveries/d1/retry"),
        ("POST", "/api/webhooks/replay"),
    ]:
        answer = await bench.ask(method, path)
        assert code(answer) == (404, "history_off")
        assert "webhooks.delivery.history" in answer.document["error"]["message"]
    assert (await bench.get("/api/webhooks/wh_a/stats"))["total"] == 0


# -- logs


async def test_p11_the_log_has_the_attempts_of_all_endpoints_of_an_app_newest_first(bench: Bench) -> None:
    bench.tried("d1")
    bench.tried("d2", uid="wh_b")
    bench.tried("d3", uid="wh_c")
    answer = await bench.ask("GET", "/api/v1/webhooks/logs", admin=key("1"))
    assert ids(answer.document["logs"]) == ["d3", "d1"]
    assert answer.document["next_cursor"] is None
    assert ids((await bench.get("/api/v1/webhooks/logs"))["logs"]) == ["d3", "d2", "d1"]
    assert ids((await bench.get("/api/v1/webhooks/logs", app_id="2"))["logs"]) == ["d2"]
    assert ids((await bench.get("/api/v1/webhooks/logs", webhookId="wh_c"))["logs"]) == ["d3"]
    two = await bench.ask("GET", "/api/v1/webhooks/logs", admin=key("1", "2"))
    assert code(two) == (400, "app_id_required")


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Failure("timeout_connect", "no connection within the connect timeout"), "Connection timeout"),
        (Failure("timeout_read", "no complete answer within the request timeout"), "Connection timeout"),
        (Failure("tls", "certificate has expired"), "SSL certificate error"),
        (Failure("http_4xx", "the endpoint answered 401", 401), "Invalid signature"),
        (Failure("http_4xx", "the endpoint answered 403", 403), "the endpoint answered 403"),
        (Delivered(200), "Delivered"),
    ],
)
async def test_p12_the_log_speaks_pulses_words(bench: Bench, outcome: Outcome, message: str) -> None:
    bench.tried("d1", "delivered" if isinstance(outcome, Delivered) else "failed", outcome=outcome)
    [entry] = (await bench.get("/api/v1/webhooks/logs"))["logs"]
    assert entry["message"] == message
    assert entry["timestamp"] == entry["finished_at"]
    assert entry.keys() == ATTEMPT | {"message", "timestamp"}


# -- statistics


async def test_d5_r10_statistics_have_the_keys_of_the_specification(bench: Bench) -> None:
    for number in range(20):
        bench.tried(f"d{number}")
    bench.tried("f1", "failed", number=6)
    bench.tried("r1", "retrying")
    await bench.queue.append([Append("w1", "wh_a", "1", b"{}", FIRST), Append("w2", "wh_a", "1", b"{}", FIRST)])
    stats = await bench.get("/api/webhooks/wh_a/stats")
    assert stats == {
        "webhookId": "wh_a",
        "webhook_id": "wh_a",
        "total": 21,
        "successful": 20,
        "failed": 1,
        "pending": 2,
        "retrying": 0,
        "in_flight": 0,
        "success_rate": 0.9524,
        "attempts": 22,
        "avg_duration_ms": 20,
        "p95_duration_ms": 20,
        "last_success_at": "2027-01-15T08:00:01.020Z",
        "last_failure_at": "2027-01-15T08:00:01.020Z",
        "consecutive_failures": 2,
        "circuit": "closed",
        "received": 21,
        "processed": 20,
    }


async def test_a_list_shows_how_long_the_attempts_of_each_endpoint_took(bench: Bench) -> None:
    for number in range(40):
        bench.tried(f"d{number}", at=number)
    bench.tried("t1", at=41, test=True)
    bench.tried("f1", "failed", at=42)
    listed = (await bench.get("/api/webhooks", figures="true"))["webhooks"]
    figures = {one["uid"]: one["figures"] for one in listed}
    assert set(figures) == {"wh_a", "wh_b", "wh_c"}
    busy = figures["wh_a"]
    assert (busy["successful"], busy["failed"], busy["avg_duration_ms"], busy["p95_duration_ms"]) == (41, 1, 20, 20)
    assert (busy["circuit"], busy["consecutive_failures"]) == ("closed", 1)
    assert busy["recent"] == [[20, True]] * 28 + [[20, False]]  # of the last 30 one was a test
    assert figures["wh_b"]["recent"] == []
    assert figures["wh_b"]["last_success_at"] is None
    assert "figures" not in (await bench.get("/api/webhooks"))["webhooks"][0]


async def test_i5_an_endpoint_with_statistics(bench: Bench) -> None:
    bench.tried("d1")
    bench.tried("d2", "failed", number=6)
    await bench.queue.append([Append("w1", "wh_a", "1", b"{}", FIRST)])
    document = await bench.get("/v1/webhooks/1")
    assert document.keys() == {"webhook", "statistics"}
    assert document["webhook"]["id"] == 1
    shown = {name: document["webhook"][name] for name in document["webhook"] if "deliver" in name or "last" in name}
    assert shown == {
        "total_deliveries": 2,
        "successful_deliveries": 1,
        "failed_deliveries": 1,
        "last_success_at": "2027-01-15T08:00:01.020Z",
        "last_failure_at": "2027-01-15T08:00:06.020Z",
    }
    assert document["statistics"] == {
        "successful_deliveries": "1",
        "failed_deliveries": "1",
        "pending_deliveries": "1",
        "avg_duration_ms": "20",
    }


async def test_what_is_pending_is_waiting_in_flight_or_delayed(bench: Bench) -> None:
    await bench.queue.set_policy("wh_a", LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=2))
    await bench.queue.append([Append(f"w{number}", "wh_a", "1", b"{}", FIRST) for number in range(5)])
    claims = await bench.queue.claim("w", 2, 30)
    await bench.queue.retry(claims[0].token, claims[0].job, 60.0)
    stats = await bench.get("/api/webhooks/wh_a/stats")
    assert (stats["pending"], stats["in_flight"], stats["retrying"]) == (5, 1, 1)


async def test_a_redrive_takes_a_delivery_out_of_failed(bench: Bench) -> None:
    bench.tried("d1", "failed", number=6)
    assert (await bench.get("/api/webhooks/wh_a/stats"))["failed"] == 1
    bench.tried("d1", "retrying", redrives=1)
    assert (await bench.get("/api/webhooks/wh_a/stats"))["total"] == 0
    bench.tried("d1", "delivered", number=2, redrives=1)
    stats = await bench.get("/api/webhooks/wh_a/stats")
    assert (stats["successful"], stats["failed"], stats["total"]) == (1, 0, 1)
    document = await bench.get("/api/webhooks/wh_a/deliveries/d1")
    assert [each["redrive"] for each in document["attempts"]] == [0, 1, 1]


# -- retry


async def test_i2_a_retry_is_a_new_delivery_of_the_same_events(bench: Bench) -> None:
    events = ({"name": "a", "time_ms": FIRST, "event_id": "e1"}, {"name": "b", "time_ms": FIRST + 1, "event_id": "e2"})
    bench.tried("d1", "failed", number=6, events=events)
    first = await bench.post("/api/webhooks/wh_a/deliveries/d1/retry")
    second = await bench.post("/api/webhooks/wh_a/deliveries/d1/retry")
    assert first.keys() == {"delivery_id", "retry_of", "webhook_id"}
    assert first["retry_of"] == second["retry_of"] == "d1"
    found = await bench.claimed()
    assert [one.id for one in found] == [first["delivery_id"], second["delivery_id"]]
    assert [one.events() for one in found] == [list(events), list(events)]
    assert [(one.attempt, one.redrives, one.endpoint, one.app_id) for one in found] == [(0, 0, "wh_a", "1")] * 2


async def test_a_retry_is_pending_until_it_is_tried_and_names_its_origin(bench: Bench) -> None:
    bench.tried("d1", "failed", number=6)
    made = (await bench.post("/api/webhooks/wh_a/deliveries/d1/retry"))["delivery_id"]
    document = await bench.get(f"/api/webhooks/wh_a/deliveries/{made}")
    assert (document["status"], document["retry_of"], document["attempts"]) == ("pending", "d1", [])
    assert document["payload"][0]["name"] == "channel_occupied"
    assert (await bench.ask("GET", f"/api/webhooks/deliveries/{made}", admin=key("2"))).status == 404
    bench.tried(made)
    [item, _] = (await bench.get("/api/webhooks/wh_a/deliveries"))["deliveries"]
    assert (item["id"], item["retry_of"]) == (made, "d1")
    assert (await bench.get("/api/webhooks/wh_a/deliveries/d1"))["retry_of"] is None


async def test_a_retry_removes_the_dead_letter_and_leaves_the_others(bench: Bench) -> None:
    for name in ("d1", "d2"):
        await bench.bury(name)
        bench.tried(name, "failed", number=6)
    await bench.post("/api/webhooks/wh_a/deliveries/d1/retry")
    assert ids((await bench.get("/api/webhooks/queue/failed"))["failed"]) == ["d2"]
    assert ids((await bench.get("/api/webhooks/wh_a/deliveries"))["deliveries"]) == ["d2", "d1"]


async def test_a_dead_letter_of_which_the_history_knows_nothing_is_sent_again_too(bench: Bench) -> None:
    await bench.bury("d1")
    await bench.post("/api/webhooks/wh_a/deliveries/d1/retry")
    assert [one.events() for one in await bench.claimed()] == [[{"name": "channel_occupied", "channel": "dead"}]]


async def test_a_delivery_whose_events_are_gone_and_a_test_are_refused(bench: Bench) -> None:
    bench.history._bounds = replace(bench.history._bounds, bytes=0)
    bench.tried("d1")
    assert code(await bench.ask("POST", "/api/webhooks/wh_a/deliveries/d1/retry")) == (409, "payload_gone")
    bench.tried("t1", test=True)
    assert code(await bench.ask("POST", "/api/webhooks/wh_a/deliveries/t1/retry")) == (409, "test_delivery")
    assert (await bench.get("/api/webhooks/deliveries/d1"))["payload"] is None


async def test_a_full_queue_takes_no_retry_and_the_dead_letter_stays() -> None:
    bench = await Bench(max_queue_len=2).open()
    await bench.bury("d1")
    bench.tried("d1", "failed", number=6)
    await bench.queue.append([Append("w1", "wh_a", "1", b"{}", FIRST), Append("w2", "wh_c", "1", b"{}", FIRST)])
    assert code(await bench.ask("POST", "/api/webhooks/wh_a/deliveries/d1/retry")) == (503, "queue_full")
    assert ids((await bench.get("/api/webhooks/queue/failed"))["failed"]) == ["d1"]


async def test_a_dead_letter_is_shown_with_its_attempts(bench: Bench) -> None:
    await bench.bury("d1")
    for number in range(1, 7):
        bench.tried("d1", "failed" if number == 6 else "retrying", number=number)
    document = await bench.get("/api/webhooks/queue/failed/d1")
    assert [each["attempt"] for each in document["attempt_log"]] == [1, 2, 3, 4, 5, 6]
    assert document["payload"] == [{"name": "channel_occupied", "channel": "dead"}]


# -- replay


def many(bench: Bench) -> None:
    for number in range(10):
        bench.tried(f"d{number}", "failed" if number % 3 == 0 else "delivered", at=number)
    bench.tried("x1", uid="wh_b", at=1)
    bench.tried("c1", uid="wh_c", at=1, events=({"name": "b", "time_ms": FIRST + 1000},))


@pytest.mark.parametrize(
    ("path", "body", "found"),
    [
        ("/api/webhooks/wh_a/replay", {}, [f"d{number}" for number in range(10)]),
        ("/api/webhooks/wh_a/replay", {"status": "failed"}, ["d0", "d3", "d6", "d9"]),
        ("/api/webhooks/wh_a/replay", {"status": ["delivered"], "since": FIRST + 5000}, ["d5", "d7", "d8"]),
        ("/api/webhooks/wh_a/replay", {"since": "2027-01-15T08:00:02Z", "until": FIRST + 4000}, ["d2", "d3"]),
        ("/api/webhooks/replay", {"app_id": "1", "event_type": "b"}, ["c1"]),
        ("/api/webhooks/replay", {"webhookId": "wh_b"}, ["x1"]),
        ("/apps/1/webhooks/replay", {"until": FIRST + 2000}, ["d0", "d1", "c1"]),
    ],
)
async def test_deliveries_that_are_meant_are_sent_again_oldest_first(
    bench: Bench, path: str, body: dict[str, Any], found: list[str]
) -> None:
    many(bench)
    assert await bench.post(path, dry_run=True, **body) == {"matched": len(found)}
    assert await bench.claimed() == []
    assert await bench.post(path, **body) == {"retried": len(found), "next_cursor": None}
    links = await bench.history.links([one.id for one in await bench.claimed()])
    assert sorted(link.retry_of for link in links.values()) == sorted(found)
    assert len(links) == len(found)


async def test_a_replay_keeps_the_order_of_the_deliveries(bench: Bench) -> None:
    many(bench)
    await bench.post("/api/webhooks/wh_a/replay")
    times = [one.events()[0]["time_ms"] for one in await bench.claimed()]
    assert times == [FIRST + number * 1000 for number in range(10)]


async def test_a_replay_goes_on_where_its_limit_ended_it(bench: Bench) -> None:
    many(bench)
    retried, cursor, rounds = 0, None, 0
    while rounds == 0 or cursor is not None:
        answer = await bench.post("/api/webhooks/wh_a/replay", limit=4, **({"cursor": cursor} if cursor else {}))
        retried, cursor, rounds = retried + answer["retried"], answer["next_cursor"], rounds + 1
    assert (retried, rounds) == (10, 3)
    times = [one.events()[0]["time_ms"] for one in await bench.claimed()]
    assert times == [FIRST + number * 1000 for number in range(10)]


async def test_a_replay_leaves_out_tests_what_is_under_way_and_retries_of_what_it_sends(bench: Bench) -> None:
    bench.tried("d1", "retrying")
    bench.tried("d2", test=True)
    bench.tried("d3", "failed", number=6)
    made = (await bench.post("/api/webhooks/wh_a/deliveries/d3/retry"))["delivery_id"]
    bench.tried(made)
    assert (await bench.post("/api/webhooks/wh_a/replay", dry_run=True)) == {"matched": 1}
    # The retry alone was delivered: it is meant where its origin is not.
    assert (await bench.post("/api/webhooks/wh_a/replay", dry_run=True, status="delivered")) == {"matched": 1}


async def test_a_delivery_counts_by_its_last_attempt(bench: Bench) -> None:
    bench.tried("d1", "failed", number=6)
    bench.tried("d2")
    bench.tried("d1", "delivered", number=1, redrives=1, at=10)
    assert (await bench.post("/api/webhooks/wh_a/replay", dry_run=True, status="failed")) == {"matched": 0}
    assert (await bench.post("/api/webhooks/wh_a/replay", dry_run=True)) == {"matched": 2}


async def test_a_replay_removes_the_dead_letters_of_what_it_sends(bench: Bench) -> None:
    for name in ("d1", "d2", "d3"):
        await bench.bury(name)
        bench.tried(name, "failed", number=6, at=int(name[1]))
    await bench.post("/api/webhooks/wh_a/replay", until=FIRST + 3000)
    assert ids((await bench.get("/api/webhooks/queue/failed"))["failed"]) == ["d3"]


async def test_a_replay_into_a_full_queue_says_what_was_sent() -> None:
    bench = await Bench(max_queue_len=10).open()
    for number in range(20):
        bench.tried(f"d{number}", at=number)
    answer = await bench.ask("POST", "/api/webhooks/wh_a/replay")
    assert code(answer) == (503, "queue_full")
    sent = len(await bench.claimed())
    assert f"; {sent} deliveries were" in answer.document["error"]["message"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"status": "retrying"}, "invalid_field"),
        ({"status": 5}, "invalid_field"),
        ({"since": "soon"}, "invalid_field"),
        ({"limit": "5"}, "invalid_field"),
        ({"limit": 10_001}, "invalid_field"),
        ({"dry_run": "yes"}, "invalid_field"),
        ({"everything": True}, "unknown_field"),
    ],
)
async def test_a_replay_with_bad_fields_sends_nothing(bench: Bench, body: dict[str, Any], expected: str) -> None:
    many(bench)
    assert code(await bench.ask("POST", "/api/webhooks/replay", body)) == (422, expected)
    assert await bench.claimed() == []
