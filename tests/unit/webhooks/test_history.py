"""The history's rows, and its writer: nothing waits for it, nothing secret is in it, and it is bounded."""

import asyncio
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sockudo_py.endpoints import Endpoint, Secret
from sockudo_py.errors import Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.stores.history.base import Batch, Bounds, Scope
from sockudo_py.stores.history.memory import MemoryHistory
from sockudo_py.stores.history.packs import Row
from sockudo_py.webhooks.delivery.requests.attempt import Attempt, requests_for
from sockudo_py.webhooks.history.rows import fields_of, ids_of, read_details, sight_of
from sockudo_py.webhooks.history.writer import HistoryWriter
from sockudo_py.webhooks.metrics import WebhookMetrics
from sockudo_py.webhooks.targets.base import Delivered, Failure, Outcome, Timing
from tests.support.client import eventually
from tests.unit.webhooks.make import APP_SECRET, NOW, NOW_MS, SECRET, endpoint, job

HEADERS = (("Authorization", "Bearer tok-1234567"), ("X-Source", "a-private-word"), ("X-Api-Key", "key-987654"))


def attempt(
    of: Endpoint, outcome: Outcome | None = None, *, status: str = "delivered", number: int = 1, **fields: Any
) -> Attempt:
    made = job(**fields)
    return Attempt(
        job=made,
        number=number,
        max_attempts=6,
        target="http",
        outcome=outcome or Delivered(200, Timing(12, 9)),
        status=status,
        started_ms=NOW_MS + 40,
        duration=0.012,
        retry_in=2.0 if status == "retrying" else None,
        request=requests_for(of, made, NOW)[-1],
    )


# -- rows


def row_of(one: Attempt, of: Endpoint) -> Row:
    return Row(*fields_of(one, sight_of(of)))


def test_a_row_says_what_was_sent_and_what_came_back() -> None:
    of = endpoint(profile="irisx")
    failure = Failure(
        "http_5xx", "the endpoint answered 503", 503, timing=Timing(12, 9, 1, 2, 3), response_body=b"busy"
    )
    one = attempt(of, failure, status="retrying", number=1)
    row = row_of(one, of)
    assert (row.delivery, row.status, row.number) == ("dl_1", "retrying", 1)
    assert (row.created_ms, row.finished_ms) == (NOW_MS, NOW_MS + 52)
    assert row.types == "channel_occupied"
    assert (row.size, row.held) == (len(one.job.events_text), len(one.job.events_text))
    details = read_details(row)
    assert (details.error_class, details.message) == ("http_5xx", "the endpoint answered 503")
    assert (details.http_status, details.response_body, details.response_truncated) == (503, "busy", False)
    assert (details.queued_ms, details.dns_ms, details.connect_ms, details.tls_ms) == (40, 1, 2, 3)
    assert (details.ttfb_ms, details.total_ms) == (9, 12)
    assert (details.started_ms, details.next_ms) == (NOW_MS + 40, NOW_MS + 2052)
    assert (ids_of(details, "dl_1"), details.event_count) == (["dl_1"], 1)
    assert one.request is not None
    signed = b"%d." % int(NOW) + one.request.body
    assert (details.signed_bytes, details.signed_sha256) == (len(signed), hashlib.sha256(signed).hexdigest())


@pytest.mark.parametrize("profile", ["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx"])
def test_signatures_stand_and_given_values_do_not(profile: Any) -> None:
    of = endpoint(profile=profile, headers=HEADERS)
    row = row_of(attempt(of), of)
    headers = dict(read_details(row).request_headers)
    for name, value in HEADERS:
        assert headers[name] == "***"
        assert value not in repr(row)
    assert headers["webhook-id"] == "dl_1"
    assert any("ignature" in name and value != "***" for name, value in headers.items())


@pytest.mark.parametrize(
    "profile", ["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard", "custom"]
)
def test_the_usual_headers_of_a_profile_are_known_by_their_number(profile: Any) -> None:
    secret = Secret("whsec_" + "A" * 32)
    for also in ((), ("standard",)):
        of = endpoint(profile=profile, secrets=(secret,), also_sign=also)
        request = requests_for(of, job(), NOW)[0]
        assert len(request.headers) == sight_of(of).usual
    of = endpoint(profile=profile, secrets=(secret,), headers=HEADERS)
    assert sight_of(of).usual == -1


