"""Section D: private channels and their signatures."""

from collections.abc import Callable

import pytest

from sockudo_py.protocol.signatures import channel_string, sign
from tests.support.client import channel_auth, hmac_hex
from tests.support.server import SECRET, TestApp
from tests.support.site import Site

CHANNEL = "private-foobar"
SUCCEEDED = "pusher_internal:subscription_succeeded"


async def test_056_the_right_signature_for_the_live_socket_id_succeeds(site: Site) -> None:
    async with site.connect() as client:
        assert (await client.subscribe(CHANNEL)).text == "{}"


def test_057_the_published_vector_of_a_private_channel() -> None:
    digest = "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
    assert sign(SECRET.encode(), channel_string("1234.1234", CHANNEL)) == digest
    assert channel_auth(TestApp(), "1234.1234", CHANNEL) == f"{TestApp().key}:{digest}"


async def test_058_without_auth_it_is_refused(site: Site) -> None:
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": CHANNEL}})
        await client.expect_refused(CHANNEL, f"Auth info required to subscribe to {CHANNEL}")


@pytest.mark.parametrize("auth", ["abc", "0" * 64])
async def test_059_auth_without_a_colon_is_refused(site: Site, auth: str) -> None:
    async with site.connect() as client:
        await client.ask(CHANNEL, auth=auth)
        await client.expect_refused(CHANNEL, "should be of format 'key:signature'")


async def test_060_another_key_in_auth_is_refused(site: Site) -> None:
    async with site.connect() as client:
        await client.ask(CHANNEL, auth=f"other:{hmac_hex(site.app.secret, f'{client.socket_id}:{CHANNEL}')}")
        await client.expect_refused(CHANNEL, "Invalid key in subscription auth data")


async def test_061_a_wrong_signature_is_refused_with_the_string_that_had_to_be_signed(site: Site) -> None:
    async with site.connect() as client:
        await client.ask(CHANNEL, auth=f"{site.app.key}:{'0' * 64}")
        wanted = f"Invalid signature: Expected HMAC SHA256 hex digest of {client.socket_id}:{CHANNEL}"
        await client.expect_refused(CHANNEL, wanted)


async def test_062_a_signature_for_another_socket_id_or_channel_is_refused(site: Site) -> None:
    async with site.connect() as client, site.connect() as other:
        for auth in (other.auth(CHANNEL), client.auth("private-other")):
            await client.ask(CHANNEL, auth=auth)
            await client.expect_refused(CHANNEL, "Invalid signature")


async def test_063_a_refusal_also_gives_subscription_error_with_type_and_status(site: Site) -> None:
    async with site.connect() as client:
        await client.ask(CHANNEL, auth=f"{site.app.key}:{'0' * 64}")
        frame = await client.expect_refused(CHANNEL)
        assert frame.message["event"] == "pusher:subscription_error"
        assert set(frame.message) == {"event", "channel", "data"}
        assert set(frame.data) == {"type", "error", "status"}
        assert frame.data["type"] == "AuthError"
        assert frame.data["error"]


async def test_064_after_a_refusal_a_right_subscribe_succeeds(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("still-here")
        await client.ask(CHANNEL, auth=f"{site.app.key}:{'0' * 64}")
        await client.expect_refused(CHANNEL)
        await client.subscribe(CHANNEL)
        site.api.publish("still-here")
        await client.expect("my-event", "still-here")


async def test_064_after_a_refusal_no_event_of_the_channel_arrives(site: Site) -> None:
    async with site.connect() as client:
        await client.ask(CHANNEL, auth=f"{site.app.key}:{'0' * 64}")
        await client.expect_refused(CHANNEL)
        site.api.publish(CHANNEL)
        await client.quiet()
        assert not site.api.occupied(CHANNEL)


async def test_065_channel_data_on_a_private_channel_is_part_of_what_is_signed(site: Site) -> None:
    data = '{"anything": 1}'
    async with site.connect() as client:
        await client.ask(CHANNEL, data, auth=client.auth(CHANNEL))
        await client.expect_refused(CHANNEL, "Invalid signature")
        await client.subscribe(CHANNEL, data)


async def test_066_an_upper_case_signature_is_refused(site: Site) -> None:
    async with site.connect() as client:
        key, _, digest = client.auth(CHANNEL).partition(":")
        await client.ask(CHANNEL, auth=f"{key}:{digest.upper()}")
        await client.expect_refused(CHANNEL, "Invalid signature")


@pytest.mark.parametrize("auth", ["{key}:é", "é:{digest}", "{key}:{digest}é", "{key}:\ud83d", "{key}:"])
async def test_067_non_ascii_in_auth_is_refused_and_never_a_crash(site: Site, auth: str) -> None:
    async with site.connect() as client:
        digest = client.auth(CHANNEL).partition(":")[2]
        await client.ask(CHANNEL, auth=auth.format(key=site.app.key, digest=digest))
        frames = await client.barrier()
        assert [frame.data["code"] for frame in frames if frame.event == "pusher:error"] == [None]
        assert SUCCEEDED not in [frame.event for frame in frames]


@pytest.mark.parametrize("auth", [5, {}, [], True])
async def test_067_auth_that_is_no_string_is_refused(site: Site, auth: object) -> None:
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": CHANNEL, "auth": auth}})
        frames = await client.barrier()
        assert [frame.data["code"] for frame in frames if frame.event == "pusher:error"] == [None]
        assert SUCCEEDED not in [frame.event for frame in frames]


async def test_068_private_my_cache_is_private_and_no_cache_channel(site: Site) -> None:
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": "private-my-cache-x"}})
        await client.expect_refused("private-my-cache-x")
        await client.subscribe("private-my-cache-x")
        await client.quiet()


async def test_069_my_private_is_public(site: Site) -> None:
    async with site.connect() as client:
        await client.subscribe("my-private-x")


async def test_070_either_pair_of_an_app_signs_subscriptions(make_site: Callable[[str], Site]) -> None:
    site = make_site("two_keys")
    second = TestApp(site.app.id, f"second-key-{site.app.id}", f"second-secret-of-{site.app.id}")
    async with site.connect() as client:
        await client.subscribe("private-one")
        await client.subscribe("private-two", auth=channel_auth(second, client.socket_id, "private-two"))
        crossed = channel_auth(TestApp(site.app.id, second.key, site.app.secret), client.socket_id, "private-three")
        await client.ask("private-three", auth=crossed)
        await client.expect_refused("private-three", "Invalid signature")
    async with Site(site.server, second).connect() as client:
        await client.subscribe("private-one")
