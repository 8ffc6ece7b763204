"""Idempotency keys: what is asked for twice is published once."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.errors import Unavailable
from sockudo_py.http import idempotency
from sockudo_py.http.api import ApiRequest, ApiResponse
from sockudo_py.protocol.app import App
from tests.unit.http.support import FakeNode, World, post, signed, text

EVENT = {"name": "e", "channel": "c", "data": "x"}
BATCH = "/apps/3/batch_events"


def event(key: object = None, **changes: object) -> dict[str, object]:
    """Return an event, with this key."""
    return {**EVENT, **changes, **({} if key is None else {"idempotency_key": key})}


def batch(*events: Mapping[str, object], **rest: object) -> ApiRequest:
    return post({"batch": events, **rest}, BATCH)


def with_header(request: ApiRequest, key: str) -> ApiRequest:
    return replace(request, idempotency_key=key)


def published(world: World) -> list[str]:
    return [sent.data for sent in world.node.published]


class SlowNode(FakeNode):
    """A node whose figures come when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def channel(self, app: App, name: str) -> ChannelStats | None:
        self.asked.set()
        await self.go.wait()
        return ChannelStats(7)


class AwayKeys:
    """The keys of a cluster that can't be reached."""

    def claim(
        self, app_id: str, key: str, value: bytes, ttl: float, done: Callable[[bytes | Unavailable | None], None]
    ) -> None:
        done(Unavailable("redis://127.0.0.1: connection refused"))

    def put(self, app_id: str, key: str, value: bytes, ttl: float) -> None:
        raise AssertionError("nothing was claimed")

    def remove(self, app_id: str, key: str) -> None:
        raise AssertionError("nothing was claimed")

    async def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    "request_of_it",
    [
        lambda: post(event("k")),
        lambda: with_header(post(EVENT), "k"),
        lambda: with_header(post(event("k")), "another"),
        lambda: signed("POST", "/apps/3/events", params={**EVENT, "idempotency_key": "k"}),
        lambda: batch(event("k")),
        lambda: batch(EVENT, idempotency_key="k"),
        lambda: with_header(batch(EVENT), "k"),
        lambda: with_header(batch(event("k")), "k"),
    ],
)
async def test_a_request_with_the_same_key_is_published_once_and_answered_alike(
    world: World, request_of_it: Callable[[], ApiRequest]
) -> None:
    for _ in range(3):
        answer = await world.ask(request_of_it())
        assert (answer.status, answer.body) == (200, b"{}")
    assert published(world) == ["x"]


async def test_the_deprecated_route_publishes_once_too(world: World) -> None:
    request = with_header(signed("POST", "/apps/3/channels/c/events", b"x", {"name": "e"}), "k")
    for _ in range(2):
        answer = await world.ask(request)
        assert (answer.status, answer.body) == (202, b"202 ACCEPTED\n")
    assert published(world) == ["x"]


async def test_the_first_answer_is_given_again_with_its_figures(world: World) -> None:
    world.node.stats["c"] = ChannelStats(5)
    first = await world.ask(post(event("k", info="subscription_count")))
    world.node.stats["c"] = ChannelStats(6)
    assert await world.ask(post(event("k", info="subscription_count"))) == first
    assert first.body == b'{"channels":{"c":{"subscription_count":5}}}'


@pytest.mark.parametrize(
    "changes",
    [
        {"data": "y"},
        {"name": "f"},
        {"channel": "d"},
        {"channels": ["c", "d"]},
        {"socket_id": "1.2"},
        {"info": "subscription_count"},
    ],
)
async def test_the_same_key_with_another_event_is_refused(world: World, changes: dict[str, object]) -> None:
    assert (await world.ask(post(event("k")))).status == 200
    answer = await world.ask(post(event("k", **changes)))
    assert answer.status == 409
    assert "idempotency key was used for another request" in text(answer)
    assert published(world) == ["x"]


async def test_the_same_event_in_other_words_is_the_same(world: World) -> None:
    assert (await world.ask(post(event("k", data={"a": 1}, channels=["c"])))).status == 200
    assert (
        await world.ask(post({"idempotency_key": "k", "channel": "c", "data": '{"a":1}', "name": "e"}))
    ).status == 200
    assert published(world) == ['{"a":1}']


