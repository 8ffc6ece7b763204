"""Section B: ping, pong, and how long silence is borne."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.client import Client
from tests.support.site import Site, private_site

ACTIVITY = 2.0  # seconds of silence until the server of this file asks
PONG = 2.0  # seconds that it waits for an answer
PINGED = '{"event":"pusher:ping","data":"{}"}'
SLACK = 0.25  # seconds by which a timer may be early: its wheel turns in steps


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that loses patience after two seconds."""
    folder = tmp_path_factory.mktemp("impatient")
    with private_site(folder, activity_timeout=int(ACTIVITY), pong_timeout=int(PONG)) as site:
        yield site


async def alive(client: Client) -> None:
    """Fail unless the connection still answers; pings from the server may come in between."""
    seen = await client.barrier()
    assert {frame.event for frame in seen} <= {"pusher:ping"}, [frame.raw for frame in seen]


@pytest.mark.parametrize(
    ("number", "ping"),
    [
        ("027", '{"event":"pusher:ping","data":{}}'),
        ("028", '{"event": "pusher:ping"}'),
        ("029", '{"event":"pusher:ping","data":"{}"}'),
    ],
)
async def test_027_028_029_every_form_of_ping_gets_the_same_pong(site: Site, number: str, ping: str) -> None:
    async with site.connect() as client:
        await client.send(ping)
        assert (await client.receive()).message == {"event": "pusher:pong", "data": "{}"}, number


async def test_030_a_control_ping_is_answered_with_its_payload(site: Site) -> None:
    async with site.connect() as client:
        pong = await client.connection.ping(b"what I sent")  # resolves when a pong brings this payload
        await asyncio.wait_for(pong, 60)
        await client.quiet()


async def test_031_ping_works_before_with_and_after_a_subscription(site: Site) -> None:
    async with site.connect() as client:
        await client.quiet()
        await client.subscribe("c")
        await client.quiet()
        await client.unsubscribe("c")
        await client.quiet()


async def test_032_a_silent_client_is_asked_after_activity_timeout(impatient: Site) -> None:
    since = time.monotonic()
    async with impatient.connect() as client:
        assert (await client.receive()).raw == PINGED
        assert time.monotonic() - since > ACTIVITY - SLACK


async def test_033_without_an_answer_it_is_closed_with_4201_after_pong_timeout_and_not_earlier(impatient: Site) -> None:
    since = time.monotonic()
    async with impatient.connect() as client:
        await client.expect("pusher:ping")
        await client.expect_fatal(4201, "Pong reply not received")
        assert time.monotonic() - since > ACTIVITY + PONG - SLACK


async def test_034_a_pong_keeps_the_connection_and_has_no_answer(impatient: Site) -> None:
    async with impatient.connect() as client:
        since = time.monotonic()
        while time.monotonic() - since < ACTIVITY + PONG + 1:
            await client.expect("pusher:ping")
            await client.send('{"event":"pusher:pong","data":{}}')
        await alive(client)


async def test_035_any_other_message_resets_the_idle_timer(impatient: Site) -> None:
    async with impatient.connect() as client:
        for number in range(30):  # 3 s of chatter, never two seconds of silence
            await client.subscribe(f"channel-{number}")
            await asyncio.sleep(0.1)
        assert not [frame for frame in client.frames if frame.event == "pusher:ping"]
        await alive(client)


async def test_036_control_pings_alone_keep_the_connection(impatient: Site) -> None:
    async with impatient.connect() as client:
        since = time.monotonic()
        while time.monotonic() - since < 2 * (ACTIVITY + PONG):
            await asyncio.wait_for(await client.connection.ping(), 60)
            await asyncio.sleep(0.3)
        await alive(client)


async def test_037_traffic_to_a_dead_peer_does_not_keep_it(impatient: Site) -> None:
    async with impatient.connect() as client:
        since = time.monotonic()
        await client.subscribe("busy")
        events = []
        while "pusher:error" not in events:
            assert time.monotonic() - since < 60, "the silent client is still connected"
            impatient.api.publish("busy")
            events.append((await client.receive()).event)
        assert client.frames[-1].data["code"] == 4201
        assert (await client.closed()).code == 4201
        assert "my-event" in events
        assert time.monotonic() - since > ACTIVITY + PONG - SLACK
