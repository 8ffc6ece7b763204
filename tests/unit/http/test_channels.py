"""Section M of the conformance checklist: what backends ask."""

import json

import pytest

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.caches.base import CachedEvent
from tests.unit.http.support import World, get, text


@pytest.fixture
def busy(world: World) -> World:
    world.node.stats = {"a": ChannelStats(2), "presence-b": ChannelStats(2, 1), "#server-to-user-9": ChannelStats(1)}
    world.node.users = {"presence-b": ["10"]}
    return world


async def test_M185_no_channels_are_an_empty_object(world: World) -> None:
    answer = await world.ask(get("/apps/3/channels"))
    assert (answer.status, answer.body, answer.content_type) == (200, b'{"channels":{}}', "application/json")


async def test_M186_occupied_channels_are_listed(busy: World) -> None:
    assert json.loads((await busy.ask(get("/apps/3/channels"))).body) == {"channels": {"a": {}, "presence-b": {}}}


async def test_M187_a_prefix_filters(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels", filter_by_prefix="presence-"))
    assert answer.body == b'{"channels":{"presence-b":{}}}'


async def test_M187_users_are_counted_where_asked_for(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels", filter_by_prefix="presence-", info="user_count"))
    assert answer.body == b'{"channels":{"presence-b":{"user_count":1}}}'


@pytest.mark.parametrize("prefix", [{}, {"filter_by_prefix": "a"}, {"filter_by_prefix": "presence"}])
async def test_M188_users_are_counted_on_presence_channels_only(busy: World, prefix: dict[str, str]) -> None:
    answer = await busy.ask(get("/apps/3/channels", info="user_count", **prefix))
    assert answer.status == 400
    assert "presence-" in text(answer)


@pytest.mark.parametrize("info", ["subscription_count", "nonsense", "user_count,x"])
async def test_M188_unknown_attributes_are_refused(busy: World, info: str) -> None:
    answer = await busy.ask(get("/apps/3/channels", info=info, filter_by_prefix="presence-"))
    assert answer.status == 400


async def test_M189_users_are_counted_not_connections(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/presence-b", info="user_count,subscription_count"))
    assert json.loads(answer.body) == {"occupied": True, "user_count": 1, "subscription_count": 2}


async def test_M190_an_occupied_channel_says_so(busy: World) -> None:
    assert (await busy.ask(get("/apps/3/channels/a"))).body == b'{"occupied":true}'


async def test_M190_an_unknown_channel_is_not_occupied(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/nobody-here"))
    assert (answer.status, answer.body) == (200, b'{"occupied":false}')


async def test_M190_subscriptions_are_counted(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/a", info="subscription_count"))
    assert answer.body == b'{"occupied":true,"subscription_count":2}'


async def test_M190_an_unoccupied_channel_has_no_subscriptions(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/x", info="subscription_count"))
    assert answer.body == b'{"occupied":false,"subscription_count":0}'


async def test_M191_users_of_a_public_channel_are_refused(busy: World) -> None:
    assert (await busy.ask(get("/apps/3/channels/a", info="user_count"))).status == 400


async def test_M191_users_of_a_presence_channel_are_counted(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/presence-b", info="user_count"))
    assert answer.body == b'{"occupied":true,"user_count":1}'


async def test_M191_the_cache_of_a_channel_is_shown_with_its_seconds_rounded_up(world: World) -> None:
    world.node.cache["cache-x"] = CachedEvent(b'{"event":"e","data":"{\\"a\\":1}","channel":"cache-x"}', 59.2)
    answer = await world.ask(get("/apps/3/channels/cache-x", info="cache"))
    assert json.loads(answer.body) == {"occupied": False, "cache": {"data": '{"a":1}', "ttl": 60}}


async def test_M191_an_empty_cache_is_null(world: World) -> None:
    answer = await world.ask(get("/apps/3/channels/private-cache-x", info="cache"))
    assert answer.body == b'{"occupied":false,"cache":null}'


async def test_M191_only_cache_channels_have_a_cache(world: World) -> None:
    assert (await world.ask(get("/apps/3/channels/my-cache-x", info="cache"))).status == 400


async def test_M191_an_unknown_attribute_is_refused(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/a", info="nonsense"))
    assert text(answer) == "Unknown info attribute: nonsense. Known here: cache, subscription_count, user_count\n"


@pytest.mark.parametrize("name", ["a%20b", "%23server-to-user-9", "x" * 201, "%ff", ""])
@pytest.mark.parametrize("suffix", ["", "/users"])
async def test_M191_a_name_that_no_channel_has_is_refused(busy: World, name: str, suffix: str) -> None:
    answer = await busy.ask(get(f"/apps/3/channels/{name}{suffix}"))
    assert answer.status == 400
    assert text(answer).startswith("Invalid channel name")


async def test_M192_the_users_of_a_presence_channel_are_listed(busy: World) -> None:
    assert (await busy.ask(get("/apps/3/channels/presence-b/users"))).body == b'{"users":[{"id":"10"}]}'


async def test_M193_a_public_channel_has_no_users_to_list(busy: World) -> None:
    assert (await busy.ask(get("/apps/3/channels/a/users"))).status == 400


async def test_M193_an_empty_presence_channel_has_an_empty_list(busy: World) -> None:
    answer = await busy.ask(get("/apps/3/channels/presence-empty/users"))
    assert (answer.status, answer.body) == (200, b'{"users":[]}')


@pytest.mark.parametrize("prefix", ["", "#server", "#"])
async def test_M194_the_channels_of_users_are_never_listed(busy: World, prefix: str) -> None:
    answer = await busy.ask(get("/apps/3/channels", filter_by_prefix=prefix))
    assert b"#server-to-user" not in answer.body


@pytest.mark.parametrize("path", ["", "/presence-b", "/presence-b/users"])
async def test_reading_has_a_rate_of_its_own(busy: World, path: str) -> None:
    busy.configure(read_requests_per_second=1, backend_events_per_second=0)
    assert (await busy.ask(get(f"/apps/3/channels{path}"))).status == 200
    answer = await busy.ask(get(f"/apps/3/channels{path}"))
    assert answer.status == 429
    assert ("Retry-After", "1") in answer.headers


@pytest.mark.parametrize("path", ["", "/presence-b", "/presence-b/users"])
async def test_questions_are_answered_503_while_the_cluster_is_away(busy: World, path: str) -> None:
    busy.node.away = True
    answer = await busy.ask(get(f"/apps/3/channels{path}"))
    assert answer.status == 503
    assert "try again" in text(answer)
    assert "redis" not in text(answer)
