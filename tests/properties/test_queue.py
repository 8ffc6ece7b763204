"""Whatever is done to a queue, in any order: each job is in exactly one place, and all drivers agree with a model."""

import asyncio
import re
import sqlite3
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy, Queue, QueueFull
from sockudo_py.queues.book import Book
from sockudo_py.queues.jobs import Job, JobError
from sockudo_py.queues.memory import MemoryQueue
from sockudo_py.queues.redis import RedisQueue
from sockudo_py.queues.room import takes
from sockudo_py.queues.sqlite import SqliteQueue
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.still_redis import NOW, StillScripts

T = TypeVar("T")

SIZE, WINDOW, LEASE, IN_FLIGHT, CRASHES, BOUND = 3, 10.0, 30.0, 3, 2, 16
ENDPOINTS = {"wh_a": "app", "wh_b": "app", "wh_ordered": "another app"}  # and their apps
POLICY = LanePolicy(window=WINDOW, size=SIZE, max_in_flight=IN_FLIGHT, slow_start=False)
EVENT = re.compile(rb'\{"event":"(e\d+)"\}')


@dataclass
class Held:
    """A job of the model, and its tokens: one of each driver. ``raw``: as it lies in the store, dead marks included."""

    raw: Job
    tokens: tuple[str, ...]
    deadline: float


@dataclass
class ModelLane:
    """What waits for one endpoint."""

    ordered: bool
    ready: list[Job] = field(default_factory=list)
    fresh: list[tuple[str, bool]] = field(default_factory=list)  # id and solo
    window_end: float = 0.0
    gate: float = 0.0
    paused: bool = False

    def pop(self, endpoint: str) -> Job:
        if self.ready:
            return self.ready.pop(0)
        batch = [self.fresh.pop(0)]
        while self.fresh and not batch[0][1] and not self.fresh[0][1] and len(batch) < SIZE:
            batch.append(self.fresh.pop(0))
        text = b"[" + b",".join(b'{"event":"%b"}' % ident.encode() for ident, _ in batch) + b"]"
        return Job(batch[0][0], endpoint, ENDPOINTS[endpoint], 1, text)


def handed_out(raw: Job) -> Job:
    """Return a stored job as a claim shows it."""
    if raw.failed_ms is None:
        return raw
    return replace(raw, attempt=0, redrives=raw.redrives + 1, failed_ms=None, error=None)


async def offer(queue: Queue, batch: list[Append]) -> list[str]:
    """Append events; return the ids of those that were refused."""
    try:
        await queue.append(batch)
    except QueueFull as full:
        return [event.id for event in full.refused]
    return []


def without_times(job: Job) -> Job:
    """Return a job with what differs between the clocks of the drivers made equal."""
    return job if job.failed_ms is None else replace(job, failed_ms=0)


def events_in(texts: list[bytes]) -> list[str]:
    """Return the ids of all events in these job texts, each as often as it is there."""
    return [ident.decode() for text in texts for ident in EVENT.findall(text)]


