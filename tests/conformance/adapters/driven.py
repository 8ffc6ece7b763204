"""An adapter under test, with answers to await."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from sockudo_py.adapters.base import Adapter, ChannelFull, Envelope, Joined, Left, SignedIn
from sockudo_py.changes import Change, Transition
from sockudo_py.errors import Unavailable
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

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
        self.unstored: list[Callable[[], None]] = []
        self.stores = True
        self.delivered: list[Envelope] = []
        self.heard: list[Callable[[Envelope], None]] = []
        self._sockets = 0
        self.sources: dict[str, Source] = {}

    def start(self) -> None:
        self.adapter.start(self._deliver, self._on_change)

    def _deliver(self, envelope: Envelope) -> None:
        self.delivered.append(envelope)
        for listener in self.heard:
            listener(envelope)

    def _on_change(self, change: Change, stored: Callable[[], None] | None = None) -> None:
        """Take note. ``stores`` False: as if the queue were away."""
        self.changes.append(change)
        if stored is not None:
            if self.stores:
                stored()
            else:
                self.unstored.append(stored)

    @property
    def transitions(self) -> list[Transition]:
        return [change for change in self.changes if isinstance(change, Transition)]

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
        tell_count: bool = False,
    ) -> Joined | ChannelFull | Unavailable:
        """Join and return the answer; its roster, which is valid in the callback only, as a copy."""
        answer: asyncio.Future[Joined | ChannelFull | Unavailable] = asyncio.get_running_loop().create_future()

        def done(outcome: Joined | ChannelFull | Unavailable) -> None:
            if isinstance(outcome, Joined) and outcome.roster is not None:
                outcome = Joined(outcome.subscription_count, outcome.first_of_user, dict(outcome.roster))
            answer.set_result(outcome)  # raises when it is called twice

        self.adapter.join(app_id, channel, self.source(socket, app_id), member, max_members, tell_count, done)
        return await answer

    async def leave(
        self,
        channel: str,
        member: Member | None = None,
        *,
        app_id: str = APP,
        socket: str = "1.1",
        tell_count: bool = False,
    ) -> Left:
        answer: asyncio.Future[Left] = asyncio.get_running_loop().create_future()
        self.adapter.leave(app_id, channel, self.source(socket, app_id), member, tell_count, answer.set_result)
        return await answer

    async def sign_in(self, user_id: str, watchlist: Sequence[str] = (), app_id: str = APP) -> SignedIn | Unavailable:
        answer: asyncio.Future[SignedIn | Unavailable] = asyncio.get_running_loop().create_future()
        self.adapter.sign_in(app_id, user_id, watchlist, answer.set_result)
        return await answer

    async def sign_out(self, user_id: str, watchlist: Sequence[str] = (), app_id: str = APP) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.adapter.sign_out(app_id, user_id, watchlist, answer.set_result)
        return await answer

    def take(self) -> list[Change]:
        changes = list(self.changes)
        self.changes.clear()
        return changes


@asynccontextmanager
async def running(driven: Driven) -> AsyncIterator[Driven]:
    driven.start()
    try:
        await driven.adapter.open()
        try:
            yield driven
        finally:
            await driven.adapter.stop()
    finally:
        await driven.adapter.close()
