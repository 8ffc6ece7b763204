"""Logins to the dashboard are limited by address."""

from sockudo_py.limits.memory import MemoryRateLimiter
from sockudo_py.management.credentials.keys import Admin, AdminKeys
from sockudo_py.management.credentials.sessions import Sessions
from sockudo_py.management.dashboard.login import TRIES, TRIES_WINDOW, LoginRoutes
from sockudo_py.management.requests.router import Router
from sockudo_py.management.requests.values import Answer, Asked

ANNA = Admin(b"a" * 32, frozenset({"*"}), frozenset({"read", "write"}), "anna")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_an_address_that_tries_too_many_logins_has_to_wait_and_others_have_not() -> None:
    clock = Clock()
    keys = AdminKeys([ANNA])
    routes = LoginRoutes(keys, Sessions(keys, clock), MemoryRateLimiter(clock), prefix="", secure=False)
    router = Router([routes])

    async def login(address: str) -> Answer:
        headers = {"content-type": "application/json"}
        asked = Asked(ANNA, body={"key": "wrong"}, headers=headers, remote=address)
        return await router.handle("POST", "/dashboard/login", asked)

    assert [(await login("192.0.2.1")).status for _ in range(TRIES)] == [401] * TRIES
    refused = await login("192.0.2.1")
    assert refused.status == 429
    assert ("Retry-After", "60") in refused.headers
    assert (await login("192.0.2.2")).status == 401
    clock.now += TRIES_WINDOW + 1
    assert (await login("192.0.2.1")).status == 401
