import json

import pytest

from sockudo_py.protocol import codec
from sockudo_py.protocol.effects import Member

NASTY = 'a"b\\c\né\u2028\x00'


def test_O230_data_is_a_string_in_every_message_but_the_two_errors() -> None:
    strings = [
        codec.PING,
        codec.PONG,
        codec.connection_established("1.2", 120),
        codec.subscription_succeeded("c"),
        codec.subscription_succeeded("presence-c", {"1": "null"}),
        codec.member_added("presence-c", Member("1")),
        codec.member_removed("presence-c", "1"),
        codec.subscription_count("c", 3),
        codec.cache_miss("cache-c"),
        codec.server_event("e", "d", "c"),
        codec.event("c", codec.json_string("e"), codec.json_string("d")),
        codec.client_event("private-c", "client-e", "{}", None),
        codec.signin_success("{}"),
        codec.watchlist_events(["1"], ["2"]),
    ]
    assert all(isinstance(json.loads(message)["data"], str) for message in strings)
    objects = [codec.error(None, "m"), codec.error(4001, "m"), codec.subscription_error("c", "AuthError", "m", 401)]
    assert all(isinstance(json.loads(message)["data"], dict) for message in objects)


def test_A2_A3_the_greeting_has_exactly_event_and_data() -> None:
    assert codec.connection_established("214617.19803", 120) == (
        b'{"event":"pusher:connection_established",'
        b'"data":"{\\"socket_id\\":\\"214617.19803\\",\\"activity_timeout\\":120}"}'
    )


def test_an_error_has_object_data_and_no_channel() -> None:
    assert codec.error(4001, "m") == b'{"event":"pusher:error","data":{"code":4001,"message":"m"}}'
    assert codec.error(None, "m") == b'{"event":"pusher:error","data":{"code":null,"message":"m"}}'


def test_C38_the_confirmation_carries_the_bytes_of_an_empty_object() -> None:
    assert codec.subscription_succeeded("my-channel") == (
        b'{"event":"pusher_internal:subscription_succeeded","data":"{}","channel":"my-channel"}'
    )


def test_E71_E75_the_roster_holds_the_infos_themselves() -> None:
    roster = {"1": '{"name":"A"}', "2": "null"}
    assert codec.subscription_succeeded("presence-x", roster) == (
        b'{"event":"pusher_internal:subscription_succeeded","data":"{\\"presence\\":{\\"count\\":2,'
        b'\\"ids\\":[\\"1\\",\\"2\\"],\\"hash\\":{\\"1\\":{\\"name\\":\\"A\\"},\\"2\\":null}}}","channel":"presence-x"}'
    )


@pytest.mark.parametrize("user_ids", [[], ["1"], ["1", NASTY], ["plain", "é"]])
def test_E90_count_ids_and_hash_agree_whatever_the_ids_are(user_ids: list[str]) -> None:
    message = json.loads(codec.subscription_succeeded("presence-x", dict.fromkeys(user_ids, '{"a":1}')))
    presence = json.loads(message["data"])["presence"]
    assert presence == {"count": len(user_ids), "ids": user_ids, "hash": {user_id: {"a": 1} for user_id in user_ids}}


def test_E81_member_added() -> None:
    assert codec.member_added("presence-x", Member("2", '{"name":"B"}')) == (
        b'{"event":"pusher_internal:member_added",'
        b'"data":"{\\"user_id\\":\\"2\\",\\"user_info\\":{\\"name\\":\\"B\\"}}","channel":"presence-x"}'
    )


def test_E85_member_removed() -> None:
    assert codec.member_removed("presence-x", "2") == (
        b'{"event":"pusher_internal:member_removed","data":"{\\"user_id\\":\\"2\\"}","channel":"presence-x"}'
    )


def test_G106_subscription_count() -> None:
    assert codec.subscription_count("my-channel", 2) == (
        b'{"event":"pusher_internal:subscription_count","data":"{\\"subscription_count\\":2}","channel":"my-channel"}'
    )


def test_F95_cache_miss() -> None:
    assert codec.cache_miss("cache-x") == b'{"event":"pusher:cache_miss","data":"{}","channel":"cache-x"}'


@pytest.mark.parametrize("data", ["hello", "{}", '{"message":"hello world"}', NASTY, ""])
def test_C53_C54_C55_an_event_arrives_as_it_was_published(data: str) -> None:
    name = "App\\Events\\X"
    expected = {"event": name, "data": data, "channel": "my-channel"}
    joined = codec.event("my-channel", codec.json_string(name), codec.json_string(data))
    assert json.loads(joined) == expected
    assert codec.server_event(name, data, "my-channel") == joined


def test_I129_signin_success_repeats_user_data_verbatim() -> None:
    assert codec.signin_success('{"id":"12345"}') == (
        b'{"event":"pusher:signin_success","data":"{\\"user_data\\":\\"{\\\\\\"id\\\\\\":\\\\\\"12345\\\\\\"}\\"}"}'
    )


def test_I136_watchlist_events() -> None:
    assert codec.watchlist_events(["2"], ["3"]) == (
        b'{"event":"pusher_internal:watchlist_events","data":"{\\"events\\":['
        b'{\\"name\\":\\"online\\",\\"user_ids\\":[\\"2\\"]},{\\"name\\":\\"offline\\",\\"user_ids\\":[\\"3\\"]}]}"}'
    )


def test_a_watchlist_event_leaves_out_the_empty_side() -> None:
    assert json.loads(json.loads(codec.watchlist_events([], ["3"]))["data"]) == {
        "events": [{"name": "offline", "user_ids": ["3"]}]
    }


def test_D63_subscription_error() -> None:
    assert json.loads(codec.subscription_error("private-foobar", "AuthError", "no", 401)) == {
        "event": "pusher:subscription_error",
        "channel": "private-foobar",
        "data": {"type": "AuthError", "error": "no", "status": 401},
    }
