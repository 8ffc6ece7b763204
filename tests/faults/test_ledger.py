"""F48 over kills: who was there when a server was killed is told of as gone, once, unless it is back in time.

Six hundred channels and 150 members on 25 connections; every other one comes back after the kill.
"""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import server as servers
from tests.support.client import Client
from tests.support.hook_receiver import HookReceiver
from tests.support.ports import free_ports
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.server import KEY, Server, TestApp, app_config, server_config

GRACE = 4.0  # seconds; the default is 20
BEGINS, ENDS = ["channel_occupied", "member_added"], ["channel_vacated", "member_removed"]
ENDPOINTS = {"/both": BEGINS + ENDS, "/ends": ENDS, "/begins": BEGINS, "/channels": ["channel_vacated"]}

Subject = tuple[str, str | None]  # a channel, or a member of one
PEOPLE = 15
ROOMS = [f"presence-{number}" for number in range(10)]


def channels_of(person: int) -> list[str]:
    return [f"c{person}-{number}" for number in range(40)]


def subjects_of(people: Iterable[int]) -> set[Subject]:
    """Return all that is there with these people."""
    everybody = list(people)
    alone: set[Subject] = {(channel, None) for person in everybody for channel in channels_of(person)}
    together: set[Subject] = {(room, str(person)) for room in ROOMS for person in everybody}
    return alone | together | ({(room, None) for room in ROOMS} if everybody else set())


class Place:
    """A receiver, and servers one after the other that tell it."""

    def __init__(self, hooks: HookReceiver, folder: Path, queue: dict[str, Any], **options: Any) -> None:
        webhooks = [
            {"url": f"{hooks.url}{path}", "uid": f"wh_{path[1:]}", "event_types": kinds}
            for path, kinds in ENDPOINTS.items()
        ]
        self.hooks = hooks
        self.settings = server_config(
            app_config(TestApp(), webhooks=webhooks),
            queue={**queue, "reliability": {"lease_duration_ms": 1000, "lease_renew_interval_ms": 300}},
            webhooks={"vacate_delay_ms": 300, "reconnect_grace_ms": int(GRACE * 1000), **options},
        )
        self._folder = folder
        self._ports = free_ports(2)
        self._starts = 0
        self.server: Server | None = None

    async def start(self, **changed: Any) -> Server:
        self._starts += 1
        settings = {**self.settings, **changed}
        folder = self._folder / f"server-{self._starts}"
        self.server = await asyncio.to_thread(servers.start, settings, folder, None, self._ports)
        return self.server

    def kill(self) -> None:
        assert self.server is not None
        self.server.kill()

    # Requests that come twice under one id are one, as for every receiver that keeps to the rules.

    def told(self, path: str) -> list[tuple[str, Subject]]:
        """Return the names and subjects of all events that came."""
        requests = {hook.header("webhook-id"): hook for hook in self.hooks.hooks(path)}
        events = [event for hook in requests.values() for event in hook.events]
        return [(event["name"], (event["channel"], event.get("user_id"))) for event in events]

    def count(self, path: str, kinds: Iterable[str]) -> Counter[Subject]:
        return Counter(subject for name, subject in self.told(path) if name in kinds)

    async def until(self, path: str, kinds: list[str], subjects: set[Subject], times: int = 1) -> None:
        """Wait until all of them were told so often, and a while longer, when a wrong one would have come."""
        end = time.monotonic() + 60
        while not all(self.count(path, kinds)[subject] >= times for subject in subjects):
            missing = [one for one in subjects if self.count(path, kinds)[one] < times]
            assert time.monotonic() < end, f"{path}: {len(missing)} were not told: {sorted(missing, key=str)[:5]}"
            await asyncio.sleep(0.1)

    async def all_are_known(self, people: range) -> None:
        await self.until("/both", BEGINS, subjects_of(people))
        await self.until("/begins", BEGINS, subjects_of(people))

    async def ended_once(self, gone: set[Subject]) -> None:
        """Wait for the ends, and see that these and no others were told, once, to each endpoint that wants them."""
        channels = {subject for subject in gone if subject[1] is None}
        for path, kinds, subjects in (("/both", ENDS, gone), ("/ends", ENDS, gone), ("/channels", ENDS, channels)):
            await self.until(path, kinds, subjects)
            assert self.count(path, kinds) == Counter(subjects), path


