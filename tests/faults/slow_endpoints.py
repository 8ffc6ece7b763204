"""A worker's slots beside hung and slow endpoints, simulated: the books of a queue, with time as a number.

``python -m tests.faults.slow_endpoints`` prints the figures of docs/decisions/0010. All endpoints begin at once; what
happens in the first WARM_UP seconds is not counted.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sockudo_py.queues import jobs
from sockudo_py.queues.base import Append, LanePolicy
from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.classes import SlotPolicy
from sockudo_py.queues.local.lanes import Entry
from tests.faults.harness import percentile

SLOTS = 80
SECONDS, WARM_UP = 60.0, 15.0
FAST = 0.02  # seconds
TIMEOUT = 10.0
RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0)
POLICY = LanePolicy(window=0.0, size=1)
GOOD = "wh_good"

Behaviour = Callable[[int], float]  # number of the attempt -> seconds that it takes; TIMEOUT or more: it fails


def steady(takes: float) -> Behaviour:
    """An endpoint whose answers always take this long."""
    return lambda attempt: takes


def now_and_then(slow: float, every: int) -> Behaviour:
    """An endpoint that is fast, but for one in ``every`` attempts."""
    return lambda attempt: slow if attempt % every == 0 else FAST


def in_turns(slow: float, length: int) -> Behaviour:
    """An endpoint that is fast for ``length`` attempts, then slow for as many."""
    return lambda attempt: slow if attempt // length % 2 else FAST


@dataclass(frozen=True, slots=True)
class Crowd:
    """``number`` endpoints alike, each with ``rate`` events a second."""

    number: int
    behaviour: Behaviour
    rate: float = 5.0


@dataclass(slots=True)
class Figures:
    """Waits of the healthy endpoint, event to answer, in seconds, and how many deliveries the crowds got done."""

    waits: list[float] = field(default_factory=list)
    done: int = 0

    @property
    def p99(self) -> float:
        """What one in a hundred exceeds."""
        return percentile(self.waits, 0.99)

    def __str__(self) -> str:
        return f"p50 {percentile(self.waits, 0.5) * 1000:,.0f} ms, p99 {self.p99 * 1000:,.0f} ms, others {self.done}"


def simulate(
    crowds: Sequence[Crowd],
    *,
    takes: float = FAST,
    rate: float = 50.0,
    seconds: float = SECONDS,
    book: Callable[[], LeaseBook] = lambda: LeaseBook(SlotPolicy(SLOTS, 0.5), 5, POLICY),
) -> Figures:
    """Return what an endpoint sees beside these crowds that takes this long and gets ``rate`` events a second.

    What never came counts with the time that it has waited.
    """
    endpoints = {GOOD: Crowd(1, steady(takes), rate)}
    for at, crowd in enumerate(crowds):
        endpoints |= {f"wh_{at}_{number}": crowd for number in range(crowd.number)}
    return _Run(endpoints, book(), round(seconds * 1000)).figures()


class _Run:
    def __init__(self, endpoints: dict[str, Crowd], book: LeaseBook, end: int) -> None:
        self._endpoints = endpoints
        self._book = book
        self._end = end
        self._dice = random.Random(1)
        self._serial = itertools.count()
        self._agenda: list[tuple[int, int, Callable[[int], None]]] = []
        self._attempts = {uid: self._dice.randrange(1000) for uid in endpoints}
        self._tries: dict[str, int] = {}
        self._waiting: dict[str, int] = {}  # events of the healthy endpoint that have not come -> ms of their birth
        self._figures = Figures()

    def figures(self) -> Figures:
        for uid in self._endpoints:
            self._next_event(uid, 0)
        while self._agenda[0][0] <= self._end:
            now = self._agenda[0][0]
            while self._agenda[0][0] == now:
                heapq.heappop(self._agenda)[2](now)
            self._book.tick(now)
            for token, entry in self._book.claim("w", SLOTS - len(self._book.active), 10**9, now):
                self._begin(token, entry, now)
        self._figures.waits += [(self._end - born) / 1000 for born in self._waiting.values()]
        return self._figures

    def _at(self, ms: float, what: Callable[[int], None]) -> None:
        heapq.heappush(self._agenda, (round(ms), next(self._serial), what))

    def _next_event(self, uid: str, now: int) -> None:
        gap = 1000 / self._endpoints[uid].rate
        self._at(
            now + max(1, gap if uid == GOOD else self._dice.expovariate(1 / gap)), lambda now: self._event(uid, now)
        )

    def _event(self, uid: str, now: int) -> None:
        ident = f"e{next(self._serial)}"
        self._book.lanes.append(Entry(uid, jobs.encode_event(Append(ident, uid, "app", b"{}", now))), now)
        if uid == GOOD and now >= WARM_UP * 1000:
            self._waiting[ident] = now
        self._next_event(uid, now)

    def _begin(self, token: str, entry: Entry, now: int) -> None:
        attempt = self._attempts[entry.endpoint]
        self._attempts[entry.endpoint] += 1
        took = min(TIMEOUT, self._endpoints[entry.endpoint].behaviour(attempt))
        self._at(now + took * 1000, lambda now: self._finish(token, entry, took, now))

    def _finish(self, token: str, entry: Entry, took: float, now: int) -> None:
        good = took < TIMEOUT
        if self._book.finish(token, now, good) is None:
            raise AssertionError("a lease is gone")
        ident = jobs.decode(entry.text).id
        tries = self._tries.pop(ident, 0)
        if ident in self._waiting:
            self._figures.waits.append((now - self._waiting.pop(ident)) / 1000)
        elif good:
            self._figures.done += entry.endpoint != GOOD and now >= WARM_UP * 1000
        elif tries < len(RETRIES):
            self._tries[ident] = tries + 1
            due = now + round(RETRIES[tries] * 1000)
            self._book.delay(entry, due, now)
            self._at(due, lambda now: None)


# What the rule promises: a healthy endpoint does not feel these.
HARMLESS: dict[str, Sequence[Crowd]] = {
    "nobody else": (),
    "200 that hang": (Crowd(200, steady(TIMEOUT)),),
    "20 of 9.9 s": (Crowd(20, steady(9.9)),),
    "200 of 9.9 s": (Crowd(200, steady(9.9)),),
    "60 of 1 s": (Crowd(60, steady(1.0)),),
    "60 of 0.9 s": (Crowd(60, steady(0.9)),),
    "200 of 0.9 s": (Crowd(200, steady(0.9)),),
    "200 of 0.2 s": (Crowd(200, steady(0.2)),),
    "20 that hang, 20 of 5 s": (Crowd(20, steady(TIMEOUT)), Crowd(20, steady(5.0))),
    "200 each: hang, 5, 0.9, 0.2 s": tuple(Crowd(200, steady(takes)) for takes in (TIMEOUT, 5.0, 0.9, 0.2)),
    "60, every 2nd answer 9.9 s": (Crowd(60, now_and_then(9.9, 2)),),
    "60, every 20th answer 2 s": (Crowd(60, now_and_then(2.0, 20)),),
}
# What it only bounds: see docs/webhooks/operation.md, known limits.
HARMFUL: dict[str, Sequence[Crowd]] = {
    "60, every 2nd hangs": (Crowd(60, now_and_then(TIMEOUT, 2)),),
    "60, every 20th answer 9.9 s": (Crowd(60, now_and_then(9.9, 20)),),
    "60, in turns 50 fast, 50 of 5 s": (Crowd(60, in_turns(5.0, 50)),),
}


if __name__ == "__main__":
    for name, crowds in (HARMLESS | HARMFUL).items():
        print(f"{name}: {simulate(crowds)}", flush=True)  # noqa: T201
