"""Dead letters by id, endpoint, app and time: in every driver but that of SQS, which can't choose."""

from dataclasses import replace

import pytest

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, ChoosesDead, DeadLetters, Queue
from tests.conformance.queues.conftest import AT_ONCE, Driver, claim, claim_one

pytestmark = pytest.mark.parametrize("driver", ["memory", "sqlite", "redis"], indirect=True)

FIRST = 1_800_000_000_000  # ms; job e<n> fails n seconds later
CHOICES = {
    "one id": (DeadLetters(ids=frozenset({"e2"})), [2]),
    "two ids, and one that is not there": (DeadLetters(ids=frozenset({"e1", "e4", "e9"})), [1, 4]),
    "no ids": (DeadLetters(ids=frozenset()), []),
    "endpoint": (DeadLetters(endpoint="wh_b"), [3, 4]),
    "app": (DeadLetters(app_id="app-2"), [4, 5]),
    "since, that moment included": (DeadLetters(since_ms=FIRST + 4000), [4, 5]),
    "until, that moment excluded": (DeadLetters(until_ms=FIRST + 2000), [1]),
    "from and to": (DeadLetters(since_ms=FIRST + 2000, until_ms=FIRST + 4000), [2, 3]),
    "error class": (DeadLetters(error_class="timeout_read"), [2, 5]),
    "error class of an endpoint": (DeadLetters(error_class="timeout_read", endpoint="wh_c"), [5]),
    "an error class that is not there": (DeadLetters(error_class="x"), []),
    "several at once": (DeadLetters(endpoint="wh_b", app_id="app-2", since_ms=FIRST), [4]),
    "id of another endpoint": (DeadLetters(ids=frozenset({"e1"}), endpoint="wh_b"), []),
    "an app that is not there": (DeadLetters(app_id="*"), []),
    "all": (DeadLetters(), [1, 2, 3, 4, 5]),
}
PLACES = {1: ("wh_a", "app-1"), 2: ("wh_a", "app-1"), 3: ("wh_b", "app-1"), 4: ("wh_b", "app-2"), 5: ("wh_c", "app-2")}
CLASSES = {1: "http_4xx", 2: "timeout_read", 3: "http_4xx", 4: "http_4xx", 5: "timeout_read"}


@pytest.fixture
async def dead(queue: Queue) -> Queue:
    """A queue with five dead letters, e1 the oldest. Their events look like the end of a dead job."""
    for number, (endpoint, app_id) in PLACES.items():
        text = b'{"n":[%d],"failed_ms":1,"error":{"class":"x","ep":"wh_b"}}' % number
        await queue.append([Append(f"e{number}", endpoint, app_id, text, FIRST)])
        held = await claim_one(queue)
        await queue.fail(
            held.token, jobs.bury(held.job, FIRST + number * 1000, jobs.JobError(CLASSES[number], "no", 410))
        )
    return queue


def chooser(queue: Queue) -> ChoosesDead:
    assert isinstance(queue, ChoosesDead)
    return queue


async def left(queue: Queue) -> list[int]:
    return sorted(int(jobs.decode(text).id[1:]) for text in await queue.failed())


@pytest.mark.parametrize(("which", "meant"), CHOICES.values(), ids=CHOICES)
async def test_they_are_found_newest_first_and_stay(dead: Queue, which: DeadLetters, meant: list[int]) -> None:
    found = [jobs.decode(text) for text in await chooser(dead).find_dead(which)]
    assert [job.id for job in found] == [f"e{number}" for number in reversed(meant)]
    assert all(job.failed_ms == FIRST + int(job.id[1:]) * 1000 for job in found)
    assert await left(dead) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(("which", "meant"), CHOICES.values(), ids=CHOICES)
