"""Section B: ping, pong, and how long silence is borne."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.client import Client, eventually
from tests.support.site import Site, private_site

INTERVAL = 2.0  # seconds of silence until the server of this file asks
PONG = 2.0  # seconds that it waits for an answer
PINGED = '{"event":"pusher:ping","data":"{}"}'
SLACK = 0.25  # seconds by which a timer may be early: its wheel turns in steps


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that loses patience after two seconds."""
    folder = tmp_path_factory.mktemp("impatient")
    with private_site(folder, ping_interval=INTERVAL, pong_timeout=PONG) as site:
        yield site


@asynccontextmanager
async def deaf(site: Site) -> AsyncIterator[Client]:
    """Connect a client that answers nothing by itself."""
    async with site.connect() as client:
        client.answers_control_pings = False
        yield client


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


async def test_032_a_silent_client_is_asked_in_both_ways_after_ping_interval(impatient: Site) -> None:
    since = time.monotonic()
    async with impatient.connect() as client:
        assert client.activity_timeout == 120
        assert (await client.receive()).raw == PINGED
        assert client.control_pings == 1
        assert time.monotonic() - since > INTERVAL - SLACK


async def test_032_a_silent_client_is_asked_after_activity_timeout_when_that_is_shorter(tmp_path: Path) -> None:
    since = time.monotonic()
    with private_site(tmp_path, activity_timeout=1) as site:
        async with site.connect() as client:
            assert (await client.receive()).raw == PINGED
            assert client.control_pings == 1
            assert 1 - SLACK < time.monotonic() - since < 40


async def test_032_a_control_pong_alone_keeps_the_connection(impatient: Site) -> None:
    async with impatient.connect() as client:  # its library answers
        since = time.monotonic()
        while time.monotonic() - since < 2 * (INTERVAL + PONG):
            await client.expect("pusher:ping")
        await alive(client)


async def test_032_who_has_pinged_by_control_frames_is_asked_by_a_control_frame_alone(impatient: Site) -> None:
    async with impatient.connect() as client:
        await asyncio.wait_for(await client.connection.ping(), 60)
        await eventually(lambda: client.control_pings == 2, "asked twice")
        await client.quiet()


async def test_033_without_an_answer_it_is_closed_with_4201_after_pong_timeout_and_not_earlier(impatient: Site) -> None:
    since = time.monotonic()
    async with deaf(impatient) as client:
        await client.expect("pusher:ping")
        await client.expect_fatal(4201, "Pong reply not received")
        assert time.monotonic() - since > INTERVAL + PONG - SLACK


async def test_034_a_pong_keeps_the_connection_and_has_no_answer(impatient: Site) -> None:
    async with deaf(impatient) as client:
        since = time.monotonic()
        while time.monotonic() - since < INTERVAL + PONG + 1:
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
        while time.monotonic() - since < 2 * (INTERVAL + PONG):
            await asyncio.wait_for(await client.connection.ping(), 60)
            await asyncio.sleep(0.3)
        await alive(client)


async def test_037_traffic_to_a_dead_peer_does_not_keep_it(impatient: Site) -> None:
    async with deaf(impatient) as client:
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
        assert time.monotonic() - since > INTERVAL + PONG - SLACK
