"""Jobs that take several requests."""

import orjson

from sockudo_py.queues.base import Append
from sockudo_py.webhooks.delivery.worker import WorkerSettings
from sockudo_py.webhooks.targets.base import Delivered, Request
from tests.unit.webhooks.fakes import until
from tests.unit.webhooks.make import NOW_MS, endpoint
from tests.unit.webhooks.test_worker import SERVER_ERROR, kind_of_target, running

__all__ = ["kind_of_target"]  # a fixture of these tests, too

LIMIT = 500


def header(request: Request, name: str) -> str:
    return dict(request.headers)[name]


async def test_a_batch_that_is_too_large_when_it_is_written_out_is_sent_in_parts() -> None:
    async with running(WorkerSettings(max_payload_bytes=LIMIT, poll_interval=0.01)) as site:
        await site.endpoints(endpoint(json_style="python"))
        await site.append("1", "2", "3", channel="é" * 20)  # six bytes for each é in this style, and two in the other
        await until(lambda: site.statuses() == ["delivered"])
        assert [header(request, "webhook-id") for request in site.target.requests] == ["1_0-1", "1_2"]
        assert await site.dead() == []


async def test_only_an_event_that_is_too_large_on_its_own_is_a_dead_letter() -> None:
    async with running(WorkerSettings(max_payload_bytes=LIMIT, poll_interval=0.01)) as site:
        await site.endpoints(endpoint(json_style="python"))
        events = [{"name": "e", "channel": channel} for channel in ("a", "é" * 100, "b")]
        await site.queue.append([Append(one["channel"], "wh_1", "app-1", orjson.dumps(one), NOW_MS) for one in events])
        await site.pass_time(0.1)
        await until(lambda: site.statuses() == ["failed"])
        sent = [event for request in site.target.requests for event in orjson.loads(request.body)["events"]]
        assert [event["channel"] for event in sent] == ["a", "b"]
        [dead] = await site.dead()
        assert dead["events"] == [events[1]]
        assert (dead["error"]["class"], dead["error"]["message"]) == (
            "too_large",
            "1 of 3 events exceed webhooks.security.max_payload_bytes (500) on their own; the others were delivered",
        )


async def test_a_part_that_fails_has_all_of_the_job_tried_again() -> None:
    async with running(WorkerSettings(max_payload_bytes=LIMIT, poll_interval=0.01)) as site:
        await site.endpoints(endpoint(json_style="python"))
        site.target.outcomes = [Delivered(200), SERVER_ERROR]
        await site.append("1", "2", "3", channel="é" * 20)
        await until(lambda: site.statuses() == ["retrying"])
        await site.pass_time(2.0)
        await until(lambda: site.statuses() == ["retrying", "delivered"])
        ids = [header(request, "webhook-id") for request in site.target.requests]
        assert ids == ["1_0-1", "1_2", "1_0-1", "1_2"]


async def test_each_request_of_a_job_is_signed_when_it_is_sent() -> None:
    async with running() as site:
        await site.endpoints(endpoint())
        site.target.takes = lambda: setattr(site.clock, "now", site.clock.now + 10)
        await site.queue.append([Append(one, "wh_1", "app-1", b'{"name":"e"}', NOW_MS) for one in ("1", "2")])
        site.registry.replace("app-1", "config", [endpoint(profile="irisx")])  # one event per request from now on
        await site.pass_time(0.1)
        await until(lambda: site.statuses() == ["delivered"])
        first, second = (int(header(request, "webhook-timestamp")) for request in site.target.requests)
        assert second == first + 10
