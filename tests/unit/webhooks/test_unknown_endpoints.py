import logging
from dataclasses import replace

import pytest

from sockudo_py.queues.jobs import Job
from sockudo_py.webhooks.endpoints import unknown
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.endpoints.unknown import AWAY, UnknownEndpoints
from tests.unit.webhooks.fakes import Clock
from tests.unit.webhooks.make import NOW_MS, endpoint

JOB = Job("d1", "wh_1", "app-1", NOW_MS, b'[{"name":"e"}]')
OTHER = replace(JOB, id="d2")


class Site:
    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.registry = EndpointRegistry()
        self.unknown = UnknownEndpoints(self.registry, 60.0, clock=self.clock)

    def meet(self, job: Job = JOB, after: float = 0.0) -> float:
        self.clock.now += after
        return self.unknown.wait(job, NOW_MS + int(self.clock.now * 1000))

    def meet_for(self, seconds: int, *jobs: Job) -> None:
        for _ in range(0, seconds, 2):
            assert [self.meet(job) for job in jobs] == [AWAY] * len(jobs)
            self.clock.now += 2


def test_a_job_that_nobody_touches_for_the_grace_is_dead() -> None:
    site = Site()
    site.meet_for(60, JOB)
    assert site.meet() == 0.0


def test_what_waited_with_it_is_dead_then_and_what_comes_later_is_not() -> None:
    site = Site()
    site.meet_for(60, JOB, OTHER)
    site.meet()
    assert site.meet(OTHER) == 0.0
    assert site.meet(replace(OTHER, created_ms=NOW_MS + 61_000)) == AWAY
    assert site.meet(replace(OTHER, redrives=1)) == AWAY


def test_jobs_that_somebody_takes_meanwhile_show_that_the_endpoint_lives() -> None:
    site = Site()
    for number in range(100):
        assert site.meet(replace(JOB, id=f"d{number}"), after=2) == AWAY


def test_a_job_that_somebody_tried_meanwhile_shows_that_the_endpoint_lives() -> None:
    site = Site()
    for attempt in range(5):
        site.meet_for(20, replace(JOB, attempt=attempt))


def test_a_job_that_did_not_come_back_for_long_was_with_somebody_else() -> None:
    site = Site()
    site.meet()
    assert site.meet(after=600) == AWAY


def test_an_endpoint_that_was_seen_being_removed_is_gone_at_once() -> None:
    site = Site()
    site.registry.replace("app-1", "config", [endpoint()])
    site.registry.replace("app-1", "config", [])
    assert site.meet() == 0.0
    assert site.unknown.gone("wh_1")


def test_one_that_came_back_is_none_of_these() -> None:
    site = Site()
    site.registry.replace("app-1", "config", [endpoint()])
    site.registry.replace("app-1", "config", [])
    site.registry.replace("app-1", "config", [endpoint()])
    assert not site.unknown.gone("wh_1")
    assert site.meet() == AWAY


def test_however_many_there_are_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown, "_MOST", 10)
    site = Site()
    jobs = [replace(JOB, endpoint=f"wh_{number}") for number in range(25)]
    site.meet_for(60, *jobs)
    assert [site.meet(job) for job in jobs[:11]] == [0.0] * 10 + [AWAY]
    assert len(site.unknown._watched) <= 10
    for number in range(25):
        site.registry.replace("app-1", "config", [endpoint(f"wh_x{number}")])
    assert len(site.unknown._gone) == 10


def test_endpoints_that_others_serve_do_not_keep_their_place_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unknown, "_MOST", 10)
    site = Site()
    for number in range(10):
        site.meet(replace(JOB, endpoint=f"wh_{number}"))
    site.clock.now += 16
    late = replace(JOB, endpoint="wh_late")
    site.meet_for(60, late)
    assert site.meet(late) == 0.0


def test_an_unknown_endpoint_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    site = Site()
    with caplog.at_level(logging.WARNING):
        site.meet_for(30, JOB)
    (record,) = caplog.records
    assert getattr(record, "webhook", None) == "wh_1"
