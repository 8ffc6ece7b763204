"""Section L: publishing single events."""

import json
import re
from typing import Any

import pytest

from tests.support.api import Response
from tests.support.client import member
from tests.support.site import Site


def refused(response: Response, status: int = 400, text: str = "") -> None:
    """Fail unless this is a plain-text error that ends in a newline."""
    assert response.status == status, response
    assert response.headers["content-type"].startswith("text/plain")
    assert response.text.endswith("\n")
    assert text in response.text
    assert not re.search(r"<html|Traceback", response.text)


def event(**change: Any) -> dict[str, Any]:
    """Return a good event with changes; None takes a key out."""
    full = {"name": "e", "channel": "c", "data": "{}"} | change
    return {key: value for key, value in full.items() if value is not None}


def test_164_one_event_is_answered_with_an_empty_object(site: Site) -> None:
    response = site.api.post("/events", {"name": "e", "channel": "c", "data": "{}"})
    assert response.status == 200
    assert response.body == b"{}"
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"])
def test_164_the_content_type_of_the_request_does_not_matter(site: Site, kind: str) -> None:
    body = json.dumps(event()).encode()
    response = site.api.signed("POST", site.api.path("/events"), body, headers={"Content-Type": kind})
    assert response.status == 200, response


async def test_165_each_of_several_channels_gets_one_frame_with_its_own_name(site: Site) -> None:
    async with site.connect() as one, site.connect() as both:
        await one.subscribe("a")
        await both.subscribe("a")
        await both.subscribe("b")
        assert site.api.post("/events", {"name": "e", "channels": ["a", "b"], "data": "x"}).status == 200
        assert [frame.channel for frame in await one.barrier()] == ["a"]
        assert sorted(str(frame.channel) for frame in await both.barrier()) == ["a", "b"]


