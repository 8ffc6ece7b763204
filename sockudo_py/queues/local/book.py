"""The books of a queue that lives in one process: what waits, is leased, or is delayed, in plain memory.

Shared by the drivers ``memory`` and ``sqlite``. Pure and synchronous: times are integers, milliseconds of a clock that
never jumps; dead jobs and duplicates are the driver's own matter.
"""

import heapq
import itertools
import secrets
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sockudo_py.queues import jobs
from sockudo_py.queues.base import LaneDepth, LanePolicy
from sockudo_py.queues.local.classes import CLASSES, FAST, PROBATION, SlotPolicy
from sockudo_py.queues.local.lanes import Entry, Fresh, Lane, Lanes

_NEVER = sys.maxsize
_READER = "reader"  # in place of a worker, for all that read lanes


class Lease:
    """A job in flight."""

    __slots__ = ("deadline", "entry", "standing", "worker")

    def __init__(self, entry: Entry, worker: str, deadline: int, standing: int) -> None:
        self.entry = entry
        self.worker = worker
        self.deadline = deadline
        self.standing = standing  # of its lane, when it was claimed


@dataclass(slots=True, eq=False)
class Moved:
    """Jobs that time has moved: whose lease expired, expired too often, or whose delay is over."""

    returned: list[Entry] = field(default_factory=list)
    poisoned: list[Entry] = field(default_factory=list)
    due: list[Entry] = field(default_factory=list)


