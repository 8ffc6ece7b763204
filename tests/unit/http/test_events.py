"""Section L of the conformance checklist: what backends publish."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from sockudo_py.adapters.base import ChannelStats
from sockudo_py.http.api import ApiRequest
from tests.unit.http.support import World, get, post, signed, text

BATCH = "/apps/3/batch_events"


def event(**changes: Any) -> dict[str, Any]:
    return {"name": "e", "channel": "c", "data": "{}", **changes}


def refused(world: World, request: ApiRequest, status: int = 400) -> str:
    """Return the error text of a request that must be refused and must have delivered nothing."""
    answer = world.now_answer(request)
    assert answer.status == status
    assert world.node.published == []
    return text(answer)


def test_L164_an_event_is_published_and_answered_with_an_empty_object(world: World) -> None:
    answer = world.now_answer(post(event()))
    assert (answer.status, answer.body, answer.content_type) == (200, b"{}", "application/json")
    (published,) = world.node.published
    assert (published.app.id, published.channels, published.event, published.data, published.exclude) == (
        ("3", ("c",), "e", "{}", None)
    )


def test_L165_an_event_goes_to_each_of_its_channels(world: World) -> None:
    assert world.now_answer(post({"name": "e", "channels": ["a", "b"], "data": "x"})).status == 200
    assert world.node.published[0].channels == ("a", "b")


def test_L166_a_channel_named_twice_gets_the_event_once(world: World) -> None:
    assert world.now_answer(post({"name": "e", "channels": ["a", "b", "a"], "data": "x"})).status == 200
    assert world.node.published[0].channels == ("a", "b")


def test_L167_the_socket_id_is_excluded(world: World) -> None:
    assert world.now_answer(post(event(socket_id="1234.1234"))).status == 200
    assert world.node.published[0].exclude == "1234.1234"


def test_L167_a_null_socket_id_excludes_nobody(world: World) -> None:
    assert world.now_answer(post(event(socket_id=None))).status == 200
    assert world.node.published[0].exclude is None


@pytest.mark.parametrize(
    "socket_id", ["abc", "", "1", "1.", ".1", "1.1.1", "1.1\n", "\u0661.\u0661", 1.5, ["1.1"], "1" * 30 + ".1"]
)
def test_L167_a_malformed_socket_id_is_refused(world: World, socket_id: object) -> None:
    assert "socket_id" in refused(world, post(event(socket_id=socket_id)))


async def test_L168_info_is_answered_for_what_applies_to_each_channel(world: World) -> None:
    world.node.stats = {"presence-a": ChannelStats(3, 1), "b": ChannelStats(1)}
    request = post({"name": "e", "channels": ["presence-a", "b"], "data": "x", "info": "user_count,subscription_count"})
    answer = await world.ask(request)
    assert json.loads(answer.body) == {"channels": {"presence-a": {"user_count": 1}, "b": {"subscription_count": 1}}}
    assert len(world.node.published) == 1


async def test_L168_info_of_a_channel_without_subscribers_is_zero(world: World) -> None:
    answer = await world.ask(post(event(info="subscription_count")))
    assert json.loads(answer.body) == {"channels": {"c": {"subscription_count": 0}}}


async def test_L168_info_that_does_not_apply_is_left_out(world: World) -> None:
    answer = await world.ask(post(event(info=["user_count"])))
    assert json.loads(answer.body) == {"channels": {"c": {}}}


async def test_L168_the_event_is_out_before_anybody_is_asked_for_figures(world: World) -> None:
    pending = world.api.handle(post(event(info="subscription_count")))
    assert len(world.node.published) == 1
    await pending  # type: ignore[misc]


async def test_L168_an_event_that_is_out_is_not_answered_with_an_error_when_the_cluster_is_away(world: World) -> None:
    world.node.away = True
    answer = await world.ask(post(event(info="subscription_count")))
    assert (answer.status, answer.body) == (200, b'{"channels":{"c":{}}}')


@pytest.mark.parametrize("info", ["cache", "user_count,nonsense", 5, [1]])
def test_L168_unknown_attributes_are_refused(world: World, info: object) -> None:
    assert "info" in refused(world, post(event(info=info)))


def test_L169_data_of_exactly_the_limit_is_accepted(world: World) -> None:
    assert world.now_answer(post(event(data="x" * 10240))).status == 200


@pytest.mark.parametrize("data", ["x" * 10241, "é" * 5121, {"k": "x" * 10240}])
def test_L169_data_over_the_limit_in_bytes_is_too_large(world: World, data: object) -> None:
    assert refused(world, post(event(data=data)), 413) == (
        "The data content of this event exceeds the allowed maximum (10240 bytes). "
        "See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info\n"
    )


def test_L169_the_limit_is_the_apps(world: World) -> None:
    world.configure(max_event_bytes=20000)
    assert world.now_answer(post(event(data="x" * 20000))).status == 200


def test_L170_a_hundred_channels_are_accepted(world: World) -> None:
    channels = [f"c{number}" for number in range(100)]
    assert world.now_answer(post({"name": "e", "channels": channels, "data": "x"})).status == 200


@pytest.mark.parametrize(
    "target",
    [
        {"channels": [f"c{number}" for number in range(101)]},
        {"channels": []},
        {},
        {"channels": "c"},
        {"channel": ["c"]},
        {"channels": ["c", 5]},
        {"channels": {"0": "c"}},
    ],
)
def test_L170_too_many_and_too_few_channels_are_refused(world: World, target: dict[str, object]) -> None:
    assert "channel" in refused(world, post({"name": "e", "data": "x", **target}))


def test_L171_a_name_of_200_characters_is_accepted(world: World) -> None:
    assert world.now_answer(post(event(name="é" * 200))).status == 200


@pytest.mark.parametrize("name", ["x" * 201, ""])
def test_L171_a_name_of_a_wrong_length_is_refused(world: World, name: str) -> None:
    assert "1 to 200 characters" in refused(world, post(event(name=name)))


@pytest.mark.parametrize("name", [None, 5, ["e"], {}])
def test_L171_a_name_that_is_no_string_is_refused(world: World, name: object) -> None:
    assert refused(world, post(event(name=name))) == "Expected name parameter to be a string\n"


@pytest.mark.parametrize(
    ("data", "delivered"),
    [
        ({"message": "hé", "n": [1, 2.5, None]}, '{"message":"hé","n":[1,2.5,null]}'),
        ([1, {"a": True}], '[1,{"a":true}]'),
        (7, "7"),
        (False, "false"),
    ],
)
def test_L172_data_that_is_no_string_is_delivered_as_compact_json(world: World, data: object, delivered: str) -> None:
    assert world.now_answer(post(event(data=data))).status == 200
    assert world.node.published[0].data == delivered


def test_L172_a_string_is_delivered_as_it_is(world: World) -> None:
    odd = '{ "nonce" : "a+/=",\n "x":"\\u00e9" }'
    assert world.now_answer(post(event(data=odd))).status == 200
    assert world.node.published[0].data == odd


@pytest.mark.parametrize("content", [{"name": "e", "channel": "c"}, {"name": "e", "channel": "c", "data": None}])
def test_L172_missing_data_is_refused(world: World, content: dict[str, object]) -> None:
    assert refused(world, post(content)) == "Missing required parameter: data\n"


def test_L172_data_nested_too_deeply_is_refused(world: World) -> None:
    body = b'{"name":"e","channel":"c","data":' + b"[" * 400 + b"]" * 400 + b"}"
    assert "nested" in refused(world, signed("POST", "/apps/3/events", body))


@pytest.mark.parametrize("channel", ["a b", "a#b", "a:b", "", "x" * 201, "#server-to-user-", "#other", "é", "c\n"])
def test_L173_an_invalid_channel_name_is_refused_and_nothing_is_delivered(world: World, channel: str) -> None:
    request = post({"name": "e", "channels": ["good", channel], "data": "x"})
    assert refused(world, request).startswith("Invalid channel name")


def test_L173_the_channel_of_a_user_may_be_published_to(world: World) -> None:
    assert world.now_answer(post(event(channel="#server-to-user-a:b/c"))).status == 200
    assert world.node.published[0].channels == ("#server-to-user-a:b/c",)


@pytest.mark.parametrize("name", ["pusher:x", "pusher_internal:x"])
def test_L174_reserved_names_are_refused(world: World, name: str) -> None:
    expected = "The 'pusher' namespace is reserved for internal usage\n"
    assert refused(world, post(event(name=name))) == expected


@pytest.mark.parametrize("name", ["pusher-x", "pushers", "App\\Events\\OrderShipped", "client-x"])
def test_L174_names_that_only_look_like_reserved_ones_are_accepted(world: World, name: str) -> None:
    assert world.now_answer(post(event(name=name))).status == 200


@pytest.mark.parametrize("index", ["", "0", "1"])
def test_L176_parameters_may_come_in_the_query(world: World, index: str) -> None:
    params = {"name": "e", "data": "x", "channels": "a1,b"}
    request = signed("POST", "/apps/3/events", params=params)
    array = f"channels[{index}]=a1&channels[{index or 2}]=b" if index else "channels[]=a1&channels[]=b"
    request.query = request.query.replace("channels=a1%2Cb", array)
    assert world.now_answer(request).body == b"{}"
    assert world.node.published[0].channels == ("a1", "b")


@pytest.mark.parametrize("body", [b"", b'{"name":"e","data":"x"}'])
@pytest.mark.parametrize("array", ["channels=a,b", "channels[]=a,b", "channels[]=c&channels[]=a,b"])
def test_L176_a_channel_of_the_query_with_a_comma_is_refused_since_it_was_signed_as_two(
    world: World, array: str, body: bytes
) -> None:
    joined = "c,a,b" if "c&" in array else "a,b"
    request = signed("POST", "/apps/3/events", body, params={"name": "e", "data": "x", "channels": joined})
    request.query = request.query.replace(f"channels={quote(joined, safe='')}", array)
    assert "comma" in refused(world, request)
    assert world.node.published == []


def test_L176_parameters_of_the_query_complete_those_of_the_body(world: World) -> None:
    assert world.now_answer(post({"name": "e", "channel": "c", "data": "x"}, socket_id="1.2", name="no")).status == 200
    assert world.node.published[0].exclude == "1.2"
    assert world.node.published[0].event == "e"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b"5", b'{"name":"\xff"}', b"[" * 5000, b"{}"])
def test_L177_a_body_that_is_no_json_object_is_refused(world: World, body: bytes) -> None:
    refused(world, signed("POST", "/apps/3/events", body))


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDE00", b"\xed\xa0\xbd"])
@pytest.mark.parametrize("path", ["/apps/3/events", "/apps/3/batch_events"])
def test_half_a_character_is_published_as_the_replacement_character(world: World, half: bytes, path: str) -> None:
    event = b'{"name":"e","channel":"c","data":{"t":"' + half + b'"}}'
    body = event if path.endswith("/events") else b'{"batch":[' + event + b"]}"
    assert world.now_answer(signed("POST", path, body)).status == 200
    assert world.node.published[0].data == '{"t":"\ufffd"}'


def test_half_a_character_within_data_that_is_text_stays_as_it_is(world: World) -> None:
    data = r'{"t":"\ud83d"}'
    assert world.now_answer(post({"name": "e", "channel": "c", "data": data})).status == 200
    assert world.node.published[0].data == data


def test_the_deprecated_route_takes_half_a_character(world: World) -> None:
    request = signed("POST", "/apps/3/channels/c/events", b"a\xed\xa0\xbd", {"name": "e"})
    assert world.now_answer(request).status == 202
    assert world.node.published[0].data == "a\ufffd"


def test_L177_the_content_type_does_not_matter(world: World) -> None:
    request = post(event())
    request.headers = {"content-type": "text/html"}
    assert world.now_answer(request).status == 200


def test_L178_a_batch_is_published_in_order(world: World) -> None:
    answer = world.now_answer(post({"batch": [event(name="1"), event(name="2", channel="d")]}, BATCH))
    assert (answer.status, answer.body) == (200, b"{}")
    assert [(one.event, one.channels) for one in world.node.published] == [("1", ("c",)), ("2", ("d",))]


def test_L178_a_batch_of_ten_is_accepted(world: World) -> None:
    assert world.now_answer(post({"batch": [event()] * 10}, BATCH)).status == 200
    assert len(world.node.published) == 10


@pytest.mark.parametrize("batch", [[event()] * 11, [], None, {}, "x", [5], [event(), None]])
def test_L178_a_batch_of_another_size_or_shape_is_refused(world: World, batch: object) -> None:
    assert "batch" in refused(world, post({"batch": batch}, BATCH))


async def test_L179_batch_info_is_aligned_with_the_events(world: World) -> None:
    world.node.stats = {"presence-a": ChannelStats(3, 2), "c": ChannelStats(5)}
    batch = [
        event(channel="presence-a", info="user_count"),
        event(),
        event(info="subscription_count"),
    ]
    answer = await world.ask(post({"batch": batch}, BATCH))
    assert json.loads(answer.body) == {"batch": [{"user_count": 2}, {}, {"subscription_count": 5}]}
    assert len(world.node.published) == 3


def test_L180_one_oversize_event_stops_the_whole_batch(world: World) -> None:
    message = refused(world, post({"batch": [event(), event(data="x" * 10241)]}, BATCH), 413)
    assert message.startswith("Event 2 of the batch: The data content of this event exceeds")


def test_L180_one_invalid_event_stops_the_whole_batch(world: World) -> None:
    message = refused(world, post({"batch": [event(), event(channel="a b")]}, BATCH))
    assert message == "Event 2 of the batch: Invalid channel name: a b\n"


def test_L181_each_event_of_a_batch_excludes_its_own_socket(world: World) -> None:
    assert (
        world.now_answer(post({"batch": [event(socket_id="1.1"), event(), event(socket_id="2.2")]}, BATCH)).status
        == 200
    )
    assert [one.exclude for one in world.node.published] == ["1.1", None, "2.2"]


def test_L183_a_hundred_events_keep_their_order(world: World) -> None:
    for number in range(100):
        world.now_answer(post(event(data=str(number))))
    assert [one.data for one in world.node.published] == [str(number) for number in range(100)]


def test_the_deprecated_route_takes_the_body_as_data(world: World) -> None:
    request = signed("POST", "/apps/3/channels/c/events", b'{"a": 1}', {"name": "e", "socket_id": "1.2"})
    answer = world.now_answer(request)
    assert (answer.status, answer.body) == (202, b"202 ACCEPTED\n")
    (published,) = world.node.published
    assert (published.channels, published.data, published.exclude) == (("c",), '{"a": 1}', "1.2")


@pytest.mark.parametrize("body", [b"\xff", b"x" * 10241])
def test_the_deprecated_route_has_the_same_limits(world: World, body: bytes) -> None:
    answer = world.now_answer(signed("POST", "/apps/3/channels/c/events", body, {"name": "e"}))
    assert answer.status in (400, 413)
    assert world.node.published == []


def test_an_app_over_its_rate_is_told_when_to_come_back(world: World) -> None:
    world.configure(backend_events_per_second=3)
    assert world.now_answer(post({"batch": [event(), event()]}, BATCH)).status == 200
    assert world.now_answer(post({"batch": [event(), event()]}, BATCH)).status == 429
    assert world.now_answer(post(event())).status == 200
    answer = world.now_answer(post(event()))
    assert text(answer) == "Rate limit exceeded: app 3 may publish 3 per second\n"
    assert ("Retry-After", "1") in answer.headers
    assert len(world.node.published) == 3
    assert world.metrics.app("3").rate_limited == 2


def test_a_refused_event_costs_nothing_of_the_rate(world: World) -> None:
    world.configure(backend_events_per_second=1)
    assert world.now_answer(post(event(channel="a b"))).status == 400
    assert world.now_answer(post(event())).status == 200


@pytest.mark.parametrize("user_id", ["u1", "a:b", "a%2Fb"])
def test_I139_a_user_is_terminated(world: World, user_id: str) -> None:
    answer = world.now_answer(signed("POST", f"/apps/3/users/{user_id}/terminate_connections", b"{}"))
    assert (answer.status, answer.body) == (200, b"{}")
    assert world.node.terminated == [("3", user_id.replace("%2F", "/"))]


@pytest.mark.parametrize("user_id", ["u1", "a:b", "a%2Fb"])
def test_a_user_is_made_to_reconnect(world: World, user_id: str) -> None:
    answer = world.now_answer(signed("POST", f"/apps/3/users/{user_id}/force_reconnect"))
    assert (answer.status, answer.body) == (200, b"{}")
    assert world.node.reconnected == [("3", user_id.replace("%2F", "/"))]
    assert world.node.terminated == []


@pytest.mark.parametrize("user_id", ["", "x" * 201, "a%00b", "a\udcff"])
def test_a_user_id_that_nobody_can_have_is_not_made_to_reconnect(world: World, user_id: str) -> None:
    assert world.now_answer(signed("POST", "/apps/3/users/u/force_reconnect", sent_path="x")).status == 404
    request = signed("POST", "/apps/3/users/u/force_reconnect")
    request.path = f"/apps/3/users/{user_id}/force_reconnect"
    assert world.now_answer(request).status in (400, 401)
    assert world.node.reconnected == []


async def test_the_connections_of_an_app_are_counted_in_the_whole_cluster(world: World) -> None:
    world.node.connected = 4
    answer = await world.ask(get("/apps/3/connections"))
    assert (answer.status, answer.body) == (200, b'{"connections":5}')


async def test_the_connections_are_told_to_the_app_alone_and_within_its_rate_of_reading(world: World) -> None:
    assert world.now_answer(signed("GET", "/apps/3/connections", key="otherkey", secret="othersecret")).status == 401
    world.configure(read_requests_per_second=1)
    assert (await world.ask(get("/apps/3/connections"))).status == 200
    assert (await world.ask(get("/apps/3/connections"))).status == 429


async def test_the_connections_can_not_be_told_while_the_cluster_is_away(world: World) -> None:
    world.node.away = True
    assert (await world.ask(get("/apps/3/connections"))).status == 503


def test_I143_the_python_sdks_path_finds_the_app_by_its_key(world: World) -> None:
    path = "/users/u1/terminate_connections"
    assert world.now_answer(signed("POST", path, key="otherkey", secret="othersecret")).body == b"{}"
    assert world.node.terminated == [("4", "u1")]


@pytest.mark.parametrize("key", ["nobody", ""])
def test_I143_the_python_sdks_path_needs_a_known_key(world: World, key: str) -> None:
    answer = world.now_answer(signed("POST", "/users/u1/terminate_connections", key=key))
    assert answer.status == 401
    assert world.node.terminated == []


@pytest.mark.parametrize("user_id", ["", "x" * 201, "a%00b"])
def test_a_user_id_that_nobody_can_have_is_refused(world: World, user_id: str) -> None:
    answer = world.now_answer(signed("POST", f"/apps/3/users/{user_id}/terminate_connections"))
    assert answer.status == 400
    assert world.node.terminated == []