@pytest.mark.parametrize("fields", [{}, {"headers": HEADERS}, {"also_sign": ("standard",)}, {"envelope": "irisx"}])
@pytest.mark.parametrize("profile", ["pusher", "irisx", "standard", "realcast"])
def test_the_headers_that_are_read_are_those_that_were_sent(profile: Any, fields: dict[str, Any]) -> None:
    of = endpoint(profile=profile, secrets=(Secret("whsec_" + "A" * 32),), **fields)
    two = {"name": "channel_vacated", "channel": "c", "time_ms": NOW_MS}, {"name": "member_added", "channel": "c"}
    for events in (two[:1], two):
        made = job(*events, attempt=2)
        request = requests_for(of, made, NOW + 7)[-1]
        one = replace(attempt(of), job=made, number=3, request=request)
        row = row_of(one, of)
        kept = row._replace(details=orjson.loads(orjson.dumps(row.details)))
        read = [(name, value) for name, value in read_details(kept).request_headers if value != "***"]
        assert read == [pair for pair in request.headers if pair not in HEADERS]


def test_a_signature_in_a_header_that_holds_secrets_does_not_stand() -> None:
    of = endpoint(profile="custom", signature_header="Authorization")
    assert dict(read_details(row_of(attempt(of), of)).request_headers)["Authorization"] == "***"


def test_no_secret_that_a_receiver_sends_back_is_kept() -> None:
    of = endpoint(headers=HEADERS, secrets=(Secret(SECRET), Secret("an-old-secret", NOW + 60)))
    secrets = [value for _, value in HEADERS] + ["tok-1234567", SECRET, "an-old-secret", APP_SECRET.decode()]
    echo = json.dumps({"you sent": secrets}).encode()
    row = row_of(attempt(of, Delivered(200, response_body=echo)), of)
    kept = repr(row)
    for secret in secrets:
        assert secret not in kept
    assert "you sent" in kept


def test_a_long_answer_is_cut() -> None:
    of = endpoint()
    details = read_details(row_of(attempt(of, Delivered(200, response_body=b"x" * 5000)), of))
    assert (len(details.response_body), details.response_truncated) == (4096, True)


def test_binary_answers_and_odd_events_are_rows_too() -> None:
    of = endpoint()
    odd = Delivered(200, response_body=b"\xff\x00\xfe")
    row = row_of(replace(attempt(of, odd), job=job({"name": "a\nb" * 1000, "event_id": 5, "time_ms": "x"})), of)
    assert "\n" not in row.types
    assert len(row.types) == 200
    assert read_details(row).event_ids == ["5"]
    assert row.created_ms == NOW_MS


def test_the_payload_is_kept_with_the_first_attempt_and_with_the_last() -> None:
    of = endpoint()
    for number, status, held in [(1, "retrying", True), (2, "retrying", False), (3, "failed", True)]:
        row = row_of(attempt(of, status=status, number=number), of)
        assert (row.size > 0, row.held > 0) == (True, held)


@pytest.mark.parametrize("number", [1, 2, 150])
def test_the_events_of_an_own_job_are_not_parsed(number: int) -> None:
    of = endpoint()
    tricky = '{"name":"member_added"}'
    kinds = ["client_event", "channel_occupied"]
    events = [{"name": kinds[at % 2], "channel": "c", "data": tricky, "time_ms": NOW_MS + at} for at in range(number)]
    parsed = replace(attempt(of), job=job(*events))
    own = replace(parsed, job=replace(parsed.job, own=number))
    assert row_of(own, of) == row_of(parsed, of)
    assert row_of(own, of).types.split("\n") == kinds[:number]
    assert len(ids_of(read_details(row_of(own, of)), "dl_1")) == min(number, 100)


def test_the_time_of_a_row_is_its_first_events() -> None:
    of = endpoint()
    row = row_of(replace(attempt(of), job=job({"name": "a", "time_ms": NOW_MS - 99}, {"name": "b"})), of)
    assert row.created_ms == NOW_MS - 99
    assert ids_of(read_details(row), "dl_1") == ["dl_1_0", "dl_1_1"]


# -- the writer


class Store(MemoryHistory):
    """A history that can be away, hang, or have a bug."""

    def __init__(self) -> None:
        super().__init__(Bounds())
        self.away = False
        self.broken = False
        self.hang: asyncio.Event | None = None
        self.batches: list[Batch] = []

    async def write(self, batch: Batch) -> None:
        if self.hang is not None:
            await self.hang.wait()
        if self.away:
            raise Unavailable("the history is away")
        if self.broken:
            raise RuntimeError("a bug")
        self.batches.append(batch)
        await super().write(batch)

    async def kept(self) -> list[str]:
        return [kept.delivery for kept in await self.page(Scope(), None, 100_000)]


