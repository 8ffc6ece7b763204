"""The route that triggers events: for which app, and how it answers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sockudo_py.errors import Unavailable
from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.deliveries.trigger import TriggerRoutes
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked
from sockudo_py.protocol.app import App
from sockudo_py.webhooks.trigger.asked import NotTriggered
from sockudo_py.webhooks.trigger.trigger import Triggered
from tests.unit.http.support import APP, FakeApps, FakeLimiter

PATH = "/apps/3/webhook_events"
ROOT = Admin(b"", frozenset({EVERY_APP}), frozenset({"read", "write"}), "root")
EVENT = {"event_type": "room.started"}


class FakeTrigger:
    """Remembers what it was asked for."""

    def __init__(self, *outcomes: Triggered | Exception) -> None:
        self.fired: list[tuple[str, Mapping[str, Any], str | None]] = []
        self._outcomes = list(outcomes)

    async def fire(self, app_id: str, asked: Mapping[str, Any], key: str | None = None) -> Triggered:
        self.fired.append((app_id, asked, key))
        outcome = self._outcomes.pop(0) if self._outcomes else Triggered({"event_id": "e", "matched": 1})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Bench:
    def __init__(self, trigger: FakeTrigger | None, app: App = APP) -> None:
        self.router = Router([TriggerRoutes(trigger, FakeApps(app), FakeLimiter(), most_body=1000)])

    async def post(self, path: str = PATH, admin: Admin = ROOT, **more: Any) -> Answer:
        return await self.router.handle("POST", path, Asked(admin, **{"body": EVENT, **more}))


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.document["error"]["code"]


async def test_an_event_is_triggered() -> None:
    trigger = FakeTrigger()
    assert await Bench(trigger).post() == Answer(202, {"event_id": "e", "matched": 1})
    assert trigger.fired == [("3", EVENT, None)]


async def test_a_replayed_answer_says_so() -> None:
    answer = await Bench(FakeTrigger(Triggered({}, replayed=True))).post()
    assert answer.headers == (("Idempotent-Replayed", "true"),)


async def test_the_key_is_read_from_both_headers() -> None:
    trigger = FakeTrigger()
    bench = Bench(trigger)
    await bench.post(headers={"idempotency-key": "k1", "x-idempotency-key": "k2"})
    await bench.post(headers={"x-idempotency-key": "k2"})
    assert [key for _, _, key in trigger.fired] == ["k1", "k2"]


@pytest.mark.parametrize(
    ("path", "admin", "answer"),
    [
        (PATH, replace(ROOT, apps=frozenset({"4"})), (404, "not_found")),
        ("/apps/nobody/webhook_events", ROOT, (404, "not_found")),
        (PATH, replace(ROOT, scopes=frozenset({"read"})), (403, "forbidden")),
    ],
)
async def test_others_may_not(path: str, admin: Admin, answer: tuple[int, str]) -> None:
    trigger = FakeTrigger()
    assert code(await Bench(trigger).post(path, admin)) == answer
    assert trigger.fired == []


async def test_a_disabled_app_triggers_nothing() -> None:
    assert code(await Bench(FakeTrigger(), replace(APP, enabled=False)).post()) == (403, "app_disabled")


async def test_it_counts_as_an_event_of_the_backend() -> None:
    bench = Bench(FakeTrigger(), replace(APP, backend_events_per_second=1))
    assert (await bench.post()).status == 202
    refused = await bench.post()
    assert code(refused) == (429, "rate_limited")
    assert refused.headers == (("Retry-After", "1"),)


async def test_fields_in_the_query_are_refused() -> None:
    assert code(await Bench(FakeTrigger()).post(query={"event_type": "a"})) == (422, "unknown_field")


async def test_a_server_without_webhooks_says_so() -> None:
    assert code(await Bench(None).post()) == (409, "webhooks_disabled")


async def test_a_refusal_names_its_fields() -> None:
    answer = await Bench(FakeTrigger(NotTriggered(422, "invalid_field", "data: x", ("data", "x")))).post()
    assert code(answer) == (422, "invalid_field")
    assert answer.document["error"]["fields"] == [{"field": "data", "message": "x"}]


@pytest.mark.parametrize("problem", [NotTriggered(503, "queue_full", "full"), Unavailable("redis://secret")])
async def test_what_may_pass_says_when_to_come_back(problem: Exception) -> None:
    answer = await Bench(FakeTrigger(problem)).post()
    assert answer.status == 503
    assert ("Retry-After", "1") in answer.headers
    assert "secret" not in str(answer.document)