class QueueMachine(RuleBasedStateMachine):
    """Does the same to a queue of each driver and to a model."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = 0.0
        self.prefix = f"machine-{uuid.uuid4().hex[:8]}:"
        self.admin = server.client()
        options: dict[str, Any] = {"default_policy": POLICY, "max_crash_redeliveries": CRASHES, "max_queue_len": BOUND}
        self.memory = MemoryQueue(clock=lambda: NOW + self.now, **options)
        self.redis = RedisQueue(server.url, prefix=self.prefix, **options)
        self.redis._scripts = StillScripts()
        self.path = folder / f"{self.prefix[:-1]}.sqlite3"
        self.sqlite = SqliteQueue(self.path, clock=lambda: NOW + self.now, **options)
        self.queues: tuple[Queue, ...] = (self.memory, self.redis, self.sqlite)
        for queue in self.queues:
            self.run(queue.open())
            self.run(queue.set_policy("wh_ordered", replace(POLICY, ordered=True)))
        self.lanes = {endpoint: ModelLane(endpoint == "wh_ordered") for endpoint in ENDPOINTS}
        self.held: list[Held] = []
        self.delayed: list[tuple[float, Job]] = []
        self.failed: list[Job] = []  # newest first
        self.crashes: dict[str, int] = {}
        self.lost: list[tuple[str, ...]] = []
        self.appended: list[str] = []
        self.delivered: list[bytes] = []
        self.refused: list[Append] = []
        self.unrouted = False  # Redis may have jobs in `default` still, the others have them in their lanes

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def all(self, *calls: Coroutine[Any, Any, T]) -> T:
        """Run the same call on every driver; they must agree."""
        answers = [self.run(call) for call in calls]
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass. Every step takes a second, so that no two things are due in the same millisecond."""
        self.now += seconds
        self.redis.clock_shift = self.now

    # What can be done.

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), solos=st.lists(st.booleans(), min_size=1, max_size=5))
    def append(self, endpoint: str, solos: list[bool]) -> None:
        batch: list[Append] = []
        for solo in solos:
            ident = f"e{len(self.appended) + len(self.refused) + len(batch)}"
            batch.append(Append(ident, endpoint, ENDPOINTS[endpoint], b'{"event":"%b"}' % ident.encode(), 1, solo))
        self.offer(batch)
        self.tick()

    @precondition(lambda self: self.refused)
    @rule()
    def append_what_was_refused(self) -> None:
        again, self.refused = self.refused[:8], self.refused[8:]
        self.offer(again)
        self.tick()

    def offer(self, batch: list[Append]) -> None:
        """Append to all: an event is taken by each driver, or refused by each."""
        if self.unrouted:
            self.claim()
        before = self.count_all()
        refused: list[str] = []
        for event in batch:
            lane = self.lanes[event.endpoint]
            if not takes(self.count(event.endpoint), self.count_app(event.app_id), self.count_all(), BOUND):
                refused.append(event.id)
                assert self.count(event.endpoint) or self.count_all() >= BOUND, "an empty lane was refused"
                continue
            if not lane.fresh:
                lane.window_end = self.now + WINDOW
            lane.fresh.append((event.id, event.solo))
            self.appended.append(event.id)
        assert self.all(*(offer(queue, batch) for queue in self.queues)) == refused
        self.refused += [event for event in batch if event.id in refused]
        assert self.count_all() <= max(before, BOUND)

    def count(self, endpoint: str) -> int:
        """Return how much a lane holds."""
        lane = self.lanes[endpoint]
        later = sum(job.endpoint == endpoint for _, job in self.delayed)
        return len(lane.ready) + len(lane.fresh) + later

    def count_app(self, app_id: str) -> int:
        return sum(self.count(endpoint) for endpoint, app in ENDPOINTS.items() if app == app_id)

    def count_all(self) -> int:
        return sum(map(self.count, ENDPOINTS)) + len(self.held)

    @precondition(lambda self: self.appended)
    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), data=st.data())
    def append_again(self, endpoint: str, data: st.DataObject) -> None:
        again = [
            Append(ident, endpoint, ENDPOINTS[endpoint], b'{"event":"%b"}' % ident.encode(), 1)
            for ident in data.draw(st.lists(st.sampled_from(self.appended[-10:]), max_size=3))
        ]
        self.all(*(queue.append(again) for queue in self.queues))

    @rule()
    def claim(self) -> None:
        self.unrouted = False
        expected = self.expected_claims()
        claims = [self.run(queue.claim("w", 100, LEASE)) for queue in self.queues]
        for endpoint, raws in expected.items():
            of_lane = [[got for got in got_all if jobs.decode(got.job).endpoint == endpoint] for got_all in claims]
            for got in of_lane:
                assert [jobs.decode(one.job) for one in got] == [handed_out(raw) for raw in raws]
            for raw, *same in zip(raws, *of_lane, strict=True):
                self.held.append(Held(raw, tuple(one.token for one in same), self.now + LEASE))
        assert [len(got) for got in claims] == [sum(map(len, expected.values()))] * len(claims)
        self.tick()

    def expected_claims(self) -> dict[str, list[Job]]:
        overdue = sorted((one for one in self.held if one.deadline <= self.now), key=lambda one: one.deadline)
        for one in reversed(overdue):
            self.held.remove(one)
            self.lost.append(one.tokens)
            self.crashes[one.raw.id] = self.crashes.get(one.raw.id, 0) + 1
            if self.crashes[one.raw.id] > CRASHES:
                del self.crashes[one.raw.id]
                error = jobs.crashed(CRASHES + 1)
                self.failed.insert(0, replace(one.raw, failed_ms=0, error=error))
            else:
                self.lanes[one.raw.endpoint].ready.insert(0, one.raw)
        for item in sorted(self.delayed, key=lambda item: item[0]):
            if item[0] <= self.now:
                self.delayed.remove(item)
                self.lanes[item[1].endpoint].ready.append(item[1])
        expected: dict[str, list[Job]] = {}
        for endpoint, lane in self.lanes.items():
            flying = sum(one.raw.endpoint == endpoint for one in self.held)
            got = expected[endpoint] = []
            while not lane.paused and flying < (1 if lane.ordered else IN_FLIGHT) and lane.gate <= self.now:
                if not lane.ready and not (lane.fresh and (len(lane.fresh) >= SIZE or lane.window_end <= self.now)):
                    break
                got.append(lane.pop(endpoint))
                flying += 1
        return expected

    def take(self, data: st.DataObject) -> Held:
        one = data.draw(st.sampled_from(self.held))
        self.held.remove(one)
        self.lost.append(one.tokens)
        return one

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        one = self.take(data)
        assert self.all(*(queue.ack(token) for queue, token in zip(self.queues, one.tokens, strict=True)))
        self.crashes.pop(one.raw.id, None)
        self.delivered += EVENT.findall(one.raw.events_text)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 15.0, 45.0]), healthy=st.booleans())
    def retry(self, data: st.DataObject, delay: float, healthy: bool) -> None:
        one = self.take(data)
        shown = handed_out(one.raw)
        job = replace(shown, attempt=shown.attempt + 1)
        text = jobs.encode(job)
        assert self.all(
            *(
                queue.retry(token, text, delay, healthy=healthy)
                for queue, token in zip(self.queues, one.tokens, strict=True)
            )
        )
        self.crashes.pop(job.id, None)
        lane = self.lanes[job.endpoint]
        if lane.ordered:
            lane.ready.insert(0, job)
            lane.gate = max(lane.gate, self.now + delay)
        else:
            self.delayed.append((self.now + delay, job))
        self.tick()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        one = self.take(data)
        dead = replace(handed_out(one.raw), failed_ms=0, error=JobError("http_5xx", "no", 500))
        text = jobs.encode(dead)
        assert self.all(*(queue.fail(token, text) for queue, token in zip(self.queues, one.tokens, strict=True)))
        self.crashes.pop(dead.id, None)
        self.failed.insert(0, dead)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = self.take(data)
        assert self.all(*(queue.release(token) for queue, token in zip(self.queues, one.tokens, strict=True)))
        self.lanes[one.raw.endpoint].ready.insert(0, one.raw)

    @precondition(lambda self: self.lost)
    @rule(data=st.data(), answer=st.sampled_from(["ack", "retry", "fail", "release", "renew"]))
    def answer_too_late(self, data: st.DataObject, answer: str) -> None:
        tokens = data.draw(st.sampled_from(self.lost))
        text = jobs.encode(Job("e0", "wh_a", "app", 1, b'[{"event":"e0"}]'))
        for queue, token in zip(self.queues, tokens, strict=True):
            match answer:
                case "ack":
                    assert not self.run(queue.ack(token))
                case "retry":
                    assert not self.run(queue.retry(token, text, 0))
                case "fail":
                    assert not self.run(queue.fail(token, text))
                case "release":
                    assert not self.run(queue.release(token))
                case _:
                    assert self.run(queue.renew([token], LEASE)) == {token}

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.held))
        for queue, token in zip(self.queues, one.tokens, strict=True):
            assert self.run(queue.renew([token], LEASE)) == set()
        one.deadline = self.now + LEASE
        self.tick()

    @rule(seconds=st.sampled_from([5.0, 12.0, 35.0]))
    def time_passes(self, seconds: float) -> None:
        self.tick(seconds)

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), paused=st.booleans())
    def pause_or_resume(self, endpoint: str, paused: bool) -> None:
        for queue in self.queues:
            self.run(queue.pause(endpoint) if paused else queue.resume(endpoint))
        self.lanes[endpoint].paused = paused

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), seconds=st.sampled_from([0, 1, 5, 40]))
    def gate(self, endpoint: str, seconds: float) -> None:
        for queue in self.queues:
            self.run(queue.gate(endpoint, seconds))
        self.lanes[endpoint].gate = self.now + seconds
        self.tick()

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)))
    def drop(self, endpoint: str) -> None:
        moved = self.all(*(queue.drop(endpoint, "expired") for queue in self.queues))
        lane = self.lanes[endpoint]
        dropped = []
        while lane.ready or lane.fresh:
            dropped.append(lane.pop(endpoint))
        gone = sorted((item for item in self.delayed if item[1].endpoint == endpoint), key=lambda item: item[0])
        self.delayed = [item for item in self.delayed if item not in gone]
        dropped += [job for _, job in gone]
        assert moved == len(dropped)
        for job in dropped:
            self.failed.insert(0, replace(job, failed_ms=0, error=jobs.dropped("expired")))

    @rule(endpoint=st.sampled_from([None, *ENDPOINTS]), limit=st.integers(1, 3))
    def redrive(self, endpoint: str | None, limit: int) -> None:
        moved = self.all(*(queue.redrive(endpoint, limit) for queue in self.queues))
        self.unrouted = True
        wanted = [job for job in reversed(self.failed) if endpoint in (None, job.endpoint)][:limit]
        assert moved == len(wanted)
        for job in wanted:
            self.failed.remove(job)
            self.lanes[job.endpoint].ready.append(job)

    @rule()
    def the_operator_moves_one_back(self) -> None:
        self.unrouted = True
        self.admin.rpoplpush(f"{self.prefix}failed", f"{self.prefix}default")
        self.run(self.memory.redrive(limit=1))
        self.run(self.sqlite.redrive(limit=1))
        if self.failed:
            job = self.failed.pop()
            self.lanes[job.endpoint].ready.append(job)

    # What must hold at any time.

    @invariant()
    def every_event_is_in_exactly_one_place(self) -> None:
        living = sorted(set(self.appended) - {ident.decode() for ident in self.delivered})
        assert sorted(self.stored_in_redis()) == living
        assert sorted(self.stored_in(self.memory._book, list(self.memory._failed))) == living
        with sqlite3.connect(self.path) as db:
            rows = db.execute("SELECT text, died FROM queue_jobs").fetchall()
        db.close()
        assert sorted(events_in([text for text, _ in rows])) == living
        assert sorted(self.stored_in(self.sqlite._book, [text for text, died in rows if died is not None])) == living

    @invariant()
    def the_drivers_agree_with_the_model(self) -> None:
        for queue in self.queues:
            dead = [without_times(jobs.decode(text)) for text in self.run(queue.failed(0, 10_000))]
            assert dead == self.failed
            depths = self.run(queue.depths())
            assert (depths.active, depths.delayed, depths.failed) == (
                len(self.held),
                len(self.delayed),
                len(self.failed),
            )
            assert depths.waiting == sum(len(lane.ready) + len(lane.fresh) for lane in self.lanes.values())

    def stored_in_redis(self) -> list[str]:
        def ask(*words: str) -> list[bytes]:
            answer: list[bytes] = self.admin.execute_command(*words)  # type: ignore[no-untyped-call]
            return answer

        texts: list[bytes] = []
        for key in (key.decode() for key in ask("KEYS", f"{self.prefix}*")):
            name = key.removeprefix(self.prefix)
            if name in ("default", "failed") or name.startswith(("lane:", "gather:")):
                texts += ask("LRANGE", key, "0", "-1")
            elif name == "active":
                texts += ask("HVALS", key)
            elif name == "delayed":
                texts += ask("ZRANGE", key, "0", "-1")
        return events_in(texts)

    @staticmethod
    def stored_in(book: Book, dead: list[bytes]) -> list[str]:
        entries = [entry for lane in book.lanes for entry in (*lane.ready, *lane.fresh)]
        entries += [lease.entry for lease in book.active.values()]
        entries += [entry for _, _, entry in book.delayed]
        texts = [jobs.encode_event(entry) if isinstance(entry, Append) else entry.text for entry in entries]
        return events_in(texts + dead)

    def teardown(self) -> None:
        """Close everything, whatever was found: what is left open would fail the next test."""
        try:
            self.finish()
        finally:
            for queue in self.queues:
                self.run(queue.close())
            self.admin.close()
            self.runner.close()

    def finish(self) -> None:
        """Nothing is left over in the counters of Redis, and all that is not dead can be delivered."""
        for endpoint in ENDPOINTS:
            for queue in self.queues:
                self.run(queue.resume(endpoint))
            self.lanes[endpoint].paused = False
        for _ in range(200):
            if not (self.held or self.delayed or any(lane.ready or lane.fresh for lane in self.lanes.values())):
                break
            self.tick(50)
            self.claim()
            for one in list(self.held):
                self.held.remove(one)
                self.all(*(queue.ack(token) for queue, token in zip(self.queues, one.tokens, strict=True)))
                self.delivered += EVENT.findall(one.raw.events_text)
        self.every_event_is_in_exactly_one_place()
        gone = (
            "inflight",
            "active",
            "held",
            "lanes",
            "listed",
            "leases",
            "depth",
            "delayed",
            "default",
            "later",
            "apps",
        )
        for name in gone:
            assert not self.admin.exists(f"{self.prefix}{name}"), name
        assert int(self.admin.get(f"{self.prefix}waiting") or 0) == 0


def test_each_job_is_in_exactly_one_place_and_all_drivers_agree(redis_server: RedisServer, tmp_path: Path) -> None:
    class Machine(QueueMachine):
        def __init__(self) -> None:
            super().__init__(redis_server, tmp_path)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking takes minutes: each step asks a server
        ),
    )