class LeaseBook:
    """Lanes, leases and delayed jobs.

    Args:
        shares: How many jobs of each class of lanes a worker may hold.
        max_crashes: A job whose lease expired more often than this is poison.
        default: The policy of a lane that has none.
    """

    def __init__(self, shares: SlotPolicy, max_crashes: int, default: LanePolicy) -> None:
        self.lanes = Lanes(default)
        self.active: dict[str, Lease] = {}
        self.delayed: list[tuple[int, int, Entry]] = []
        self._shares = shares
        self._max_crashes = max_crashes
        self._held: dict[str, list[int]] = {}  # worker -> its leases, by class
        self._serial = itertools.count(1)
        self._expires = _NEVER  # no lease ends before
        self._boot = secrets.token_hex(4)  # so that a token of an earlier process is never one of this

    @property
    def held(self) -> int:
        """How many jobs and events there are, in flight or not."""
        return self.lanes.waiting + len(self.delayed) + len(self.active)

    def set_policy(self, endpoint: str, policy: LanePolicy, now: int) -> None:
        """Set how a lane behaves."""
        lane = self.lanes[endpoint]
        lane.adopt(policy)
        self.lanes.settle(lane, now)

    def set_paused(self, endpoint: str, paused: bool, now: int) -> None:
        """Pause or resume a lane."""
        lane = self.lanes[endpoint]
        lane.paused = paused
        self.lanes.settle(lane, now)

    def paused(self) -> list[str]:
        """Return the endpoints whose lanes are paused."""
        return [lane.endpoint for lane in self.lanes if lane.paused]

    def gate(self, endpoint: str, until: int, now: int) -> None:
        """Close a lane until then; a time that has passed opens it."""
        lane = self.lanes[endpoint]
        lane.gate = until
        self.lanes.settle(lane, now)

    def tick(self, now: int) -> Moved:
        """Take back expired leases, and let delayed jobs that are due into their lanes."""
        moved = Moved()
        if now >= self._expires:
            self._take_back(moved, now)
        while self.delayed and self.delayed[0][0] <= now:
            entry = heapq.heappop(self.delayed)[2]
            self.lanes.hold(self.lanes[entry.endpoint], -1)
            moved.due.append(entry)
            self.lanes.put(entry, now, head=False)
        return moved

    def _take_back(self, moved: Moved, now: int) -> None:
        overdue = [token for token, lease in self.active.items() if lease.deadline <= now]
        overdue.sort(key=lambda token: self.active[token].deadline)
        for token in reversed(overdue):  # the one that expired first goes to the head last
            entry, lane = self._unlease(token, now)
            lane.used = 0  # by a worker that died: the endpoint is not to blame
            entry.crashes += 1
            if entry.crashes > self._max_crashes:
                moved.poisoned.append(entry)
                self.lanes.settle(lane, now)
            else:
                moved.returned.append(entry)
                self.lanes.put(entry, now, head=True)
        self._expires = min((lease.deadline for lease in self.active.values()), default=_NEVER)

    def claim(self, worker: str, limit: int, lease_ms: int, now: int) -> list[tuple[str, Entry]]:
        """Lease up to ``limit`` jobs, in turn; returns tokens and jobs."""
        claims: list[tuple[str, Entry]] = []
        held = self._held.setdefault(worker, [0] * CLASSES)
        heaps = self.lanes.heaps
        for classes, most in self._shares.turns:
            if len(classes) == 1 and not heaps[classes[0]]:
                continue
            while len(claims) < limit and (lane := self._next(classes, held, most, now)) is not None:
                claim = self._take(lane, worker, now, lease_ms, lane.standing[0])
                if claim is not None:
                    claims.append(claim)
        return claims

    def claim_lane(
        self, endpoint: str, limit: int, lease_ms: int, now: int, size: int | None
    ) -> tuple[list[tuple[str, Entry]], list[Entry]]:
        """Take back what is leased of a lane, and lease its first ``limit`` jobs, as ``ServesLanes`` says.

        Returns tokens and jobs, and the jobs that are leased no longer.
        """
        lane = self.lanes[endpoint]
        before = [token for token, lease in self.active.items() if lease.entry.endpoint == endpoint]
        back = [entry for token in reversed(before) if (entry := self.release(token, now)) is not None]
        claims: list[tuple[str, Entry]] = []
        while len(claims) < limit and (entry := self.lanes.pop(lane, size)) is not None:
            entry.crashes = 0
            token = f"{_READER}-{self._boot}:{next(self._serial)}"
            self.active[token] = Lease(entry, _READER, now + lease_ms, FAST)
            self._held.setdefault(_READER, [0] * CLASSES)[FAST] += 1
            lane.fly(1, now)
            claims.append((token, entry))
        if claims:
            self._expires = min(self._expires, now + lease_ms)
        self.lanes.settle(lane, now)
        leased = {id(entry) for _, entry in claims}
        return claims, [entry for entry in back if id(entry) not in leased]

    def finish(self, token: str, now: int, good: bool | None) -> Entry | None:
        """End the lease of a job that was tried, and return the job; None when the lease is gone.

        ``good``: raise (True) or cut (False) the lane's allowance; None: leave it.
        """
        if token not in self.active:
            return None
        entry, lane = self._unlease(token, now)
        if good is not None:
            lane.judge(good)
        self.lanes.settle(lane, now, first=lane.measure())
        return entry

    def deliver(self, tokens: Iterable[str], now: int) -> dict[str, Entry | None]:
        """``finish`` jobs that were delivered and return them by token. Each lane is listed anew once, at the end."""
        ended: dict[str, Entry | None] = {}
        lanes: dict[Lane, bool] = {}
        for token in tokens:
            if token not in self.active:
                ended.setdefault(token, None)
                continue
            ended[token], lane = self._unlease(token, now)
            lane.judge(True)
            faster = lane.measure()
            lanes[lane] = faster or lanes.get(lane, False)
        for lane, faster in lanes.items():
            self.lanes.settle(lane, now, first=faster)
        return ended

    def end(self, token: str, now: int) -> Entry | None:
        """End the lease of a job that was not tried, and return the job; None when the lease is gone."""
        if token not in self.active:
            return None
        entry, lane = self._unlease(token, now)
        self.lanes.settle(lane, now)
        return entry

    def delay(self, entry: Entry, due: int, now: int) -> bool:
        """Let a job wait until ``due``. Returns False when it waits in its lane: at the head, if that is ordered."""
        lane = self.lanes[entry.endpoint]
        if lane.policy.ordered:
            lane.gate = max(lane.gate, due)
            self.lanes.put(entry, now, head=True)
            return False
        heapq.heappush(self.delayed, (due, next(self._serial), entry))
        self.lanes.hold(lane, 1)
        return True

    def release(self, token: str, now: int, away_ms: int = 0) -> Entry | None:
        """Give a job that was not tried back to the head of its lane, and close that for a while."""
        entry = self.end(token, now)
        if entry is not None:
            lane = self.lanes[entry.endpoint]
            lane.unnote_claim(token)
            if away_ms:
                lane.gate = max(lane.gate, now + away_ms)
            self.lanes.put(entry, now, head=True)
        return entry

    def renew(self, tokens: Sequence[str], deadline: int) -> set[str]:
        """Extend leases; return the tokens whose lease is gone."""
        for token in tokens:
            if token in self.active:
                self.active[token].deadline = deadline
        self._expires = min(self._expires, deadline)
        return {token for token in tokens if token not in self.active}

    def take_all(self, endpoint: str, now: int) -> list[Entry]:
        """Take every waiting and delayed job of an endpoint out of the books; gathered events come merged."""
        lane = self.lanes[endpoint]
        taken: list[Entry] = []
        while (entry := self.lanes.pop(lane)) is not None:
            taken.append(entry)
        self.lanes.settle(lane, now)
        delayed = [entry for _, _, entry in sorted(self.delayed, key=_due_first) if entry.endpoint == endpoint]
        self.lanes.hold(lane, -len(delayed))
        taken += delayed
        self.delayed = [item for item in self.delayed if item[2].endpoint != endpoint]
        heapq.heapify(self.delayed)
        return taken

    def next_due(self, worker: str, now: int) -> int | None:
        """Return in how many ms a claim of this worker may find something; None while nothing is in sight."""
        dues = [self._expires] if self.active else []  # it may be too early: a lease was renewed, or has ended
        if self.delayed:
            dues.append(self.delayed[0][0])
        held = self._held.get(worker, [0] * CLASSES)
        for standing, heap in enumerate(self.lanes.heaps):
            turn = self.lanes.first(standing) if heap else None
            if turn is not None and self._shares.may(held, standing):
                dues.append(turn[0])
        return max(0, min(dues) - now) if dues else None

    def depth(self, endpoint: str, now: int) -> LaneDepth:
        """Return what a lane holds."""
        lane = self.lanes.find(endpoint)
        if lane is None:
            return LaneDepth(endpoint, 0, 0)
        gate = max(0, lane.gate - now)
        return LaneDepth(endpoint, len(lane), lane.in_flight, gate, lane.pace or 0, max(0, lane.held - len(lane)))

    def deepest(self, number: int, now: int, wall: int) -> tuple[int, tuple[LaneDepth, ...]]:
        """Return the age in ms, at the time ``wall``, of the oldest entry of lanes that go on, and the deepest."""
        busy = sorted((lane for lane in self.lanes if len(lane)), key=len, reverse=True)
        open_ = (lane for lane in busy if not lane.paused)
        oldest = min((_created(entry) for lane in open_ for entry in _heads(lane)), default=wall)
        return max(0, wall - oldest), tuple(
            LaneDepth(lane.endpoint, len(lane), lane.in_flight, max(0, lane.gate - now), lane.pace or 0)
            for lane in busy[:number]
        )

    def _next(self, classes: Sequence[int], held: Sequence[int], most: int, now: int) -> Lane | None:
        """Return the lane of these classes whose turn it is, for a worker with ``held`` jobs of each class."""
        best: tuple[int, int, Lane] | None = None
        for standing in classes:
            turn = self.lanes.first(standing)
            if turn is None or turn[0] > now or (best is not None and best < turn):
                continue
            if held[standing] < most and self._shares.may(held, standing):
                best = turn
        return None if best is None else best[2]

    def _take(self, lane: Lane, worker: str, now: int, lease_ms: int, standing: int) -> tuple[str, Entry] | None:
        until = lane.limited(now) if lane.limits else 0
        if until:
            lane.gate = until
            self.lanes.settle(lane, now, rotate=True)
            return None
        entry = self.lanes.pop(lane)
        if entry is None:
            raise AssertionError("a lane without jobs was listed")
        token = f"{worker}-{self._boot}:{next(self._serial)}"
        self.active[token] = Lease(entry, worker, now + lease_ms, standing)
        self._expires = min(self._expires, now + lease_ms)
        self._held[worker][standing] += 1
        if standing <= PROBATION:
            lane.try_out()
        lane.fly(1, now)
        lane.gate = 0
        if lane.limits:
            lane.note_claim(now, token)
        self.lanes.settle(lane, now, rotate=True)
        return token, entry

    def _unlease(self, token: str, now: int) -> tuple[Entry, Lane]:
        lease = self.active.pop(token)
        lane = self.lanes[lease.entry.endpoint]
        lane.fly(-1, now)
        held = self._held[lease.worker]
        held[lease.standing] -= 1
        if not any(held):
            del self._held[lease.worker]
        return lease.entry, lane


def _due_first(item: tuple[int, int, Entry]) -> tuple[int, int]:
    return item[:2]


def _heads(lane: Lane) -> list[Fresh]:
    return [entries[0] for entries in (lane.ready, lane.fresh) if entries]


def _created(entry: Fresh) -> int:
    return jobs.created_ms(entry.text) if isinstance(entry, Entry) else entry.created_ms
