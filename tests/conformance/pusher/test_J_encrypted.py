"""Section J: encrypted channels, which are private channels to the server."""

import json

import pytest

from tests.support.site import Site

CHANNEL = "private-encrypted-x"


async def test_144_an_encrypted_channel_needs_auth(site: Site) -> None:
    async with site.connect() as client:
        await client.send({"event": "pusher:subscribe", "data": {"channel": CHANNEL}})
        await client.expect_refused(CHANNEL, "Auth info required")


async def test_144_its_success_has_the_bytes_of_an_empty_object(site: Site) -> None:
    async with site.connect() as client:
        assert '"data":"{}"' in (await client.subscribe(CHANNEL)).raw


@pytest.mark.parametrize(
    "data",
    [
        '{"nonce":"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9","ciphertext":"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A="}',
        '{ "nonce" : "a+/=" ,\n\t"ciphertext":"b\\/=="  }',
        '{"ciphertext":"\\u002b+","nonce":"=="}',
    ],
)
async def test_145_ciphertext_arrives_byte_for_byte(site: Site, data: str) -> None:
    async with site.connect() as client:
        await client.subscribe(CHANNEL)
        body = json.dumps({"name": "e", "channel": CHANNEL, "data": data}).encode()
        assert site.api.post("/events", body).status == 200
        assert (await client.expect("e", CHANNEL)).text == data


async def test_147_a_shared_secret_in_a_subscribe_is_ignored_and_not_logged(site: Site) -> None:
    channel, secret = "private-encrypted-x", "c2hhcmVkLXNlY3JldC1vZi1zb21lYm9keQ=="
    async with site.connect() as client:
        data = {"channel": channel, "auth": client.auth(channel), "shared_secret": secret}
        await client.send({"event": "pusher:subscribe", "data": data})
        await client.expect("pusher_internal:subscription_succeeded", channel)
        await client.send({"event": "pusher:subscribe", "data": data})
        assert all(secret not in frame.raw for frame in await client.barrier())
    assert secret not in site.server.log()
