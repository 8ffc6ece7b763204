"""The SQS driver when processes die, answers are lost, and lanes are deep. SQS is moto's, with a clock of the tests."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, Claim, LanePolicy
from sockudo_py.queues.sqs.queue import SqsQueue
from tests.support.aws import Aws
from tests.support.aws import aws as aws
from tests.support.aws import aws_server as aws_server
from tests.support.sqs_probe import watch

HIDE = 30
LEASE = 30.0
BATCHES = LanePolicy(window=0.0, size=100, slow_start=False)
SINGLES = LanePolicy(window=0.0, size=1, slow_start=False)


class Site:
    """Processes that share two queues."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self._prefix = aws.prefix()
        self._made: list[SqsQueue] = []

    async def process(self, policy: LanePolicy = BATCHES, **options: Any) -> SqsQueue:
        """Start a process: an open queue of its own."""
        queue = SqsQueue(
            endpoint_url=self.aws.url,
            prefix=self._prefix,
            visibility_timeout=HIDE,
            wait_time=1,
            look_wait=0,
            threads=2,
            clock=lambda: time.time() + self.aws.shift,
            default_policy=policy,
            **options,
        )
        await queue.open()
        self._made.append(queue)
        return queue

    async def kill(self, queue: SqsQueue) -> None:
        """Let a process end without a word to SQS."""
        store = queue._store
        store._keeping.cancel()
        await queue._link.close()
        self._made.remove(queue)

    async def close(self) -> None:
        for queue in self._made:
            await queue.close()


@pytest.fixture
async def site(aws: Aws) -> AsyncIterator[Site]:
    made = Site(aws)
    yield made
    await made.close()


def event(number: int, endpoint: str = "wh_a") -> Append:
    return Append(f"e{number}", endpoint, "app", b'{"name":"e%d"}' % number, 1_800_000_000_000)


def events(*numbers: int) -> list[Append]:
    return [event(number) for number in numbers]


async def claim(queue: SqsQueue, limit: int = 100) -> list[Claim]:
    return await queue.claim("w", limit, LEASE)


def contents(claims: list[Claim]) -> list[tuple[str, list[str]]]:
    """Return id and event names of each job."""
    found = [jobs.decode(one.job) for one in claims]
    return [(job.id, [one["name"] for one in job.events()]) for job in found]


def on(operation: str, when: str, *, times: int = 1) -> Callable[[str, dict[str, Any]], str | None]:
    left = [times]

    def breaks(called: str, parameters: dict[str, Any]) -> str | None:
        if called != operation or left[0] == 0:
            return None
        left[0] -= 1
        return when

    return breaks


async def test_what_was_appended_survives_the_death_of_its_process(site: Site) -> None:
    first = await site.process()
    await first.append(events(1, 2))
    await site.kill(first)
    assert contents(await claim(await site.process())) == [("e1", ["e1", "e2"])]


async def test_a_batch_that_was_claimed_comes_back_whole_in_another_process(site: Site) -> None:
    first, other = await site.process(), await site.process()
    await first.append(events(1, 2, 3))
    [held] = await claim(first)
    await site.kill(first)
    await other.append(events(4))
    assert contents(await claim(other)) == [("e4", ["e4"])]
    site.aws.shift += HIDE + 1
    again = await claim(other)
    assert [held.job] == [one.job for one in again if jobs.decode(one.job).id == "e1"]


async def test_a_process_that_dies_with_a_batch_half_written_loses_nothing(site: Site) -> None:
    first, other = await site.process(), await site.process()
    await first.append(events(1, 2, 3))
    watch(first, on("delete_message_batch", "before"))  # the batch is written, its events are not deleted
    assert contents(await claim(first)) == [("e1", ["e1", "e2", "e3"])]
    await site.kill(first)
    site.aws.shift += HIDE + 1
    await other.append(events(4))
    came = contents(await claim(other))
    whole = [names for ident, names in came if len(names) > 1]
    assert whole == [["e1", "e2", "e3"]]
    # The events that were left are on their own now: no second batch may go out under the id of the first.
    assert sorted(came) == [("e1", ["e1"]), ("e1", ["e1", "e2", "e3"]), ("e2", ["e2"]), ("e3", ["e3"]), ("e4", ["e4"])]