class Bench:
    def __init__(self) -> None:
        self.store = Store()
        self.metrics = WebhookMetrics(Metrics())
        self.of = endpoint()
        self.writer = self.make()

    def make(self, **settings: Any) -> HistoryWriter:
        settings = {"keep": 1000, "interval": 0.01, **settings}
        self.writer = HistoryWriter(self.store, settings.pop("keep"), self.metrics, **settings)
        return self.writer

    def add(self, *numbers: int, status: str = "delivered", of: Endpoint | None = None) -> None:
        for number in numbers:
            self.writer.add(attempt(of or self.of, status=status, id=f"dl_{number}"), of or self.of)

    def dropped(self) -> float:
        return self.metrics.history_dropped.values.get((), 0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.writer.stop()


async def test_what_comes_is_written_in_batches(bench: Bench) -> None:
    bench.add(*range(450))
    assert bench.store.batches == []
    await bench.writer.flush()
    assert [pack.number for batch in bench.store.batches for pack in batch.packs] == [50] * 9
    assert await bench.store.kept() == [f"dl_{number}" for number in reversed(range(450))]
    figures = (await bench.store.figures(["wh_1"]))["wh_1"]
    assert (figures.successful, figures.average_ms) == (450, 12)


async def test_few_attempts_are_in_the_order_of_their_ends_whatever_their_endpoint(bench: Bench) -> None:
    other = endpoint(uid="wh_2")
    for number in range(10):
        of = other if number % 2 else bench.of
        bench.writer.add(replace(attempt(of, id=f"dl_{number}"), started_ms=NOW_MS + number), of)
    await bench.writer.flush()
    assert await bench.store.kept() == [f"dl_{number}" for number in reversed(range(10))]


async def test_it_writes_by_itself_and_at_the_stop(bench: Bench) -> None:
    bench.writer.start()
    bench.add(1)
    await eventually(lambda: bench.store.batches != [], "a batch")
    bench.add(2)
    await bench.writer.stop()
    assert await bench.store.kept() == ["dl_2", "dl_1"]
    assert bench.dropped() == 0


async def test_rows_that_would_be_deleted_at_once_are_not_written_but_counted(bench: Bench) -> None:
    bench.make(keep=10)
    bench.add(*range(300))
    await bench.writer.flush()
    assert await bench.store.kept() == [f"dl_{number}" for number in reversed(range(290, 300))]
    assert (await bench.store.figures(["wh_1"]))["wh_1"].successful == 300
    assert bench.dropped() == 0


async def test_while_the_store_is_away_rows_wait_and_too_many_are_dropped_and_counted(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench.make(most_rows=30)
    bench.writer.start()
    bench.store.away = True
    bench.add(*range(20))
    await eventually(lambda: "can't be written" in caplog.text, "a line")
    bench.add(*range(20, 50))
    await eventually(lambda: bench.dropped() == 20, "dropped rows")
    bench.store.away = False
    await eventually(lambda: "is written again" in caplog.text, "a line")
    assert await bench.store.kept() == [f"dl_{number}" for number in reversed(range(30))]
    assert (await bench.store.figures(["wh_1"]))["wh_1"].successful == 50  # statistics are not dropped
    assert caplog.text.count("can't be written") == 1
    assert caplog.text.count("not in the history") == 1


async def test_bytes_that_wait_are_bounded(bench: Bench) -> None:
    bench.make(most_bytes=50_000)
    bench.store.away = True
    bench.add(*range(100))
    await bench.writer.flush()
    bench.add(*range(100, 200))
    bench.store.away = False
    await bench.writer.flush()
    assert 10 <= len(await bench.store.kept()) <= 25
    bench.add(*range(300, 310))
    await bench.writer.flush()
    assert (await bench.store.kept())[:10] == [f"dl_{number}" for number in reversed(range(300, 310))]


async def test_a_slow_store_keeps_nobody_waiting(bench: Bench) -> None:
    bench.make(most_rows=10)
    bench.store.hang = asyncio.Event()
    bench.writer.start()
    bench.add(*range(5))
    await asyncio.sleep(0.05)
    bench.add(*range(5, 100))  # returns at once
    await eventually(lambda: bench.writer._dropped == 90, "dropped rows")
    bench.store.hang.set()
    await eventually(lambda: bench.dropped() == 90, "dropped rows")


async def test_a_batch_that_can_not_be_written_for_a_bug_is_given_up(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.writer.start()
    bench.store.broken = True
    bench.add(1, 2)
    await eventually(lambda: bench.dropped() == 2, "dropped rows")
    bench.store.broken = False
    bench.add(3)
    await eventually(lambda: bench.store.batches != [], "a batch")
    assert await bench.store.kept() == ["dl_3"]
    assert "writing the history of webhook deliveries failed" in caplog.text


async def test_a_stop_waits_no_longer_than_told_and_says_what_is_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.store.hang = asyncio.Event()
    bench.writer.start()
    bench.add(1, 2, 3)
    async with asyncio.timeout(5):
        await bench.writer.stop(0.05)
    assert bench.dropped() == 3
    assert "lost for the history at shutdown: 3" in caplog.text
    bench.store.hang.set()


async def test_what_a_person_tries_is_written_at_once_and_counts_nowhere(bench: Bench) -> None:
    await bench.writer.keep(replace(attempt(bench.of), test=True), bench.of)
    assert await bench.store.kept() == ["dl_1"]
    assert await bench.store.figures(["wh_1"]) == {}
