"""Whatever is done to a queue, in any order: each job is in exactly one place, and all drivers agree with a model."""

import asyncio
import uuid
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Queue, QueueFull
from sockudo_py.queues.jobs import Job, JobError
from sockudo_py.queues.local.queue import MemoryQueue
from sockudo_py.queues.redis.queue import RedisQueue
from sockudo_py.queues.sqlite.queue import SqliteQueue
from tests.properties.queue_model import (
    BOUND,
    CRASHES,
    ENDPOINTS,
    LEASE,
    POLICY,
    Held,
    Model,
    handed_out,
    without_times,
)
from tests.properties.queue_stores import events_in, in_book, in_redis, in_sqlite
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.still_redis import NOW, StillScripts

T = TypeVar("T")

FLAGS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5)  # solo and own, for each event


async def offer(queue: Queue, batch: list[Append]) -> list[str]:
    """Append events; return the ids of those that were refused."""
    try:
        await queue.append(batch)
    except QueueFull as full:
        return [event.id for event in full.refused]
    return []


def made(ident: str, endpoint: str) -> Append:
    return Append(ident, endpoint, ENDPOINTS[endpoint], b'{"event":"%b"}' % ident.encode(), 1)


class QueueMachine(RuleBasedStateMachine):
    """Does the same to a queue of each driver and to a model."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.prefix = f"machine-{uuid.uuid4().hex[:8]}:"
        self.admin = server.client()
        options: dict[str, Any] = {"default_policy": POLICY, "max_crash_redeliveries": CRASHES, "max_queue_len": BOUND}
        self.memory = MemoryQueue(clock=lambda: NOW + self.model.now, **options)
        self.redis = RedisQueue(server.url, prefix=self.prefix, **options)
        self.redis._scripts = StillScripts()
        self.path = folder / f"{self.prefix[:-1]}.sqlite3"
        self.sqlite = SqliteQueue(self.path, clock=lambda: NOW + self.model.now, **options)
        self.queues: tuple[Queue, ...] = (self.memory, self.redis, self.sqlite)
        for queue in self.queues:
            self.run(queue.open())
            self.run(queue.set_policy("wh_ordered", replace(POLICY, ordered=True)))
        self.delivered: list[str] = []
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
        self.model.now += seconds
        self.redis.clock_shift = self.model.now

    # What can be done.

    @rule(groups=st.lists(st.tuples(st.sampled_from(list(ENDPOINTS)), FLAGS), min_size=1, max_size=3))
    def append(self, groups: list[tuple[str, list[tuple[bool, bool]]]]) -> None:
        batch: list[Append] = []
        for endpoint, flags in groups:
            for solo, own in flags:
                ident = f"e{len(self.model.appended) + len(self.refused) + len(batch)}"
                batch.append(made(ident, endpoint)._replace(solo=solo, own=own))
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
        refused = self.model.append(batch)
        assert self.all(*(offer(queue, batch) for queue in self.queues)) == refused
        self.refused += [event for event in batch if event.id in refused]

    @precondition(lambda self: self.model.appended)
    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), data=st.data())
    def append_again(self, endpoint: str, data: st.DataObject) -> None:
        again = [
            made(ident, endpoint)
            for ident in data.draw(st.lists(st.sampled_from(self.model.appended[-10:]), max_size=3))
        ]
        self.all(*(queue.append(again) for queue in self.queues))

    @rule()
    def claim(self) -> None:
        self.unrouted = False
        expected = self.model.claim()
        claims = [self.run(queue.claim("w", 100, LEASE)) for queue in self.queues]
        for endpoint, raws in expected.items():
            of_lane = [[got for got in got_all if jobs.decode(got.job).endpoint == endpoint] for got_all in claims]
            for got in of_lane:
                assert [jobs.decode(one.job) for one in got] == [handed_out(raw) for raw in raws]
            for raw, *same in zip(raws, *of_lane, strict=True):
                assert [one.own for one in same] == [raw.own, 0, raw.own], "Redis does not know who made an event"
                self.model.held.append(Held(raw, tuple(one.token for one in same), self.model.now + LEASE))
        assert [len(got) for got in claims] == [sum(map(len, expected.values()))] * len(claims)
        self.tick()

    def take(self, data: st.DataObject) -> Held:
        one = data.draw(st.sampled_from(self.model.held))
        self.model.held.remove(one)
        self.model.lost.append(one.tokens)
        return one

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        one = self.take(data)
        assert self.all(*(queue.ack(token) for queue, token in zip(self.queues, one.tokens, strict=True)))
        self.model.crashes.pop(one.raw.id, None)
        self.delivered += events_in([one.raw.events_text])

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), delay=st.sampled_from([0.0, 15.0, 45.0]), healthy=st.booleans())
    def retry(self, data: st.DataObject, delay: float, healthy: bool) -> None:
        one = self.take(data)
        shown = handed_out(one.raw)
        job = replace(shown, attempt=shown.attempt + 1, own=0)
        text = jobs.encode(job)
        assert self.all(
            *(
                queue.retry(token, text, delay, healthy=healthy)
                for queue, token in zip(self.queues, one.tokens, strict=True)
            )
        )
        self.model.retry(job, delay)
        self.tick()

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        one = self.take(data)
        dead = replace(handed_out(one.raw), failed_ms=0, error=JobError("http_5xx", "no", 500), own=0)
        text = jobs.encode(dead)
        assert self.all(*(queue.fail(token, text) for queue, token in zip(self.queues, one.tokens, strict=True)))
        self.model.crashes.pop(dead.id, None)
        self.model.failed.insert(0, dead)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        one = self.take(data)
        assert self.all(*(queue.release(token) for queue, token in zip(self.queues, one.tokens, strict=True)))
        self.model.lanes[one.raw.endpoint].ready.insert(0, one.raw)

    @precondition(lambda self: self.model.lost)
    @rule(data=st.data(), answer=st.sampled_from(["ack", "retry", "fail", "release", "renew"]))
    def answer_too_late(self, data: st.DataObject, answer: str) -> None:
        tokens = data.draw(st.sampled_from(self.model.lost))
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

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.model.held))
        for queue, token in zip(self.queues, one.tokens, strict=True):
            assert self.run(queue.renew([token], LEASE)) == set()
        one.deadline = self.model.now + LEASE
        self.tick()

    @rule(seconds=st.sampled_from([5.0, 12.0, 35.0]))
    def time_passes(self, seconds: float) -> None:
        self.tick(seconds)

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), paused=st.booleans())
    def pause_or_resume(self, endpoint: str, paused: bool) -> None:
        for queue in self.queues:
            self.run(queue.pause(endpoint) if paused else queue.resume(endpoint))
        self.model.lanes[endpoint].paused = paused

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)), seconds=st.sampled_from([0, 1, 5, 40]))
    def gate(self, endpoint: str, seconds: float) -> None:
        for queue in self.queues:
            self.run(queue.gate(endpoint, seconds))
        self.model.lanes[endpoint].gate = self.model.now + seconds
        self.tick()

    @rule(endpoint=st.sampled_from(list(ENDPOINTS)))
    def drop(self, endpoint: str) -> None:
        moved = self.all(*(queue.drop(endpoint, "expired") for queue in self.queues))
        assert moved == self.model.drop(endpoint, jobs.dropped("expired"))

    @rule(endpoint=st.sampled_from([None, *ENDPOINTS]), limit=st.integers(1, 3))
    def redrive(self, endpoint: str | None, limit: int) -> None:
        moved = self.all(*(queue.redrive(endpoint, limit) for queue in self.queues))
        self.unrouted = True
        assert moved == self.model.redrive(endpoint, limit)

    @rule()
    def the_operator_moves_one_back(self) -> None:
        self.unrouted = True
        self.admin.rpoplpush(f"{self.prefix}failed", f"{self.prefix}default")
        self.run(self.memory.redrive(limit=1))
        self.run(self.sqlite.redrive(limit=1))
        self.model.redrive(None, 1)

    # What must hold at any time.

    @invariant()
    def every_event_is_in_exactly_one_place(self) -> None:
        living = sorted(set(self.model.appended) - set(self.delivered))
        in_file, in_its_book = in_sqlite(self.path, self.sqlite._book)
        assert sorted(in_book(self.memory._book, self.run(self.memory.failed(0, 10_000)))) == living
        assert sorted(in_redis(self.admin, self.prefix)) == living
        assert sorted(in_file) == living
        assert sorted(in_its_book) == living

    @invariant()
    def the_drivers_agree_with_the_model(self) -> None:
        for queue in self.queues:
            dead = [without_times(jobs.decode(text)) for text in self.run(queue.failed(0, 10_000))]
            assert dead == self.model.failed
            depths = self.run(queue.depths())
            assert (depths.active, depths.delayed, depths.failed) == (
                len(self.model.held),
                len(self.model.delayed),
                len(self.model.failed),
            )
            assert depths.waiting == sum(len(lane.ready) + len(lane.fresh) for lane in self.model.lanes.values())

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
            self.model.lanes[endpoint].paused = False
        for _ in range(200):
            if not (
                self.model.held
                or self.model.delayed
                or any(lane.ready or lane.fresh for lane in self.model.lanes.values())
            ):
                break
            self.tick(50)
            self.claim()
            for one in list(self.model.held):
                self.model.held.remove(one)
                self.all(*(queue.ack(token) for queue, token in zip(self.queues, one.tokens, strict=True)))
                self.delivered += events_in([one.raw.events_text])
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