async def test_a_batch_whose_writing_is_in_doubt_is_written_again_as_it_was(site: Site) -> None:
    queue = await site.process()
    await queue.append(events(1, 2))
    watch(queue, on("send_message_batch", "after"))
    with pytest.raises(Unavailable):
        await claim(queue)
    await queue.append(events(3))
    came = contents(await claim(queue))
    assert {tuple(names) for ident, names in came if ident == "e1"} == {("e1", "e2")}
    assert ("e3", ["e3"]) in came


async def test_an_append_in_doubt_is_repeated_without_doubling_its_events(site: Site) -> None:
    metrics = Metrics()
    queue = await site.process(SINGLES, metrics=metrics)
    watch(queue, on("send_message_batch", "after"))
    with pytest.raises(Unavailable):
        await queue.append(events(1, 2))
    await queue.append(events(1, 2, 3))
    assert contents(await claim(queue)) == [("e1", ["e1"]), ("e2", ["e2"]), ("e3", ["e3"])]
    assert metrics.series["webhook_duplicate_enqueue_suppressed_total"].values[()] == 2


async def test_an_append_that_was_cut_in_the_middle_sends_only_what_is_missing(site: Site) -> None:
    queue = await site.process(SINGLES)
    broken = [True]
    calls = watch(queue, lambda _, parameters: "before" if broken[0] and "e11" in str(parameters) else None)
    with pytest.raises(Unavailable):
        await queue.append(events(*range(15)))
    broken[0] = False
    calls.clear()
    await queue.append(events(*range(15)))
    [(_, parameters)] = calls
    assert len(parameters["Entries"]) == 5


