"""Test deliveries: who sends them must not be able to hold the server's connections for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from sockudo_py.endpoints import Endpoint
from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.management.credentials.keys import SOCKET_OWNER
from sockudo_py.management.deliveries import trying
from sockudo_py.management.deliveries.trying import TestRoutes
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked
from sockudo_py.stores.endpoints.memory import MemoryEndpoints
from sockudo_py.webhooks.targets.base import Delivered, Outcome, Request
from tests.support.client import eventually
from tests.unit.webhooks.make import endpoint


class Held:
    """A target whose receivers answer when they are let."""

    name = "http"

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.let = asyncio.Event()

    async def send(self, request: Request) -> Outcome:
        self.requests.append(request)
        await self.let.wait()
        return Delivered(200)

    async def close(self) -> None:
        """Nothing is open."""


class Stage:
    def __init__(self) -> None:
        self.target = Held()
        self.endpoints = {
            one.uid: one
            for app in ("1", "2")
            for one in (endpoint(uid=f"wh_{app}_{n}", app_id=app, request_timeout=1e9) for n in range(20))
        }

        def find(asked: Asked) -> Endpoint:
            return self.endpoints[asked.segments[0]]

        routes = TestRoutes(find, {"http": self.target}, MemoryRateLimiter(lambda: 0.0), MemoryEndpoints())
        self.router = Router([routes])

    async def test(self, uid: str) -> Answer:
        return await self.router.handle("POST", f"/api/webhooks/{uid}/test", Asked(SOCKET_OWNER))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.target.let.set()


async def test_a_test_ends_soon_however_long_the_endpoint_may_wait(stage: Stage) -> None:
    stage.target.let.set()
    assert (await stage.test("wh_1_0")).status == 200
    assert [request.timeout for request in stage.target.requests] == [trying.LONGEST]


async def test_an_app_has_some_tests_under_way_and_other_apps_have_theirs(stage: Stage) -> None:
    running = [asyncio.create_task(stage.test(f"wh_1_{n}")) for n in range(trying.AT_ONCE)]
    await eventually(lambda: len(stage.target.requests) == trying.AT_ONCE, "the tests are under way")
    refused = await stage.test("wh_1_15")
    assert (refused.status, refused.document["error"]["code"]) == (429, "rate_limited")
    assert dict(refused.headers)["Retry-After"] == "1"
    other = asyncio.create_task(stage.test("wh_2_0"))
    await eventually(lambda: len(stage.target.requests) == trying.AT_ONCE + 1, "that of the other app")
    stage.target.let.set()
    assert {answer.status for answer in await asyncio.gather(*running, other)} == {200}
    assert (await stage.test("wh_1_15")).status == 200