async def test_keys_of_apps_have_nothing_to_do_with_each_other(world: World) -> None:
    assert (await world.ask(post(event("k")))).status == 200
    body = post(event("k", data="y")).body
    other = signed("POST", "/apps/4/events", body, key="otherkey", secret="othersecret")
    assert (await world.ask(other)).status == 200
    assert published(world) == ["x", "y"]


async def test_the_key_of_a_batch_is_another_than_that_of_an_event(world: World) -> None:
    assert (await world.ask(post(event("k")))).status == 200
    assert (await world.ask(batch(event(data="y"), idempotency_key="k"))).status == 200
    assert published(world) == ["x", "y"]


async def test_a_key_is_remembered_for_five_minutes(world: World) -> None:
    for passed, count in ((0, 1), (299, 1), (301, 2)):
        world.now = 1353088179 + passed
        await world.ask(signed("POST", "/apps/3/events", post(event("k")).body))
        assert len(world.node.published) == count


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\0", 5, True, ["k"], {}])
@pytest.mark.parametrize("wrap", [post, batch, lambda item: batch(EVENT, item), lambda item: batch(EVENT, **item)])
async def test_what_can_not_be_a_key_is_refused(
    world: World, wrap: Callable[[dict[str, object]], ApiRequest], key: object
) -> None:
    answer = await world.ask(wrap({**EVENT, "idempotency_key": key}))
    assert answer.status == 400
    assert "An idempotency key is a string of 1 to 255 characters" in text(answer)
    assert published(world) == []


async def test_no_key_is_no_key(world: World) -> None:
    for _ in range(2):
        assert world.now_answer(post({**EVENT, "idempotency_key": None})).status == 200
    assert published(world) == ["x", "x"]


async def test_a_refused_request_leaves_its_key_free(world: World) -> None:
    world.configure(backend_events_per_second=1, max_event_bytes=3)
    assert world.now_answer(post(event("k", data="xxxx"))).status == 413
    assert world.now_answer(post(EVENT)).status == 200
    assert (await world.ask(post(event("k")))).status == 429
    world.limiter.spent.clear()
    assert (await world.ask(post(event("k")))).status == 200
    assert published(world) == ["x", "x"]


async def test_a_repetition_costs_nothing_of_the_rate(world: World) -> None:
    world.configure(backend_events_per_second=1)
    for request in (post(event("k")), post(event("k")), batch(event("k")), batch(event("k"))):
        assert (await world.ask(request)).status == 200


async def test_a_defect_before_anything_was_published_leaves_the_key_free(world: World) -> None:
    world.node.broken = True
    assert (await world.ask(post(event("k")))).status == 500
    world.node.broken = False
    assert (await world.ask(post(event("k")))).status == 200
    assert published(world) == ["x"]


@pytest.mark.parametrize("request_of_it", [post(event("k")), batch(event("k")), batch(EVENT, idempotency_key="k")])
async def test_nothing_is_published_while_keys_can_not_be_looked_up(request_of_it: ApiRequest) -> None:
    world = World(keys=AwayKeys())
    answer = await world.ask(request_of_it)
    assert answer.status == 503
    assert ("Retry-After", "1") in answer.headers
    assert published(world) == []
    assert world.now_answer(post(EVENT)).status == 200


# -- at the same time --


async def test_a_second_request_waits_for_the_answer_of_the_first() -> None:
    node = SlowNode()
    world = World(node=node)
    request = post(event("k", info="subscription_count"))
    first, second = (asyncio.ensure_future(world.ask(request)) for _ in range(2))
    await node.asked.wait()
    node.go.set()
    assert (await first).body == (await second).body == b'{"channels":{"c":{"subscription_count":7}}}'
    assert published(world) == ["x"]


async def test_a_second_request_is_refused_when_the_first_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_BETWEEN", 0.0)
    node = SlowNode()
    world = World(node=node)
    request = post(event("k", info="subscription_count"))
    first = asyncio.ensure_future(world.ask(request))
    await node.asked.wait()
    answer = await world.ask(request)
    assert answer.status == 409
    assert "still being worked on" in text(answer)
    assert ("Retry-After", "1") in answer.headers
    assert (await world.ask(post(event("k")))).status == 409  # another event: refused at once
    node.go.set()
    assert (await first).status == 200
    assert published(world) == ["x"]