async def test_an_acknowledgement_whose_answer_is_lost_can_be_repeated(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue.append(events(1))
    [held] = await claim(queue)
    watch(queue, on("delete_message_batch", "after"))
    with pytest.raises(Unavailable):
        await queue.ack(held.token)
    await queue.ack(held.token)
    site.aws.shift += 1000
    assert await claim(queue) == []
    assert (await queue.depths()).active == 0


async def test_a_retry_that_could_not_be_written_keeps_the_lease(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue.append(events(1))
    [held] = await claim(queue)
    watch(queue, on("send_message_batch", "before"))
    with pytest.raises(Unavailable):
        await queue.retry(held.token, held.job, 1)
    assert await queue.retry(held.token, held.job, 1)
    site.aws.shift += 2
    assert contents(await claim(queue)) == [("e1", ["e1"])]


async def test_who_was_frozen_for_longer_than_its_messages_are_hidden_answers_no_more(site: Site) -> None:
    frozen, other = await site.process(SINGLES), await site.process(SINGLES)
    await frozen.append(events(1))
    [lost] = await claim(frozen)
    site.aws.shift += HIDE + 1
    [held] = await claim(other)
    assert not await frozen.ack(lost.token)
    assert await frozen.renew([lost.token], LEASE) == {lost.token}
    assert await other.ack(held.token)


async def test_what_waits_in_a_process_that_ends_is_free_for_others_at_once(site: Site) -> None:
    first, other = await site.process(SINGLES), await site.process(SINGLES)
    await first.append(events(1, 2, 3))
    [held] = await claim(first, 1)
    await first.release(held.token)
    await first.close()
    site._made.remove(first)
    assert sorted(contents(await claim(other))) == [("e1", ["e1"]), ("e2", ["e2"]), ("e3", ["e3"])]


async def test_many_restarts_while_a_job_waits_do_not_make_it_poison(site: Site) -> None:
    first = await site.process(SINGLES)
    await first.append(events(1))
    for _ in range(10):
        queue = await site.process(SINGLES, max_crash_redeliveries=2)
        await queue.pause("wh_a")
        assert await claim(queue) == []
        await queue.close()
        site._made.remove(queue)
    assert contents(await claim(await site.process(SINGLES))) == [("e1", ["e1"])]


async def test_a_delay_longer_than_sqs_has_is_put_off_again(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue.append(events(1))
    [held] = await claim(queue)
    await queue.retry(held.token, held.job, 2000)
    for _ in range(2):
        site.aws.shift += 901
        assert await claim(queue) == []
    site.aws.shift += 200
    assert contents(await claim(queue)) == [("e1", ["e1"])]


async def test_a_deep_lane_keeps_no_other_lane_waiting(site: Site) -> None:
    metrics = Metrics()
    queue = await site.process(SINGLES, prefetch=20, metrics=metrics)
    await queue.pause("wh_hung")
    await queue.append([event(number, "wh_hung") for number in range(60)])
    await queue.append([event(100, "wh_good")])
    got: list[Claim] = []
    for _ in range(10):
        got += await claim(queue)
    assert contents(got) == [("e100", ["e100"])]
    assert await queue.ack(got[0].token)
    assert metrics.series["webhook_sqs_parked_total"].values[()] > 0
    await queue.resume("wh_hung")
    seen: set[str] = set()
    for _ in range(40):
        for one in await claim(queue):
            seen.add(jobs.decode(one.job).id)
            assert await queue.ack(one.token)
        site.aws.shift += 5
    assert seen == {f"e{number}" for number in range(60)}
    depths = await queue.depths()
    assert (depths.waiting, depths.active, depths.delayed) == (0, 0, 0)


async def test_a_copy_of_an_event_that_its_sender_was_not_sure_of_is_delivered_once(site: Site) -> None:
    first, other = await site.process(SINGLES), await site.process(SINGLES)
    await first.append(events(1))
    await other.append(events(1))  # as a sender that never heard whether SQS has it, and was started again
    assert contents(await claim(first)) == [("e1", ["e1"])]
    assert (await first.depths()).waiting == 0


async def test_a_text_that_is_no_job_is_put_among_the_dead(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue._link.call("send_message", QueueUrl=queue._store.url, MessageBody="hello")
    await queue.append(events(1))
    assert contents(await claim(queue)) == [("e1", ["e1"])]
    [dead] = await queue.failed()
    assert b'"raw":"hello"' in dead


async def test_a_dead_job_that_an_operator_moved_back_starts_again(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue.append(events(1))
    [held] = await claim(queue)
    text = jobs.bury(held.job, 1, jobs.JobError("http_5xx"))
    await queue.ack(held.token)
    await queue._link.call("send_message", QueueUrl=queue._store.url, MessageBody=text.decode())
    [again] = await claim(queue)
    assert jobs.decode(again.job).redrives == 1


async def test_characters_that_sqs_refuses_are_escaped(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue.append([Append("e1", "wh_a", "app", '{"name":"\uffff\ufffe"}'.encode(), 1)])
    [held] = await claim(queue)
    assert jobs.decode(held.job).events() == [{"name": "\uffff\ufffe"}]


async def test_an_event_too_large_for_sqs_is_said_to_be_lost_and_holds_up_no_other(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    queue = await site.process(SINGLES)
    big = Append("big", "wh_a", "app", b'{"name":"%b"}' % (b"x" * 1_100_000), 1)
    await queue.append([big, event(1)])
    assert contents(await claim(queue)) == [("e1", ["e1"])]
    assert "a webhook event is lost: SQS does not take it" in caplog.text


async def test_an_append_larger_than_one_call_takes_is_split(site: Site) -> None:
    queue = await site.process(SINGLES)
    await queue.append([Append(f"e{at}", "wh_a", "app", b'{"name":"%b"}' % (b"x" * 300_000), 1) for at in range(5)])
    assert len(await claim(queue)) == 5


async def test_an_sqs_that_can_not_be_reached_is_unavailable(aws: Aws) -> None:
    queue = SqsQueue(endpoint_url="http://127.0.0.1:9", threads=2)
    try:
        with pytest.raises(SockudoError, match="SQS did not answer"):
            await queue.open()
    finally:
        await queue.close()


async def test_queues_are_made_with_a_dead_letter_policy_and_the_longest_retention(site: Site) -> None:
    queue = await site.process()
    answer = await queue._link.call("get_queue_attributes", QueueUrl=queue._store.url, AttributeNames=["All"])
    assert answer["Attributes"]["MessageRetentionPeriod"] == str(14 * 86400)
    assert "failed" in answer["Attributes"]["RedrivePolicy"]


async def test_queues_can_be_named_by_their_url(site: Site) -> None:
    queue = await site.process(SINGLES)
    named = SqsQueue(
        endpoint_url=site.aws.url, queue_url_prefix=queue._store.url.removesuffix("default"), threads=2, look_wait=0
    )
    await named.open()
    await named.append(events(1))
    await named.close()
    assert contents(await claim(queue)) == [("e1", ["e1"])]


async def test_the_start_says_that_keys_of_triggered_events_are_not_shared(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await site.process()
    assert "Idempotency-Key counts within this process" in caplog.text
