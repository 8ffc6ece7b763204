"""The management routes about webhooks, without anything that carries them, over a queue in memory."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import Unavailable
from sockudo_py.management.credentials.keys import SOCKET_OWNER, Admin
from sockudo_py.management.deliveries import letters as letters_module
from sockudo_py.management.deliveries.letters import Letters, letters_of, page
from sockudo_py.management.deliveries.queue import QueueRoutes
from sockudo_py.management.endpoints.routes import EndpointRoutes, Listed
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked
from sockudo_py.queues import jobs
from sockudo_py.queues.base import ALL_DEAD, Append, DeadLetters, LanePolicy
from sockudo_py.queues.local.queue import MemoryQueue
from tests.unit.webhooks.make import endpoint

FIRST = 1_800_000_000_000  # ms
FAILED = "/api/webhooks/queue/failed"
RETRY = "/api/webhooks/queue/retry-failed"


def bench_router(letters: Letters, endpoints: Callable[[], list[Endpoint]]) -> Router:
    return Router([EndpointRoutes(Listed(endpoints)), QueueRoutes(letters, endpoints)])


class Bench:
    def __init__(self) -> None:
        self.queue = MemoryQueue()
        self.endpoints: list[Endpoint] = [
            endpoint(uid="wh_a", app_id="1", name="orders", url="https://x.example/t0ken?q=t0ken"),
            endpoint(uid="wh_b", id=2, app_id="2", name="orders"),
        ]
        self.routes = bench_router(letters_of(self.queue), lambda: self.endpoints)
        self.dead = 0

    async def bury(self, count: int, uid: str = "wh_a", app: str = "1", error: str = "connect") -> None:
        """Add dead letters d0, d1, ...; each failed a second after the one before."""
        await self.queue.set_policy(uid, LanePolicy(window=0.0, size=1, slow_start=False, max_in_flight=10_000))
        event = b'{"name":"channel_occupied","channel":"c"}'
        await self.queue.append([Append(f"d{self.dead + n}", uid, app, event, FIRST) for n in range(count)])
        for claim in await self.queue.claim("w", count, 30):
            moment = FIRST + self.dead * 1000
            await self.queue.fail(claim.token, jobs.bury(claim.job, moment, jobs.JobError(error, "no")))
            self.dead += 1

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
        admin: Admin = SOCKET_OWNER,
    ) -> Answer:
        return await self.routes.handle(method, path, Asked(admin, query=query or {}, body=body or {}))

    async def get(self, path: str, **query: str) -> Mapping[str, Any]:
        answer = await self.ask("GET", path, query=query)
        assert answer.status == 200, answer
        json.dumps(answer.document)
        return answer.document


@pytest.fixture
async def bench() -> Bench:
    bench = Bench()
    await bench.queue.open()
    return bench


def key(*apps: str, scopes: tuple[str, ...] = ("read", "write")) -> Admin:
    return Admin(b"", frozenset(apps), frozenset(scopes))


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.document["error"]["code"]


# -- endpoints


async def test_endpoints_are_listed_without_what_is_secret(bench: Bench) -> None:
    first, second = (await bench.get("/api/webhooks"))["webhooks"]
    assert (first["id"], first["uid"], first["name"], first["app_id"]) == ("wh_a", "wh_a", "orders", "1")
    assert isinstance(first["number"], int)
    assert first["url"] == "https://x.example/..."
    assert second["uid"] == "wh_b"
    assert [one["uid"] for one in (await bench.get("/api/webhooks", app_id="2"))["webhooks"]] == ["wh_b"]


async def test_endpoints_come_in_pages(bench: Bench) -> None:
    first = await bench.get("/api/webhooks", limit="1")
    second = await bench.get("/api/webhooks", limit="1", cursor=first["next_cursor"])
    assert [one["uid"] for page in (first, second) for one in page["webhooks"]] == ["wh_a", "wh_b"]
    assert second["next_cursor"] is None
    assert code(await bench.ask("GET", "/api/webhooks", query={"cursor": "x"})) == (400, "invalid_cursor")


async def test_one_endpoint_by_uid_or_number(bench: Bench) -> None:
    shown = await bench.get("/api/webhooks/wh_b")
    assert await bench.get(f"/api/webhooks/{shown['number']}") == shown
    assert code(await bench.ask("GET", "/api/webhooks/wh_z")) == (404, "unknown_webhook")


async def test_what_the_registry_knows_now_is_shown(bench: Bench) -> None:
    bench.endpoints[0] = replace(bench.endpoints[0], enabled=False)
    assert (await bench.get("/api/webhooks/wh_a"))["enabled"] is False


# -- dead letters


async def test_a_dead_letter_is_listed_as_the_specification_says(bench: Bench) -> None:
    await bench.bury(1)
    [item] = (await bench.get(FAILED))["failed"]
    assert item == {
        "id": "d0",
        "webhook_id": "wh_a",
        "app_id": "1",
        "event_types": ["channel_occupied"],
        "event_count": 1,
        "attempts": 0,
        "redrives": 0,
        "error": {"class": "connect", "status": None, "message": "no"},
        "created_at": "2027-01-15T08:00:00.000Z",
        "failed_at": "2027-01-15T08:00:00.000Z",
        "size": item["size"],
    }
    whole = dict(await bench.get(f"{FAILED}/d0"))
    assert whole["job"]["events"] == [{"name": "channel_occupied", "channel": "c"}]
    assert whole["payload"] == whole["job"]["events"]
    assert whole.pop("attempt_log") == []
    assert (await bench.get(FAILED, payload="true"))["failed"] == [whole]
    assert code(await bench.ask("GET", f"{FAILED}/d9")) == (404, "unknown_delivery")


CHOICES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "all": ({}, ["d3", "d2", "d1", "d0"]),
    "an endpoint": ({"webhookId": "wh_b"}, ["d3", "d2"]),
    "an app": ({"app_id": "1"}, ["d1", "d0"]),
    "ids": ({"ids": ["d0", "d3", "x"]}, ["d3", "d0"]),
    "an error": ({"error_class": "tls"}, ["d3", "d1"]),
    "since": ({"since": FIRST + 2000}, ["d3", "d2"]),
    "since, written": ({"since": "2027-01-15T08:00:02Z"}, ["d3", "d2"]),
    "until, without a zone": ({"until": "2027-01-15T08:00:01"}, ["d0"]),
    "several": ({"error_class": "tls", "app_id": "2"}, ["d3"]),
}


async def four(bench: Bench) -> None:
    for uid, app in (("wh_a", "1"), ("wh_b", "2")):
        for error in ("connect", "tls"):
            await bench.bury(1, uid, app, error)


@pytest.mark.parametrize(("fields", "meant"), CHOICES.values(), ids=CHOICES)
async def test_they_are_chosen_alike_by_every_route(bench: Bench, fields: dict[str, Any], meant: list[str]) -> None:
    await four(bench)
    query = {name: ",".join(value) if isinstance(value, list) else str(value) for name, value in fields.items()}
    assert [one["id"] for one in (await bench.get(FAILED, **query))["failed"]] == meant
    for method, path in (("POST", RETRY), ("DELETE", FAILED)):
        dry = await bench.ask(method, path, {**fields, "dry_run": True})
        assert (dry.status, dry.document) == (200, {"matched": len(meant), "more": False})
    assert len((await bench.get(FAILED))["failed"]) == 4
    done = await bench.ask("POST", RETRY, fields)
    assert (done.status, done.document) == (202, {"retried": len(meant)})
    left = [one["id"] for one in (await bench.get(FAILED))["failed"]]
    assert sorted(left + meant) == ["d0", "d1", "d2", "d3"]


@pytest.mark.parametrize(("fields", "meant"), CHOICES.values(), ids=CHOICES)
async def test_they_are_deleted(bench: Bench, fields: dict[str, Any], meant: list[str]) -> None:
    await four(bench)
    assert (await bench.ask("DELETE", FAILED, fields)).document == {"deleted": len(meant)}
    assert len((await bench.get(FAILED))["failed"]) == 4 - len(meant)


async def test_the_oldest_are_sent_first_and_no_more_than_asked_for(bench: Bench) -> None:
    await bench.bury(5)
    assert (await bench.ask("POST", RETRY, {"limit": 2})).document == {"retried": 2}
    assert [one["id"] for one in (await bench.get(FAILED))["failed"]] == ["d4", "d3", "d2"]


async def test_dead_letters_of_an_endpoint_that_is_gone_can_be_chosen_and_a_misspelt_one_can_not(bench: Bench) -> None:
    await bench.bury(1, "wh_gone")
    assert [one["id"] for one in (await bench.get(FAILED, webhookId="wh_gone"))["failed"]] == ["d0"]
    for method, path in (("GET", FAILED), ("POST", RETRY), ("DELETE", FAILED)):
        assert code(await bench.ask(method, path, {"webhookId": "wh_gnoe"})) == (404, "unknown_webhook")


async def test_pages_stay_stable_while_new_ones_come_and_old_ones_go(bench: Bench) -> None:
    await bench.bury(10)
    first = await bench.get(FAILED, limit="4")
    assert [one["id"] for one in first["failed"]] == ["d9", "d8", "d7", "d6"]
    await bench.bury(3)
    second = await bench.get(FAILED, limit="4", cursor=first["next_cursor"])
    assert [one["id"] for one in second["failed"]] == ["d5", "d4", "d3", "d2"]
    await bench.ask("DELETE", FAILED, {"ids": ["d12", "d9", "d8"]})
    third = await bench.get(FAILED, limit="4", cursor=second["next_cursor"])
    assert ([one["id"] for one in third["failed"]], third["next_cursor"]) == (["d1", "d0"], None)


async def test_a_cursor_whose_last_delivery_is_gone_goes_on_from_its_place(bench: Bench) -> None:
    await bench.bury(6)
    _, cursor = await page(letters_of(bench.queue), ALL_DEAD, 2, None)
    await bench.queue.purge_dead(DeadLetters(ids=frozenset({"d4"})))
    texts, _ = await page(letters_of(bench.queue), ALL_DEAD, 2, cursor)
    assert [jobs.decode(text).id for text in texts] == ["d2", "d1"]


async def test_counting_ends_somewhere(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters_module, "COUNTED", 3)
    monkeypatch.setattr(letters_module, "_PAGE", 2)
    await bench.bury(5)
    dry = await bench.ask("POST", RETRY, {"app_id": "1", "dry_run": True})
    assert dry.document == {"matched": 3, "more": True}


async def test_what_is_no_job_is_shown_and_goes_with_all(bench: Bench) -> None:
    bench.queue._store.failed.extend([b"\xff garbage", b"[]"])  # type: ignore[attr-defined]
    shown = (await bench.get(FAILED))["failed"]
    assert [(one["id"], one["raw"]) for one in shown] == [(None, "\ufffd garbage"), (None, "[]")]
    assert (await bench.ask("DELETE", FAILED)).document == {"deleted": 2}


async def test_figures(bench: Bench) -> None:
    await bench.bury(2)
    await bench.queue.append([Append("e", "wh_b", "2", b'{"name":"x"}', FIRST)])
    figures = await bench.get("/api/webhooks/queue/stats")
    assert (figures["waiting"], figures["failed"]) == (1, 2)
    assert [lane["webhookId"] for lane in figures["lanes"] if lane["waiting"]] == ["wh_b"]


# -- mistakes


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"webhokId": "wh_a"}, {}),
        ({}, {"webhokId": "wh_a"}),
        ({"limit": "5"}, {}),
        ({"limit": 0}, {}),
        ({"limit": True}, {}),
        ({"limit": 10**9}, {}),
        ({"dry_run": "yes"}, {}),
        ({"dry_run": 1}, {}),
        ({"ids": "d0"}, {}),
        ({"ids": [1]}, {}),
        ({"ids": [f"d{n}" for n in range(1001)]}, {}),
        ({"webhookId": ""}, {}),
        ({"webhookId": 7}, {}),
        ({"since": "yesterday"}, {}),
        ({"since": -1}, {}),
        ({"since": 10**17}, {}),
        ({"until": True}, {}),
        ({}, {"limit": "x"}),
        ({}, {"dry_run": "maybe"}),
    ],
)
async def test_a_field_that_is_wrong_changes_nothing(bench: Bench, body: dict[str, Any], query: dict[str, str]) -> None:
    await bench.bury(1)
    answer = await bench.ask("POST", RETRY, body, query)
    assert answer.status == 422
    assert answer.document["error"]["message"]
    assert len((await bench.get(FAILED))["failed"]) == 1


@pytest.mark.parametrize("cursor", ["x", "", "====", "WzEsMl0", "Wy0xLCJhIl0", "e30"])
async def test_a_cursor_that_nobody_gave_is_refused(bench: Bench, cursor: str) -> None:
    answer = await bench.ask("GET", FAILED, query={"cursor": cursor})
    assert answer.status in (400, 422)


async def test_routes_that_are_not_there(bench: Bench) -> None:
    assert code(await bench.ask("GET", "/api/nothing")) == (404, "not_found")
    assert code(await bench.ask("PUT", FAILED)) == (405, "method_not_allowed")


async def test_a_queue_that_is_away_is_503_and_a_defect_is_500(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> list[bytes]:
        raise Unavailable("redis://secret@x")

    async def broken(*_: object) -> list[bytes]:
        raise RuntimeError("t0ken")

    for failing, expected in ((away, (503, "unavailable")), (broken, (500, "internal"))):
        monkeypatch.setattr(bench.queue, "find_dead", failing)
        answer = await bench.ask("GET", FAILED)
        assert code(answer) == expected
        assert "secret" not in str(answer.document)
        assert "t0ken" not in str(answer.document)


# -- keys of some apps


async def test_a_key_of_one_app_sees_that_app_alone(bench: Bench) -> None:
    await four(bench)
    tenant = key("2")
    listed = (await bench.ask("GET", FAILED, admin=tenant)).document["failed"]
    assert [one["id"] for one in listed] == ["d3", "d2"]
    assert [one["uid"] for one in (await bench.ask("GET", "/api/webhooks", admin=tenant)).document["webhooks"]] == [
        "wh_b"
    ]
    for path in ("/api/webhooks/wh_a", f"{FAILED}/d0"):
        assert (await bench.ask("GET", path, admin=tenant)).status == 404
    for query in ({"app_id": "1"}, {"webhookId": "wh_a"}):
        assert (await bench.ask("DELETE", FAILED, query=query, admin=tenant)).status == 404
    figures = (await bench.ask("GET", "/api/webhooks/queue/stats", admin=tenant)).document
    assert figures["failed"] == 2
    assert {lane["webhookId"] for lane in figures["lanes"]} <= {"wh_b"}
    assert (await bench.ask("DELETE", FAILED, admin=tenant)).document == {"deleted": 2}
    assert [one["id"] for one in (await bench.get(FAILED))["failed"]] == ["d1", "d0"]


async def test_a_key_of_several_apps_says_which(bench: Bench) -> None:
    assert code(await bench.ask("GET", FAILED, admin=key("1", "2"))) == (400, "app_id_required")
    assert (await bench.ask("GET", FAILED, query={"app_id": "2"}, admin=key("1", "2"))).status == 200


async def test_scopes(bench: Bench) -> None:
    reader, writer = key("*", scopes=("read",)), key("*", scopes=("write",))
    assert code(await bench.ask("DELETE", FAILED, admin=reader)) == (403, "forbidden")
    assert code(await bench.ask("POST", RETRY, admin=reader)) == (403, "forbidden")
    assert code(await bench.ask("GET", FAILED, admin=writer)) == (403, "forbidden")


# -- a queue that can choose by endpoint only


class Limited:
    """The part of the queue of SQS that ``OfOneEndpoint`` uses."""

    def __init__(self, queue: MemoryQueue) -> None:
        self.failed, self.redrive, self.purge, self.depths = queue.failed, queue.redrive, queue.purge, queue.depths


async def test_a_queue_that_can_not_choose_finds_by_everything_and_changes_by_endpoint(bench: Bench) -> None:
    await four(bench)
    limited: Any = Limited(bench.queue)
    bench.routes = bench_router(letters_of(limited), lambda: bench.endpoints)
    assert [one["id"] for one in (await bench.get(FAILED, error_class="tls", app_id="2"))["failed"]] == ["d3"]
    for method, path in (("POST", RETRY), ("DELETE", FAILED)):
        assert code(await bench.ask(method, path, {"error_class": "tls"})) == (422, "not_supported")
        dry = await bench.ask(method, path, {"error_class": "tls", "dry_run": True})
        assert dry.document == {"matched": 2, "more": False}
    assert (await bench.ask("POST", RETRY, {"webhookId": "wh_a", "limit": 1})).document == {"retried": 1}
    assert (await bench.ask("DELETE", FAILED, {"webhookId": "wh_b"})).document == {"deleted": 2}
    assert [one["id"] for one in (await bench.get(FAILED))["failed"]] == ["d1"]
    assert (await bench.ask("POST", RETRY)).document == {"retried": 1}
