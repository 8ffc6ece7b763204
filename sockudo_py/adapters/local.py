"""The adapter of a server that is alone: everything is known here, and every question is answered at once."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Final

from sockudo_py.adapters.base import (
    ChannelFull,
    ChannelStats,
    Envelope,
    Held,
    JoinDone,
    Joined,
    LeaveDone,
    Left,
    Message,
    SignedIn,
    SignInDone,
    SignOutDone,
)
from sockudo_py.adapters.missed import Key, Missed
from sockudo_py.changes import Change, ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved, OnChange, Transition
from sockudo_py.protocol.effects import Member
from sockudo_py.protocol.source import Source

CHANGES_PER_TURN: Final = 500  # told in one turn of the loop when many are due: 5 ms
PUT_OFF_AT_MOST: Final = 1_000_000  # changes, 300 MB: a tenth of what their channels took before


class _Occupied:
    """One channel with subscriptions. ``roster`` is user_info by user id; ``connections`` counts those of each user."""

    __slots__ = ("connections", "roster", "subscriptions")

    def __init__(self, presence: bool) -> None:
        self.subscriptions = 0
        self.roster: dict[str, str] | None = {} if presence else None
        self.connections: dict[str, int] | None = {} if presence else None


class LocalAdapter:
    """Occupancy in plain dicts, an ``Adapter``.

    Each step costs the same however many channels, members or pending changes there are. The vacate delay is one for
    all, so pending changes fall due in the order in which they were made, and one timer serves them all.
    """

    alone = True

    def __init__(
        self,
        vacate_delay: float,
        call_later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
    ) -> None:
        """Make an adapter without channels.

        Args:
            vacate_delay: Seconds in which a vacated channel or removed member may come back; 0 reports it at once.
            call_later: Runs a function after a number of seconds.
            clock: Seconds, never going back.
        """
        self._vacate_delay = vacate_delay
        self._call_later = call_later
        self._clock = clock
        self._on_change: OnChange = _nobody
        self._channels: dict[str, dict[str, _Occupied]] = {}
        self._users: dict[str, dict[str, int]] = {}
        # An OrderedDict, since taking the first of a plain dict gets slower with everything taken before.
        self._pending: OrderedDict[Key, tuple[float, Transition]] = OrderedDict()
        self._armed = False
        self._missed: Missed | None = None
        self._waits: Callable[[Source], bool] | None = None
        self._put_off: OrderedDict[Key, Transition] = OrderedDict()  # due, and not told yet

    def start(self, deliver: Callable[[Envelope], None], on_change: OnChange) -> None:
        """Begin. There are no others, so nothing is ever delivered."""
        self._on_change = on_change

    async def open(self) -> None:
        """Do nothing: there is no service behind it."""

    async def close(self) -> None:
        """Do nothing, as ``open``."""

    async def stop(self) -> None:
        """Emit what is pending, in order, without waiting for its time; others have turns of the loop in between."""
        more = True
        while more:
            more = self.tell_put_off(CHANGES_PER_TURN) or self._tell_pending() or self._tell_missed()
            await asyncio.sleep(0)

    def restore(
        self,
        changes: Iterable[ChannelVacated | MemberRemoved],
        delay: float,
        ready: Callable[[], bool] | None = None,
    ) -> None:
        """Carry on with what an earlier run knew to be occupied: see ``Restorable``."""
        if self._missed is None:
            self._missed = Missed(self._call_later, self._clock, self._on_change)
        self._missed.add(changes, delay, ready)

    def present(self, app_id: str) -> Iterator[tuple[str, str | None]]:
        """Yield occupied channels and present members: see ``Restorable``."""
        for channel in list(self._channels.get(app_id, ())):
            occupied = self._channels.get(app_id, {}).get(channel)
            if occupied is None:
                continue
            yield channel, None
            connections = occupied.connections or {}
            for user_id in list(connections):
                if user_id in connections:
                    yield channel, user_id
        for pending in (self._put_off, self._pending):
            for key in list(pending):
                if key[0] == app_id and (key in self._pending or key in self._put_off):
                    yield key[1], key[2]

    async def held(self, app_id: str) -> AsyncIterator[tuple[int | None, list[Held]]]:
        """Yield what receivers of webhooks hold to be true: see ``Tells``."""
        held: list[Held] = []
        for channel, user_id in self.present(app_id):
            held.append(Held(channel, user_id, self._info(app_id, channel, user_id)))
            if len(held) >= CHANGES_PER_TURN:
                yield None, held
                held = []
        if self._missed is not None:  # channels first
            missed = sorted(self._missed.of(app_id), key=lambda key: key[2] is not None)
            held += [Held(channel, user_id) for _, channel, user_id in missed]
        for start in range(0, len(held), CHANGES_PER_TURN):
            yield None, held[start : start + CHANGES_PER_TURN]

    def _info(self, app_id: str, channel: str, user_id: str | None) -> str | None:
        occupied = self._channels.get(app_id, {}).get(channel)
        if user_id is not None and occupied is not None and occupied.roster is not None and user_id in occupied.roster:
            return _given(occupied.roster[user_id])
        key = (app_id, channel, user_id)
        pending = self._pending.get(key)
        change = self._put_off.get(key) if pending is None else pending[1]
        return change.user_info if isinstance(change, MemberRemoved) else None

    def put_off(self, waits: Callable[[Source], bool] | None) -> None:
        """Let vacates and removals that are due wait where ``waits`` says so of their source; None: no more.

        They stay pending, so a client that comes back cancels them. ``tell_put_off`` reports those that wait.
        """
        self._waits = waits

    def tell_put_off(self, most: int) -> bool:
        """Tell the oldest changes that were put off; return whether there are more."""
        for _ in range(min(most, len(self._put_off))):
            _, change = self._put_off.popitem(last=False)
            self._on_change(change)
        return bool(self._put_off)

    def join(
        self,
        app_id: str,
        channel: str,
        source: Source,
        member: Member | None,
        max_members: int,
        tell_count: bool,
        done: JoinDone,
    ) -> None:
        """Count one subscription."""
        channels = self._channels.get(app_id)
        occupied = None if channels is None else channels.get(channel)
        if member is not None:
            users = (occupied.roster if occupied else None) or {}
            if len(users) >= max_members and member.user_id not in users:
                done(ChannelFull(max_members))
                return
        if occupied is None:
            occupied = self._channels.setdefault(app_id, {})[channel] = _Occupied(member is not None)
            if not self._cancelled((app_id, channel, None)):
                self._on_change(ChannelOccupied(app_id, channel, source))
        occupied.subscriptions += 1
        if member is None or occupied.roster is None or occupied.connections is None:
            done(Joined(occupied.subscriptions))
            return
        user_id = member.user_id
        before = occupied.connections.get(user_id, 0)
        occupied.connections[user_id] = before + 1
        if before == 0:
            occupied.roster[user_id] = member.user_info
            if not self._cancelled((app_id, channel, user_id)):
                user_info = _given(member.user_info)
                self._on_change(MemberAdded(app_id, channel, user_id, source.socket_id, user_info, source))
        done(Joined(occupied.subscriptions, before == 0, occupied.roster))

    def leave(
        self, app_id: str, channel: str, source: Source, member: Member | None, tell_count: bool, done: LeaveDone
    ) -> None:
        """Undo one join."""
        channels = self._channels[app_id]
        occupied = channels[channel]
        occupied.subscriptions -= 1
        last_of_user = False
        if member is not None and occupied.roster is not None and occupied.connections is not None:
            user_id = member.user_id
            occupied.connections[user_id] -= 1
            if occupied.connections[user_id] == 0:
                last_of_user = True
                del occupied.connections[user_id]
                user_info = _given(occupied.roster.pop(user_id))
                removed = MemberRemoved(app_id, channel, user_id, source.socket_id, user_info, source)
                self._postpone((app_id, channel, user_id), removed)
        if occupied.subscriptions == 0:
            del channels[channel]
            if not channels:
                del self._channels[app_id]
            self._postpone((app_id, channel, None), ChannelVacated(app_id, channel, source))
        done(Left(occupied.subscriptions, last_of_user))

    def sign_in(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignInDone) -> None:
        """Count one signed-in connection. There is no other node on which users have to be watched."""
        users = self._users.setdefault(app_id, {})
        users[user_id] = users.get(user_id, 0) + 1
        done(SignedIn(users[user_id] == 1, frozenset(watched for watched in watchlist if watched in users)))

    def sign_out(self, app_id: str, user_id: str, watchlist: Sequence[str], done: SignOutDone) -> None:
        """Undo one sign_in."""
        users = self._users[app_id]
        users[user_id] -= 1
        last = users[user_id] == 0
        if last:
            del users[user_id]
            if not users:
                del self._users[app_id]
        done(last)

    def publish(self, message: Message) -> None:
        """Do nothing: there is no other node."""

    async def channels(self, app_id: str, prefix: str = "") -> dict[str, ChannelStats]:
        """Return the occupied channels."""
        return {
            name: _stats(occupied)
            for name, occupied in self._channels.get(app_id, {}).items()
            if name.startswith(prefix)
        }

    async def channel(self, app_id: str, channel: str) -> ChannelStats | None:
        """Return the figures of one channel."""
        occupied = self._channels.get(app_id, {}).get(channel)
        return None if occupied is None else _stats(occupied)

    async def members(self, app_id: str, channel: str) -> list[str]:
        """Return the user ids."""
        occupied = self._channels.get(app_id, {}).get(channel)
        return [] if occupied is None or occupied.roster is None else list(occupied.roster)

    async def connections_elsewhere(self, app_id: str) -> int:
        """Return 0: there are no other nodes."""
        return 0

    def healthy(self) -> bool:
        """Return True: there is nothing that could be away."""
        return True

    def _cancelled(self, key: Key) -> bool:
        """Forget the pending change of a member that is back; return whether there was one."""
        if self._pending and self._pending.pop(key, None) is not None:
            return True
        if self._put_off and self._put_off.pop(key, None) is not None:
            return True
        return self._missed is not None and self._missed.back(key)

    def _postpone(self, key: Key, change: Transition) -> None:
        if self._vacate_delay <= 0:
            self._tell(key, change)
            return
        self._pending[key] = (self._clock() + self._vacate_delay, change)
        self._arm(self._vacate_delay)

    def _arm(self, delay: float) -> None:
        if not self._armed:
            self._armed = True
            self._call_later(delay, self._emit_due)

    def _emit_due(self) -> None:
        self._armed = False
        now = self._clock()
        for _ in range(CHANGES_PER_TURN):
            if not self._pending:
                return
            key, (due, change) = next(iter(self._pending.items()))
            if due > now:
                self._arm(due - now)
                return
            del self._pending[key]
            self._tell(key, change)
        if self._pending:
            self._arm(0.0)  # a crowd that was gone at once falls due at once

    def _tell_pending(self) -> bool:
        """Tell some of the pending changes; return whether there are more."""
        for _ in range(min(CHANGES_PER_TURN, len(self._pending))):
            _, (_, change) = self._pending.popitem(last=False)
            self._on_change(change)
        return bool(self._pending)

    def _tell_missed(self) -> bool:
        return self._missed is not None and self._missed.tell_some()

    def _tell(self, key: Key, change: Transition) -> None:
        waits = self._waits
        if waits is None or change.source is None or not waits(change.source):
            self._on_change(change)
            return
        self._put_off[key] = change
        if len(self._put_off) > PUT_OFF_AT_MOST:
            self.tell_put_off(1)


def _nobody(change: Change, stored: Callable[[], None] | None = None) -> None:
    raise RuntimeError("LocalAdapter was used before start()")


def _stats(occupied: _Occupied) -> ChannelStats:
    return ChannelStats(occupied.subscriptions, None if occupied.roster is None else len(occupied.roster))


def _given(user_info: str) -> str | None:
    """Return user_info as changes carry it: None when there is none."""
    return None if user_info == "null" else user_info
