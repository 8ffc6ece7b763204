"""Section I: sign-in, server-to-user, terminate."""

import json

import pytest

from sockudo_py.protocol.signatures import sign, user_string
from tests.support.api import auth_pairs
from tests.support.client import Client, hmac_hex, member, user_auth
from tests.support.server import SECRET, TestApp
from tests.support.site import Site

SUCCESS = "pusher:signin_success"
SUCCEEDED = "pusher_internal:subscription_succeeded"


async def send_sign_in(client: Client, user_data: str, auth: str | None = None) -> None:
    auth = user_auth(client.app, client.socket_id, user_data) if auth is None else auth
    await client.send({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}})


async def refused(client: Client, text: str = "") -> None:
    """Fail unless exactly one err(null) came and the connection lives."""
    frames = await client.barrier()
    assert [frame.event for frame in frames] == ["pusher:error"], [frame.raw for frame in frames]
    assert frames[0].data["code"] is None
    assert text in frames[0].data["message"]


def test_128_the_published_vector_of_a_sign_in() -> None:
    digest = "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba"
    assert sign(SECRET.encode(), user_string("1234.1234", '{"id":"12345"}')) == digest
    assert user_auth(TestApp(), "1234.1234", '{"id":"12345"}').partition(":")[2] == digest


async def test_129_a_valid_sign_in_returns_user_data_without_a_channel(site: Site) -> None:
    async with site.connect() as client:
        await send_sign_in(client, '{"id":"12345"}')
        frame = await client.receive()
        assert frame.message == {"event": SUCCESS, "data": r'{"user_data":"{\"id\":\"12345\"}"}'}


async def test_129_user_data_comes_back_verbatim(site: Site) -> None:
    user_data = '{ "id" : "12345", "user_info": {"name": "J\\u00fcrgen é"} }'
    async with site.connect() as client:
        await send_sign_in(client, user_data)
        assert (await client.expect(SUCCESS)).data == {"user_data": user_data}


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        ("abc", "Invalid format: auth must have the format key:signature"),
        ("other:{digest}", ""),
        ("{key}:" + "0" * 64, ""),
        ("{key}:{upper}", ""),
        ("{key}:é", ""),
        ("", ""),
    ],
)
async def test_130_a_sign_in_with_wrong_auth_is_refused(site: Site, auth: str, text: str) -> None:
    user_data = '{"id":"12345"}'
    async with site.connect() as client:
        digest = hmac_hex(site.app.secret, f"{client.socket_id}::user::{user_data}")
        await send_sign_in(client, user_data, auth.format(key=site.app.key, digest=digest, upper=digest.upper()))
        await refused(client, text)


@pytest.mark.parametrize(
    "user_data", ["not json", "[]", '"u1"', "{}", '{"id":5}', '{"id":""}', '{"id":null}', '{"id":["u1"]}', ""]
)
async def test_131_user_data_without_a_usable_id_is_refused(site: Site, user_data: str) -> None:
    async with site.connect() as client:
        await send_sign_in(client, user_data)
        await refused(client)


async def test_132_a_second_user_is_refused_and_the_same_again_is_fine(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("u1")
        await send_sign_in(client, '{"id":"u2"}')
        await refused(client)
        await client.sign_in("u1")
        site.api.publish("#server-to-user-u2", "not-mine")
        site.api.publish("#server-to-user-u1", "mine")
        await client.expect("mine")
        await client.quiet()


async def test_133_the_internal_channel_of_the_signed_in_user_is_admitted(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("12345")
        await client.send('{"event":"pusher:subscribe","data":{"auth":"","channel":"#server-to-user-12345"}}')
        assert (await client.expect(SUCCEEDED, "#server-to-user-12345")).text == "{}"
        await client.quiet()


@pytest.mark.parametrize("signed_in_as", [None, "12346", "1234"])
async def test_134_the_internal_channel_of_anybody_else_is_refused(site: Site, signed_in_as: str | None) -> None:
    channel = "#server-to-user-12345"
    async with site.connect() as client:
        if signed_in_as is not None:
            await client.sign_in(signed_in_as)
        await client.ask(channel, auth="")
        frames = await client.barrier()
        assert [frame.data["code"] for frame in frames if frame.event == "pusher:error"] == [None]
        assert SUCCEEDED not in [frame.event for frame in frames]
        site.api.publish(channel)
        await client.quiet()


async def test_135_an_event_for_a_user_reaches_each_of_the_connections_once(site: Site) -> None:
    channel = "#server-to-user-12345"
    async with site.connect() as one, site.connect() as two, site.connect() as stranger:
        await one.sign_in("12345")
        await two.sign_in("12345")
        await stranger.sign_in("1")
        await two.ask(channel, auth="")  # one has not subscribed: it makes no difference
        await two.expect(SUCCEEDED, channel)
        site.api.publish(channel, "e", '{"a":1}')
        for client in (one, two):
            assert (await client.receive()).message == {"event": "e", "channel": channel, "data": '{"a":1}'}
            await client.quiet()
        await stranger.quiet()


async def test_139_terminate_closes_all_connections_of_the_user_and_no_other(site: Site) -> None:
    async with site.connect() as one, site.connect() as two, site.connect() as other, site.connect() as member_only:
        await one.sign_in("u1")
        await two.sign_in("u1")
        await other.sign_in("u2")
        await member_only.subscribe("presence-room", member("u1"))
        response = site.api.post("/users/u1/terminate_connections", {})
        assert (response.status, response.body) == (200, b"{}")
        await one.expect_fatal(4009)
        await two.expect_fatal(4009)
        await other.quiet()
        await member_only.quiet()
    async with site.connect() as again:
        await again.sign_in("u1")


async def test_139_terminate_takes_an_empty_body(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("u1")
        assert site.api.post("/users/u1/terminate_connections", b"").status == 200
        await client.expect_fatal(4009)


async def test_139_terminate_finds_a_user_whose_id_has_to_be_escaped(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("a b/ü")
        path = site.api.path("/users/a%20b%2F%C3%BC/terminate_connections")
        assert site.api.signed("POST", path, b"{}").status == 200
        await client.expect_fatal(4009)


def test_140_terminating_an_unknown_user_is_fine(site: Site) -> None:
    response = site.api.post("/users/nobody/terminate_connections", {})
    assert (response.status, response.body) == (200, b"{}")


async def test_143_the_path_of_the_python_sdk_finds_the_app_by_its_key(site: Site) -> None:
    async with site.connect() as client:
        await client.sign_in("u1")
        body = json.dumps({}).encode()
        response = site.api.signed("POST", "/users/u1/terminate_connections", body, auth=auth_pairs(site.app, body))
        assert (response.status, response.body) == (200, b"{}")
        await client.expect_fatal(4009)