async def test_they_and_no_others_are_redriven(dead: Queue, which: DeadLetters, meant: list[int]) -> None:
    assert await chooser(dead).redrive_dead(which) == len(meant)
    assert sorted(int(jobs.decode(got.job).id[1:]) for got in await claim(dead)) == meant
    assert await left(dead) == [number for number in PLACES if number not in meant]
    assert (await dead.depths()).failed == 5 - len(meant)


@pytest.mark.parametrize(("which", "meant"), CHOICES.values(), ids=CHOICES)
async def test_they_and_no_others_are_deleted(dead: Queue, which: DeadLetters, meant: list[int]) -> None:
    assert await chooser(dead).purge_dead(which) == len(meant)
    assert await left(dead) == [number for number in PLACES if number not in meant]
    assert await claim(dead) == []
    assert (await dead.depths()).failed == 5 - len(meant)


async def test_pages_count_what_is_meant_only(dead: Queue) -> None:
    which = DeadLetters(ids=frozenset({"e1", "e3", "e5"}))
    pages = [await chooser(dead).find_dead(which, offset, 2) for offset in (0, 1, 2, 3)]
    assert [[jobs.decode(text).id for text in page] for page in pages] == [["e5", "e3"], ["e3", "e1"], ["e1"], []]
    assert await chooser(dead).find_dead(which, 0, 0) == []


async def test_the_oldest_go_first_and_no_more_than_asked_for(dead: Queue) -> None:
    assert await chooser(dead).redrive_dead(DeadLetters(app_id="app-1"), limit=2) == 2
    assert await left(dead) == [3, 4, 5]


async def test_a_needle_in_more_than_one_look_takes_is_found_moved_and_deleted(driver: Driver) -> None:
    queue = await driver.make(default_policy=replace(AT_ONCE, max_in_flight=5000))
    total = 2300
    for start in range(0, total, 100):
        await queue.append([Append(f"e{number}", "wh_a", "app", b"{}", FIRST) for number in range(start, start + 100)])
    assert await queue.drop("wh_a", "expired") == total
    needles = DeadLetters(ids=frozenset({"e0", "e1150", "e2299"}))
    found = await chooser(queue).find_dead(needles)
    assert [jobs.decode(text).id for text in found] == ["e2299", "e1150", "e0"]
    assert [jobs.decode(text).id for text in await chooser(queue).find_dead(needles, 1, 1)] == ["e1150"]
    assert await chooser(queue).redrive_dead(DeadLetters(ids=frozenset({"e2299"}))) == 1
    assert await chooser(queue).purge_dead(needles) == 2
    assert (await queue.depths()).failed == total - 3
    assert await chooser(queue).purge_dead(DeadLetters(endpoint="wh_a")) == total - 3


async def test_what_a_person_has_reformatted_is_known_by_its_fields(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append([Append("e1", "wh_a", "app", b"{}", FIRST)])
    held = await claim_one(queue)
    text = jobs.bury(held.job, FIRST, jobs.JobError("http_4xx")).replace(b'"v":1,', b'"v": 1, ')
    await queue.fail(held.token, text)
    which = DeadLetters(ids=frozenset({"e1"}), endpoint="wh_a", app_id="app", since_ms=FIRST, until_ms=FIRST + 1)
    assert await chooser(queue).find_dead(which) == [text]
    assert await chooser(queue).find_dead(DeadLetters(since_ms=FIRST + 1)) == []


async def test_a_text_that_is_no_job_is_one_of_all_only(driver: Driver) -> None:
    queue = await driver.make(default_policy=AT_ONCE)
    await queue.append([Append("e1", "wh_a", "app", b"{}", FIRST)])
    await queue.fail((await claim_one(queue)).token, b"no job")
    assert await chooser(queue).find_dead(DeadLetters(until_ms=FIRST)) == []
    assert await chooser(queue).purge_dead(DeadLetters(since_ms=0)) == 0
    assert await chooser(queue).find_dead(DeadLetters()) == [b"no job"]
    assert await chooser(queue).purge_dead(DeadLetters()) == 1
