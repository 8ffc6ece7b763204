"""Lanes: who may be claimed next. The rules of fairness for the drivers that keep their lanes in this process.

Pure: times are integers, milliseconds of whatever clock the driver has. ``lua/queue_*.lua`` say the same for Redis; the
state machine in ``tests/properties/test_queue.py`` keeps both in step.
"""

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from weakref import WeakValueDictionary

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, FreshJob, LanePolicy
from sockudo_py.queues.local.classes import CLASSES, FAST, NEW, PROBATION, class_of, smoothed

_HOUR = 3_600_000


class Entry:
    """A job text, with the ``row`` of a store that it lies in.

    ``gathered`` is how many entries of the lane it was merged from (1: none). As long as the store has not merged them
    as well, ``spare`` has the rows of the others, or ``packs`` what is to be changed there (``sqlite/packs.py``).
    ``crashes`` counts lease expiries in a row. ``own`` and ``fresh`` are as in ``Claim``.
    """

    __slots__ = ("crashes", "endpoint", "fresh", "gathered", "own", "packs", "row", "solo", "spare", "text")

    def __init__(self, endpoint: str, text: bytes, row: int = 0, solo: bool = False) -> None:
        self.endpoint = endpoint
        self.text = text
        self.row = row
        self.solo = solo
        self.crashes = 0
        self.gathered = 1
        self.spare: tuple[int, ...] = ()
        self.packs: tuple[tuple[int, int], ...] = ()
        self.own = 0
        self.fresh: FreshJob | None = None

    @property
    def event(self) -> bytes:
        """The only event of a fresh job."""
        return jobs.event_of(self.text)


Fresh = Append | Entry  # an event to gather: as it was appended, or as a driver's store keeps it
_EVENT: Callable[[Fresh], bytes] = attrgetter("event")
_SOLO: Callable[[Fresh], bool] = attrgetter("solo")
_OWN: Callable[[Fresh], int] = attrgetter("own")


class App:
    """What the lanes of one app hold together."""

    __slots__ = ("__weakref__", "held", "id")

    def __init__(self, app_id: str | None) -> None:
        self.id = app_id
        self.held = 0