@asynccontextmanager
async def crowd(server: Server, people: Iterable[int]) -> AsyncIterator[None]:
    """People, each on a connection of its own, with channels of their own and in every room."""
    made: list[Client] = []

    async def come(person: int) -> None:
        client = await Client.open(server.ws_url(f"/app/{KEY}?protocol=7"), TestApp())
        made.append(client)
        await client.established()
        for channel in channels_of(person):
            await client.send({"event": "pusher:subscribe", "data": {"channel": channel}})
        for room in ROOMS:
            data = json.dumps({"user_id": str(person)})
            subscription = {"channel": room, "channel_data": data, "auth": client.auth(room, data)}
            await client.send({"event": "pusher:subscribe", "data": subscription})
        await client.barrier()

    try:
        await asyncio.gather(*map(come, people))
        yield
    finally:
        for client in made:
            client.abort()
        for client in made:
            with contextlib.suppress(Exception):
                await client.close()


@pytest.fixture(params=["sqlite", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    """Nobody is there yet."""
    queue: dict[str, Any] = {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
    if request.param == "redis":
        url, prefix = request.getfixturevalue("redis_server").url, request.getfixturevalue("unique_prefix")
        queue = {"driver": "redis", "redis": {"url_override": url, "prefix": prefix}}
    with HookReceiver() as hooks:
        made = Place(hooks, tmp_path, queue)
        try:
            yield made
        finally:
            if made.server is not None:
                made.kill()


@pytest.mark.slow
async def test_F48_after_a_kill_those_who_are_not_back_are_told_of_once_and_the_others_not_at_all(place: Place) -> None:
    everybody, back = range(PEOPLE), range(0, PEOPLE, 2)
    async with crowd(await place.start(), everybody):
        await place.all_are_known(everybody)
        place.kill()
    server = await place.start()
    begun = {path: len(place.told(path)) for path in ("/both", "/begins")}
    async with crowd(server, back):
        gone = subjects_of(everybody) - subjects_of(back)
        assert place.count("/ends", ENDS) == Counter()
        await place.ended_once(gone)
        assert place.count("/begins", BEGINS) == Counter(subjects_of(everybody)), begun
    await place.ended_once(subjects_of(everybody))
    server.stop()
    again = await place.start()
    await asyncio.sleep(GRACE + 1)  # nothing is left that could be told
    await place.ended_once(subjects_of(everybody))
    assert "ended without a shutdown" not in again.log()


@pytest.mark.slow
async def test_F48_a_kill_within_the_grace_changes_nothing(place: Place) -> None:
    async with crowd(await place.start(), range(PEOPLE)):
        await place.all_are_known(range(PEOPLE))
        place.kill()
    await place.start()
    place.kill()
    server = await place.start()
    async with crowd(server, range(1)):
        await place.ended_once(subjects_of(range(PEOPLE)) - subjects_of(range(1)))


@pytest.mark.slow
async def test_F48_kills_while_ends_are_told_leave_none_out_and_repeat_none(place: Place) -> None:
    async with crowd(await place.start(), range(PEOPLE)):
        await place.all_are_known(range(PEOPLE))
        place.kill()
    for turn in range(1, 4):
        await place.start()
        end = time.monotonic() + 30
        while sum(place.count("/ends", ENDS).values()) < 100 * turn and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        place.kill()
    await place.start()
    await place.ended_once(subjects_of(range(PEOPLE)))


@pytest.mark.slow
async def test_F48_ends_whose_delay_runs_at_the_kill_are_told(place: Place) -> None:
    place.settings["webhooks"]["vacate_delay_ms"] = 60_000
    async with crowd(await place.start(), range(2)):
        await place.all_are_known(range(2))
    place.kill()
    place.settings["webhooks"]["vacate_delay_ms"] = 300
    await place.start()
    await place.ended_once(subjects_of(range(2)))
