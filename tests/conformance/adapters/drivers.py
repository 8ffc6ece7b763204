"""The adapters that must pass the suite. A new driver is one class here and one line in ``DRIVERS``."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sockudo_py.adapters.base import Adapter, ChannelFull, Envelope, Joined, Left
from sockudo_py.adapters.local import LocalAdapter
from sockudo_py.changes import Change
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source
from tests.support.fake_loop import FakeLoop

APP = "1"


class Driven:
    """A started adapter, with answers to await, and what it told.

    ``pass_time`` lets seconds pass for the adapter: by hand where it takes a clock, by waiting where a service behind
    it has its own.
    """

    def __init__(self, adapter: Adapter, pass_time: Callable[[float], Awaitable[None]], vacate_delay: float) -> None:
        self.adapter = adapter
        self.vacate_delay = vacate_delay
        self.pass_time = pass_time
        self.changes: list[Change] = []
        self.delivered: list[Envelope] = []
        self._sockets = 0
        self.sources: dict[str, Source] = {}

    def start(self) -> None:
        self.adapter.start(self.delivered.append, self.changes.append)

    def source(self, socket: str, app_id: str = APP) -> Source:
        """Return the source of a socket: the same one each time."""
        return self.sources.setdefault(socket, Source(app_id, socket, "192.0.2.1"))

    async def join(
        self,
        channel: str,
        member: Member | None = None,
        *,
        max_members: int = 100,
        app_id: str = APP,
        socket: str = "1.1",
    ) -> Joined | ChannelFull | Unavailable:
        """Join and return the answer; its roster, which is valid in the callback only, as a copy."""
        answer: asyncio.Future[Joined | ChannelFull | Unavailable] = asyncio.get_running_loop().create_future()

        def done(outcome: Joined | ChannelFull | Unavailable) -> None:
            if isinstance(outcome, Joined) and outcome.roster is not None:
                outcome = Joined(outcome.subscription_count, outcome.first_of_user, dict(outcome.roster))
            answer.set_result(outcome)  # raises when it is called twice

        self.adapter.join(app_id, channel, self.source(socket, app_id), member, max_members, done)
        return await answer

    async def leave(
        self, channel: str, member: Member | None = None, *, app_id: str = APP, socket: str = "1.1"
    ) -> Left | Unavailable:
        answer: asyncio.Future[Left | Unavailable] = asyncio.get_running_loop().create_future()
        self.adapter.leave(app_id, channel, self.source(socket, app_id), member, answer.set_result)
        return await answer

    async def sign_in(self, user_id: str, app_id: str = APP) -> bool | Unavailable:
        answer: asyncio.Future[bool | Unavailable] = asyncio.get_running_loop().create_future()
        self.adapter.sign_in(app_id, user_id, answer.set_result)
        return await answer

    async def sign_out(self, user_id: str, app_id: str = APP) -> bool | Unavailable:
        answer: asyncio.Future[bool | Unavailable] = asyncio.get_running_loop().create_future()
        self.adapter.sign_out(app_id, user_id, answer.set_result)
        return await answer

    async def online(self, *user_ids: str, app_id: str = APP) -> frozenset[str] | Unavailable:
        answer: asyncio.Future[frozenset[str] | Unavailable] = asyncio.get_running_loop().create_future()
        self.adapter.online(app_id, user_ids, answer.set_result)
        return await answer

    def take(self) -> list[Change]:
        changes = list(self.changes)
        self.changes.clear()
        return changes


@asynccontextmanager
async def local(vacate_delay: float) -> AsyncIterator[Driven]:
    loop = FakeLoop()
    driven = Driven(LocalAdapter(vacate_delay, loop.call_later, loop.clock), loop.pass_time, vacate_delay)
    driven.start()
    yield driven
    await driven.adapter.stop()


DRIVERS: dict[str, Callable[[float], AbstractAsyncContextManager[Driven]]] = {"local": local}
