"""Section M: asking for channels and users."""

from collections.abc import Callable

import pytest

from tests.support.api import Response
from tests.support.client import member
from tests.support.site import Site


def refused(response: Response, status: int = 400) -> None:
    assert response.status == status, response
    assert response.text.endswith("\n")
    assert "<html" not in response.text.lower()
    assert "Traceback" not in response.text


def test_185_no_channels_are_an_empty_object(site: Site) -> None:
    response = site.api.get("/channels")
    assert (response.status, response.body) == (200, b'{"channels":{}}')
    assert response.headers["content-type"] == "application/json"


async def test_186_occupied_channels_are_listed_with_empty_attributes(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("a")
        await client.subscribe("presence-b", member("1"))
        site.api.publish("nobody-here")
        assert site.api.get("/channels").json == {"channels": {"a": {}, "presence-b": {}}}


async def test_187_the_list_can_be_filtered_and_tell_user_counts(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("a")
        await client.subscribe("presence-b", member("1"))
        response = site.api.get("/channels", filter_by_prefix="presence-")
        assert response.json == {"channels": {"presence-b": {}}}
        response = site.api.get("/channels", filter_by_prefix="presence-", info="user_count")
        assert response.json == {"channels": {"presence-b": {"user_count": 1}}}


@pytest.mark.parametrize("prefix", [{}, {"filter_by_prefix": "private-"}, {"filter_by_prefix": "pres"}])
def test_188_user_count_needs_the_presence_prefix(site: Site, prefix: dict[str, str]) -> None:
    refused(site.api.get("/channels", info="user_count", **prefix))


@pytest.mark.parametrize("path", ["/channels", "/channels/a", "/channels/presence-a"])
def test_188_an_unknown_attribute_is_refused(site: Site, path: str) -> None:
    refused(site.api.get(path, info="colour"))


async def test_189_user_count_counts_users_and_not_connections(site: Site) -> None:
    async with site.connect() as one, site.connect() as two, site.connect() as three:
        await one.subscribe("presence-b", member("1"))
        await two.subscribe("presence-b", member(1))
        await three.subscribe("presence-b", member("2"))
        response = site.api.get("/channels/presence-b", info="user_count")
        assert response.json == {"occupied": True, "user_count": 2}


async def test_190_a_channel_tells_whether_it_is_occupied_and_by_how_many(counted: Site) -> None:
    async with counted.connect() as one, counted.connect() as two:
        await one.subscribe("a")
        await two.subscribe("a")
        assert counted.api.get("/channels/a").json == {"occupied": True}
        response = counted.api.get("/channels/unknown")
        assert (response.status, response.json) == (200, {"occupied": False})
        response = counted.api.get("/channels/a", info="subscription_count")
        assert response.json == {"occupied": True, "subscription_count": 2}


async def test_191_user_count_is_for_presence_channels_only(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("a")
        await client.subscribe("presence-b", member("1"))
        refused(site.api.get("/channels/a", info="user_count"))
        response = site.api.get("/channels/presence-b", info="user_count")
        assert response.json == {"occupied": True, "user_count": 1}


async def test_192_users_are_listed_with_string_ids(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("presence-b", member(10, name="A"))
        response = site.api.get("/channels/presence-b/users")
        assert (response.status, response.json) == (200, {"users": [{"id": "10"}]})


async def test_193_users_of_a_public_channel_are_refused_and_of_an_empty_presence_channel_are_none(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("a")
        refused(site.api.get("/channels/a/users"))
    response = site.api.get("/channels/presence-empty/users")
    assert (response.status, response.json) == (200, {"users": []})


async def test_194_the_channels_of_users_are_never_listed(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("u1")
        await client.ask("#server-to-user-u1", auth="")
        await client.expect("pusher_internal:subscription_succeeded")
        site.api.publish("#server-to-user-u1")
        await client.expect("my-event")
        assert site.api.get("/channels").json == {"channels": {}}


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("GET", "/nowhere", {404}),
        ("GET", "/apps/{id}/nowhere", {404}),
        ("POST", "/apps/{id}/channels", {404, 405}),
        ("GET", "/apps/{id}/events", {404, 405}),
        ("DELETE", "/apps/{id}/channels/a", {404, 405}),
        ("PUT", "/apps/{id}/events", {404, 405}),
    ],
)
def test_195_unknown_paths_and_wrong_methods(site: Site, method: str, path: str, statuses: set[int]) -> None:
    response = site.api.signed(method, path.format(id=site.app.id))
    assert response.status in statuses
    refused(response, response.status)


@pytest.mark.parametrize(("method", "rest"), [("GET", "/channels"), ("POST", "/events"), ("POST", "/batch_events")])
def test_195_a_disabled_app_is_403(make_site: Callable[[str], Site], method: str, rest: str) -> None:
    site = make_site("disabled")
    body = b'{"name":"e","channel":"c","data":"{}"}' if method == "POST" else b""
    refused(site.api.signed(method, site.api.path(rest), body), 403)


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/%00", b""),
        ("GET", "/apps/%ff/channels?auth_key=%ff", b""),
        ("POST", "/apps//events", b"{"),
        ("POST", "/apps/3/events?" + "a=b&" * 1000, b""),
        ("GET", "/../../etc/passwd", b""),
        ("POST", "/apps/3/events?auth_signature=%", b"\x00"),
    ],
)
def test_196_errors_are_text_that_ends_in_a_newline(site: Site, method: str, target: str, body: bytes) -> None:
    response = site.api.raw(method, target, body)
    assert 400 <= response.status < 500
    refused(response, response.status)
    assert response.headers["content-type"].startswith("text/plain")
