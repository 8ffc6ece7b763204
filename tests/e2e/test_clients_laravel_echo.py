"""Laravel Echo against the server (item 228)."""

import pytest

from tests.support.node import program, scenario
from tests.support.site import Site

pytestmark = [pytest.mark.clients, pytest.mark.parametrize("broadcaster", ["pusher", "reverb"])]
ONE = {"id": 1, "name": "One"}
TWO = {"id": 2, "name": "Two"}


def person(info: dict[str, object]) -> dict[str, object]:
    return {"presence-room": {"user_id": str(info["id"]), "user_info": info}}


async def test_228_here_joining_and_leaving_get_user_info(talk: Site, broadcaster: str) -> None:
    async with (
        program("echo", scenario(talk.server, talk.app, broadcaster=broadcaster, members=person(ONE))) as first,
        program("echo", scenario(talk.server, talk.app, broadcaster=broadcaster, members=person(TWO))) as second,
    ):
        await first.value("join", name="room")
        assert (await first.expect(on="here"))["users"] == [ONE]
        await second.value("join", name="room")
        here = await second.expect(on="here")
        assert sorted(here["users"], key=lambda user: int(user["id"])) == [ONE, TWO]
        assert (await first.expect(on="joining"))["user"] == TWO
        await second.value("leave", name="room")
        assert (await first.expect(on="leaving"))["user"] == TWO


async def test_228_whispers_reach_the_others(talk: Site, broadcaster: str) -> None:
    async with (
        program("echo", scenario(talk.server, talk.app, broadcaster=broadcaster)) as first,
        program("echo", scenario(talk.server, talk.app, broadcaster=broadcaster)) as second,
    ):
        for client in (first, second):
            await client.value("private", name="room")
            await client.expect(on="subscribed", name="room")
        await first.value("listenForWhisper", name="room", event="typing")
        await second.value("whisper", name="room", event="typing", data={"on": True})
        assert (await first.expect(on="whisper"))["data"] == {"on": True}


async def test_228_a_refused_channel_calls_error(site: Site, broadcaster: str) -> None:
    setting = scenario(site.server, site.app, broadcaster=broadcaster, spoil=["private-room"])
    async with program("echo", setting) as client:
        await client.value("private", name="room")
        report = await client.expect(on="error", name="room")
        assert report["error"]["status"] == 401


async def test_228_a_laravel_event_is_heard_and_to_others_excludes_the_sender(site: Site, broadcaster: str) -> None:
    setting = scenario(site.server, site.app, broadcaster=broadcaster)
    async with program("echo", setting) as sender, program("echo", setting) as other:
        for client in (sender, other):
            await client.value("channel", name="orders")
            await client.expect(on="subscribed", name="orders")
            await client.value("listen", name="orders", event="OrderShipped")
        name = "App\\Events\\OrderShipped"
        site.api.publish("orders", name, '{"n":1}', socket_id=await sender.value("socketId"))
        site.api.publish("orders", name, '{"n":2}')
        assert (await other.expect(on="heard"))["data"] == {"n": 1}
        assert (await other.expect(on="heard"))["data"] == {"n": 2}
        assert (await sender.expect(on="heard"))["data"] == {"n": 2}