async def test_who_went_away_before_the_answer_gets_it_by_asking_again() -> None:
    node = SlowNode()
    world = World(node=node)
    request = post(event("k", info="subscription_count"))
    first = asyncio.ensure_future(world.ask(request))
    await node.asked.wait()
    first.cancel()
    node.go.set()
    assert (await world.ask(request)).body == b'{"channels":{"c":{"subscription_count":7}}}'
    assert published(world) == ["x"]


async def test_what_a_lost_node_had_claimed_is_free_after_a_while() -> None:
    world = World()
    assert world.keys is not None
    asked = idempotency.fingerprint(["e", "x", ["c"], None, []])
    world.keys.put("3", "event:k", b"w" + asked, idempotency.CLAIMED)
    world.now += idempotency.CLAIMED + 1
    assert (await world.ask(post(event("k")))).status == 200
    assert published(world) == ["x"]


# -- within batches --


async def test_events_of_a_batch_that_were_published_are_left_out(world: World) -> None:
    assert (await world.ask(post(event("a", data="1")))).status == 200
    assert (await world.ask(batch(event("a", data="1"), event("b", data="2"), event(data="3")))).status == 200
    assert (await world.ask(batch(event("b", data="2"), event("a", data="1")))).status == 200
    assert (await world.ask(post(event("b", data="2")))).status == 200
    assert published(world) == ["1", "2", "3"]


async def test_the_figures_of_an_event_in_a_batch_are_there_again(world: World) -> None:
    world.node.stats["c"] = ChannelStats(5)
    asking = event("a", info="subscription_count")
    for _ in range(2):
        answer = await world.ask(batch(event(data="y"), asking))
        assert answer.body == b'{"batch":[{},{"subscription_count":5}]}'
    assert (await world.ask(post(asking))).body == b'{"channels":{"c":{"subscription_count":5}}}'
    assert published(world) == ["y", "x", "y"]


async def test_one_key_used_for_another_event_stops_the_whole_batch(world: World) -> None:
    assert (await world.ask(post(event("b")))).status == 200
    answer = await world.ask(batch(event("a"), event("b", data="other"), event("c")))
    assert answer.status == 409
    assert text(answer).startswith("Event 2 of the batch: This idempotency key")
    assert published(world) == ["x"]
    assert (await world.ask(batch(event("a"), event("c")))).status == 200  # their keys are free
    assert published(world) == ["x", "x", "x"]


async def test_the_same_key_twice_in_a_batch_is_one_event(world: World) -> None:
    assert (await world.ask(batch(event("a"), event("a")))).status == 200
    assert published(world) == ["x"]
    assert (await world.ask(batch(event("b"), event("b", data="y")))).status == 409
    assert published(world) == ["x"]


async def test_batches_that_share_keys_do_not_wait_for_each_other(world: World) -> None:
    answers = await asyncio.gather(
        world.ask(batch(event("a", data="1"), event("b", data="2"))),
        world.ask(batch(event("b", data="2"), event("a", data="1"))),
    )
    assert [answer.status for answer in answers] == [200, 200]
    assert sorted(published(world)) == ["1", "2"]


async def test_the_same_batch_key_with_other_events_is_refused(world: World) -> None:
    assert (await world.ask(batch(event(), idempotency_key="k"))).status == 200
    for other in (batch(event(), event(), idempotency_key="k"), batch(event("a"), idempotency_key="k")):
        assert (await world.ask(other)).status == 409
    assert published(world) == ["x"]


# -- figures --


async def test_keyed_publishes_and_repetitions_are_counted(world: World) -> None:
    requests = [post(event("a")), post(event("a")), post(event("a", data="y")), batch(event("a"), event("b"), event())]
    answers: list[ApiResponse] = [await world.ask(request) for request in requests]
    assert [answer.status for answer in answers] == [200, 200, 409, 200]
    counters = world.metrics.app("3")
    assert (counters.idempotent_publishes, counters.idempotent_duplicates) == (5, 2)