class Lane:
    """The jobs of one endpoint that wait, and how many of its jobs may be in flight.

    ``held``: how many it holds, those that are delayed included. ``standing``: its class, and how many of its jobs may
    be in flight.
    """

    __slots__ = (
        "allowance",
        "app",
        "claimed",
        "endpoint",
        "fresh",
        "gate",
        "held",
        "in_flight",
        "limits",
        "listed",
        "pace",
        "paused",
        "policy",
        "ready",
        "since",
        "standing",
        "used",
        "window",
    )

    def __init__(self, endpoint: str, policy: LanePolicy) -> None:
        self.endpoint = endpoint
        self.app = App(None)  # a placeholder, until an event names the app
        self.held = 0
        self.ready: deque[Entry] = deque()  # whole jobs, next one left
        self.fresh: deque[Fresh] = deque()  # gathered events, oldest left
        self.window = 0  # when gathering ends
        self.gate = 0  # nothing is claimed before
        self.in_flight = 0
        self.allowance: int | None = None  # None: never tried
        self.pace: int | None = None  # slot time of an attempt, lately, in ms
        self.adopt(policy)
        self.used = 0  # slot time since the last attempt ended
        self.since = 0  # when that was brought up to date
        self.paused = False
        self.claimed: deque[tuple[int, str]] = deque()  # time and token, as far back as rate limits look
        self.listed: tuple[int, int, int] | None = None  # class, due, serial

    def __len__(self) -> int:
        return len(self.ready) + len(self.fresh)

    def adopt(self, policy: LanePolicy) -> None:
        """Set the policy of the lane."""
        self.policy = policy
        rates = ((1000, policy.per_second), (60_000, policy.per_minute), (_HOUR, policy.per_hour))
        self.limits = tuple((window, most) for window, most in rates if most is not None)
        self._rank()

    def _rank(self) -> None:
        """Set ``standing``: it is asked for several times for each job, and changes with policy, allowance and pace."""
        self.standing = self._standing()

    def _standing(self) -> tuple[int, int]:
        most = 1 if self.policy.ordered else self.policy.max_in_flight
        if not self.policy.slow_start:
            return FAST, most
        if self.allowance is None:
            return NEW, 1
        if self.allowance <= 1:
            return PROBATION, 1
        return class_of(self.pace or 0), min(self.allowance, most)

    def judge(self, good: bool) -> None:
        """Raise the allowance by one, or halve it."""
        if not self.policy.slow_start:
            return
        allowance = self.allowance or 1
        if good:
            most = 1 if self.policy.ordered else self.policy.max_in_flight
            now = min(allowance + 1, max(2, most))  # two is "trusted", also where only one may fly
        else:
            now = max(1, allowance // 2)
        if now != self.allowance:
            self.allowance = now
            self._rank()

    def try_out(self) -> None:
        """Let one job of a lane that was never tried be in flight."""
        self.allowance = self.allowance or 1
        self._rank()

    def fly(self, number: int, now: int) -> None:
        """Count jobs that are in flight from now on (below zero: no longer), and the slot time that has gone by."""
        self.used += self.in_flight * max(0, now - self.since)
        self.since = now
        self.in_flight += number

    def measure(self) -> bool:
        """Set the pace after an attempt. Return whether that was much faster than usual."""
        before = self.pace
        faster = before is not None and 2 * self.used < before
        self.used, used = 0, self.used
        pace = smoothed(before, used)
        if pace != before:
            self.pace = pace
            self._rank()
        return faster

    def opens(self) -> int | None:
        """Return from when on the lane can be claimed; None while there is nothing to claim, or no room for it."""
        if self.paused or not len(self) or self.in_flight >= self.standing[1]:
            return None
        if self.ready or len(self.fresh) >= self.policy.size:
            return self.gate
        return max(self.gate, self.window)

    def limited(self, now: int) -> int:
        """Return until when the rate limits keep the lane closed; 0 when they let one more claim pass."""
        until = 0
        for window, most in self.limits:
            if len(self.claimed) >= most and self.claimed[-most][0] > now - window:
                until = max(until, self.claimed[-most][0] + window)
        return until

    def note_claim(self, now: int, token: str) -> None:
        """Count a claim for the lane's rate limit."""
        while self.claimed and self.claimed[0][0] <= now - self.limits[-1][0]:
            self.claimed.popleft()
        self.claimed.append((now, token))

    def unnote_claim(self, token: str) -> None:
        """Give back a claim that was not used."""
        if self.claimed:
            self.claimed = deque(claim for claim in self.claimed if claim[1] != token)

    def pop(self, most: int | None = None) -> Entry | None:
        """Take the next job out of the lane: a whole one, or what has gathered, merged: at most ``most`` events."""
        if self.ready:
            return self.ready.popleft()
        if not self.fresh:
            return None
        size = self.policy.size
        return _merged(*self._gather(size if most is None else min(size, most)))

    def _gather(self, size: int) -> tuple[list[Fresh], list[bytes]]:
        """Take the events out of the lane that go together; return them, and their texts if there are several."""
        fresh, most = self.fresh, self.policy.max_bytes
        if size == 1 or len(fresh) == 1 or fresh[0].solo:  # its text is not looked at: it may be poison
            return [fresh.popleft()], []
        gathered = list(islice(fresh, size))
        texts = list(map(_EVENT, gathered))
        if any(map(_SOLO, gathered)) or sum(map(len, texts)) + len(texts) - 1 > most:
            room = most - len(texts[0])
            count = 1
            while count < len(gathered) and not gathered[count].solo:
                room -= len(texts[count]) + 1
                if room < 0:
                    break
                count += 1
            del gathered[count:], texts[count:]
        if len(gathered) == len(fresh):
            fresh.clear()
        else:
            for _ in gathered:
                fresh.popleft()
        return gathered, texts


def _merged(gathered: list[Fresh], texts: list[bytes]) -> Entry:
    first = gathered[0]
    if isinstance(first, Entry):
        if len(gathered) > 1:
            first.text = jobs.merge(first.text, texts[1:])
            first.spare = tuple(one.row for one in gathered[1:] if isinstance(one, Entry))
        entry = first
    else:
        made = jobs.fresh(first, texts or (first.event,))
        entry = Entry(first.endpoint, jobs.encode_fresh(made), solo=first.solo)
        if first.own if len(gathered) == 1 else all(map(_OWN, gathered)):
            entry.own, entry.fresh = len(gathered), made
    entry.gathered = len(gathered)
    return entry


class Lanes:
    """All lanes, and the list of lanes that can be claimed from, in the order of their turns."""

    def __init__(self, default: LanePolicy) -> None:
        self._default = default
        self._lanes: dict[str, Lane] = {}
        self._apps: WeakValueDictionary[str, App] = WeakValueDictionary()
        # By class; ``first`` says what holds. An empty one needs no check.
        self.heaps: tuple[list[tuple[int, int, Lane]], ...] = tuple([] for _ in range(CLASSES))
        self._serial = 0
        self.waiting = 0  # entries in all lanes

    def __getitem__(self, endpoint: str) -> Lane:
        lane = self._lanes.get(endpoint)
        if lane is None:
            lane = self._lanes[endpoint] = Lane(endpoint, self._default)
        return lane

    def find(self, endpoint: str) -> Lane | None:
        """Return a lane if it is there."""
        return self._lanes.get(endpoint)

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def append(self, entry: Entry, now: int) -> int | None:
        """Add a fresh event. Returns when its lane opens, if that is news."""
        return self.extend(entry.endpoint, (entry,), now)

    def extend(self, endpoint: str, events: Sequence[Fresh], now: int) -> int | None:
        """Add fresh events of one endpoint. Returns when its lane opens, if that is news."""
        lane = self[endpoint]
        before = len(lane.fresh)
        lane.fresh.extend(events)
        self._count(lane, len(events))
        if before == 0:
            lane.window = now + round(lane.policy.window * 1000)
        if before == 0 or before < lane.policy.size <= len(lane.fresh):
            return self.settle(lane, now)
        return None

    def put(self, entry: Entry, now: int, *, head: bool) -> None:
        """Add a whole job at the head or the tail of its lane."""
        lane = self[entry.endpoint]
        entry.gathered = 1  # whole from now on
        if head:
            lane.ready.appendleft(entry)
        else:
            lane.ready.append(entry)
        self._count(lane, 1)
        self.settle(lane, now)

    def pop(self, lane: Lane, most: int | None = None) -> Entry | None:
        """Take the next job out of a lane, made of at most ``most`` events where it is new."""
        entry = lane.pop(most)
        if entry is not None:
            self._count(lane, -entry.gathered)
        return entry

    def remove(self, lane: Lane, gone: Collection[Entry], now: int) -> None:
        """Take these entries out of a lane, as far as they are in it and have not been merged."""
        before = len(lane)
        lane.ready = deque(entry for entry in lane.ready if entry not in gone)
        lane.fresh = deque(entry for entry in lane.fresh if entry not in gone)
        self._count(lane, len(lane) - before)
        self.settle(lane, now)

    def hold(self, lane: Lane, number: int) -> None:
        """Count delayed jobs of a lane (below zero: that are no longer delayed)."""
        lane.held += number
        lane.app.held += number

    def _count(self, lane: Lane, number: int) -> None:
        self.waiting += number
        lane.held += number
        lane.app.held += number

    def owned(self, endpoint: str, app_id: str) -> Lane:
        """Return the lane of an endpoint, which is of this app."""
        lane = self[endpoint]
        if lane.app.id != app_id:
            app = self._apps.get(app_id)
            if app is None:
                app = self._apps[app_id] = App(app_id)
            lane.app.held -= lane.held
            lane.app = app
            app.held += lane.held
        return lane

    def forget(self, endpoint: str, now: int) -> None:
        """Forget policy, allowance and pause of a lane; jobs in flight still come back to it."""
        lane = self._lanes.pop(endpoint, None)
        if lane is None:
            return
        lane.listed = None
        if lane.in_flight or lane.held:
            anew = self[endpoint]
            anew.since = now
            anew.in_flight, anew.held, anew.app = lane.in_flight, lane.held, lane.app
            anew.ready, anew.fresh, anew.window = lane.ready, lane.fresh, lane.window
            self.settle(anew, now)

    def settle(self, lane: Lane, now: int, *, rotate: bool = False, first: bool = False) -> int | None:
        """List a lane where it belongs now; returns when it is due.

        One that was due already keeps its turn, unless ``rotate``: it has had one. ``first``: before all others.
        """
        opens = lane.opens()
        if opens is None:
            lane.listed = None
            return None
        standing = lane.standing[0]
        listed = lane.listed
        if listed is not None and listed[0] == standing and not (rotate or first) and opens <= now and listed[1] <= now:
            return listed[1]
        due = max(opens, 0 if first else now)
        self._serial += 1
        lane.listed = (standing, due, self._serial)
        heap = self.heaps[standing]
        heapq.heappush(heap, (due, self._serial, lane))
        if len(heap) > 4 * len(self._lanes) + 100:  # mostly listings that hold no more
            heap[:] = [item for item in heap if item[2].listed == (standing, item[0], item[1])]
            heapq.heapify(heap)
        return due

    def first(self, standing: int) -> tuple[int, int, Lane] | None:
        """Return due time, place among those of that time, and lane of the next turn in a class; None without one."""
        heap = self.heaps[standing]
        while heap:
            due, serial, lane = heap[0]
            if lane.listed == (standing, due, serial):
                return heap[0]
            heapq.heappop(heap)
        return None