async def test_166_a_channel_named_twice_gets_one_frame(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("a")
        assert site.api.post("/events", {"name": "e", "channels": ["a", "a"], "data": "x"}).status == 200
        assert [frame.channel for frame in await client.barrier()] == ["a"]


async def test_167_the_excluded_socket_gets_nothing_on_any_of_the_channels(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        for client in (one, two):
            await client.subscribe("a")
            await client.subscribe("b")
        body = {"name": "e", "channels": ["a", "b"], "data": "x", "socket_id": one.socket_id}
        assert site.api.post("/events", body).status == 200
        assert sorted(str(frame.channel) for frame in await two.barrier()) == ["a", "b"]
        await one.quiet()


async def test_167_an_unknown_socket_id_excludes_nobody(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("c")
        site.api.publish("c", socket_id="1.1")
        await client.expect("my-event", "c")


@pytest.mark.parametrize("socket_id", ["abc", "1", "1.", ".1", "1.1\n", "", 5, "1.1.1", "\u0661.\u0661"])
async def test_167_a_malformed_socket_id_is_refused(site: Site, socket_id: object) -> None:
    refused(site.api.post("/events", event(socket_id=socket_id)))


async def test_168_info_tells_user_and_subscription_counts(counted: Site) -> None:
    async with counted.connect() as client:
        await client.subscribe("presence-a", member("1"))
        await client.subscribe("b")
        body = {"name": "e", "channels": ["presence-a", "b"], "data": "x", "info": "user_count,subscription_count"}
        response = counted.api.post("/events", body)
        assert response.status == 200
        assert response.json == {"channels": {"presence-a": {"user_count": 1}, "b": {"subscription_count": 1}}}


@pytest.mark.parametrize("unit", ["x", "é", "🎉"])
def test_169_data_has_at_most_10240_bytes(site: Site, unit: str) -> None:
    full = unit * (10240 // len(unit.encode()))
    assert site.api.post("/events", event(data=full)).status == 200
    refused(site.api.post("/events", event(data=full + "x")), 413, "10240 bytes")


@pytest.mark.parametrize(
    ("channels", "status"),
    [
        ([f"c{number}" for number in range(100)], 200),
        ([f"c{number}" for number in range(101)], 400),
        ([], 400),
        (None, 400),
        ("c", 400),
        ([5], 400),
    ],
    ids=["100", "101", "0", "none", "string", "number"],
)
def test_170_one_to_a_hundred_channels(site: Site, channels: Any, status: int) -> None:
    response = site.api.post("/events", event(channel=None, channels=channels))
    assert response.status == status
    if status == 400:
        refused(response)


def test_171_a_name_has_at_most_200_characters(site: Site) -> None:
    assert site.api.post("/events", event(name="é" * 200)).status == 200
    refused(site.api.post("/events", event(name="n" * 201)))


@pytest.mark.parametrize(("name", "text"), [(5, "Expected name parameter to be a string"), (None, ""), ("", "")])
def test_171_a_missing_or_ill_typed_name_is_refused(site: Site, name: Any, text: str) -> None:
    refused(site.api.post("/events", event(name=name)), text=text)


async def test_172_an_object_as_data_is_delivered_as_compact_string_json(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("test-channel")
        body = b'{"name": "test-event", "channels": ["test-channel"], "data": {"message": "test", "n": [1, 2]}}'
        assert site.api.post("/events", body).status == 200
        assert (await client.expect("test-event")).text == '{"message":"test","n":[1,2]}'


def test_172_missing_data_is_refused(site: Site) -> None:
    refused(site.api.post("/events", event(data=None)))


@pytest.mark.parametrize("bad", ["with space", "a/b", "#x", "é", "", "c" * 201, "a:b"])
async def test_173_one_invalid_channel_name_keeps_the_event_from_all(site: Site, bad: str) -> None:
    async with site.connect() as client:
        await client.subscribe("good")
        response = site.api.post("/events", {"name": "e", "channels": ["good", bad], "data": "x"})
        refused(response, text="hannel")
        await client.quiet()


@pytest.mark.parametrize("name", ["pusher:x", "pusher_internal:x", "pusher_internal:member_added"])
async def test_174_reserved_event_names_are_refused(site: Site, name: str) -> None:
    async with site.connect() as client:
        await client.subscribe("c")
        refused(site.api.post("/events", event(name=name)), text="reserved")
        await client.quiet()


def test_175_a_channel_without_subscribers_is_fine(site: Site) -> None:
    assert site.api.post("/events", event(channel="nobody-here")).body == b"{}"


async def test_176_parameters_may_come_in_the_query(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("a")
        await client.subscribe("b")
        params = [("name", "e"), ("data", "x"), ("channels", "a,b")]
        sent = "name=e&data=x&channels[]=a&channels[]=b"
        response = site.api.signed("POST", site.api.path("/events"), params=params, sent=sent)
        assert response.status == 200, response
        frames = await client.barrier()
        assert {(frame.event, frame.channel, frame.text) for frame in frames} == {("e", "a", "x"), ("e", "b", "x")}
        assert len(frames) == 2


@pytest.mark.parametrize("body", [b"not json", b"[]", b'"x"', b"", b"null", b"{", b"\xff\xfe", b'{"name":"e"'])
def test_177_a_body_that_is_no_json_object_is_refused(site: Site, body: bytes) -> None:
    refused(site.api.post("/events", body))


async def test_182_several_requests_on_one_connection_are_all_answered(site: Site) -> None:
    site.api.publish("c")
    socket = site.api.connection.sock
    assert socket is not None
    for _ in range(20):
        site.api.publish("c")
        assert site.api.get("/channels").status == 200
        assert site.api.post("/events", b"[]").status == 400
    assert site.api.connection.sock is socket, "the server closed the connection in between"


async def test_183_a_hundred_events_arrive_in_order_at_each_subscriber(site: Site) -> None:
    async with site.connect() as one, site.connect() as two:
        for client in (one, two):
            await client.subscribe("c")
        for number in range(100):
            site.api.publish("c", data=str(number))
        for client in (one, two):
            assert [frame.data for frame in await client.barrier()] == list(range(100))
