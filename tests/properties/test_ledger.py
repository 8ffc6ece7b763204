"""Crashes at every point, endpoints without room, calls without an answer: each end is told to each endpoint once.

The queue here forgets at a crash which ids it has taken, as one does that stays down for longer than it remembers them:
what holds does not hang on deduplication. Only while there is a spool file does it remember.
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sockudo_py.queues.base import Append, LedgerEntry, Occupancy
from sockudo_py.queues.ledger import written
from sockudo_py.webhooks.intake.ledger import Key, Ledger, ended_by

# Which endpoints want to hear of beginnings and of ends.
BEGINS = {"both": True, "ends": False, "begins": True, "more": True}
ENDS = {"both": True, "ends": True, "begins": False, "more": True}
ENDPOINTS = tuple(BEGINS)
KEYS: tuple[Key, ...] = (("app", "a", None), ("app", "presence-b", None), ("app", "presence-b", "ann"))


class Store:
    """What survives: the rows, and what was appended, in order."""

    def __init__(self) -> None:
        self.rows: dict[str, Occupancy] = {}
        self.taken: list[Append] = []
        self.seen: set[str] = set()

    def append(self, events: list[Append], entries: list[LedgerEntry], full: set[str]) -> list[Append]:
        """Carry out a call; return what is refused: all that comes for the endpoints that are full."""
        refused = [event for event in events if event.id not in self.seen and event.endpoint in full]
        for event in events:
            if event.id not in self.seen and event.endpoint not in full:
                self.seen.add(event.id)
                self.taken.append(event)
        there, gone = written(entries, refused)
        self.rows.update({occupancy.id: occupancy for occupancy in there})
        for ident in gone:
            self.rows.pop(ident, None)
        return refused


class Runs(RuleBasedStateMachine):
    """Runs of one server, one after the other, each but the last ended by a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.number = 0
        self.runs = 0
        self.file: list[Append] = []
        self.start()

    # -- the server

    def start(self) -> None:
        """Begin a run. Who is missed is in ``missed`` until it is back or its time is over."""
        self.runs += 1
        self.there: set[Key] = set()
        self.missed: set[Key] = set()
        self.spool: dict[str, list[Append]] = {endpoint: [] for endpoint in ENDPOINTS}
        self.hand: tuple[list[Append], list[LedgerEntry]] | None = None
        if not self.file:
            self.store.seen = set()
        self.ledger = Ledger(self.runs)
        self.ledger.inherit(self.store.rows.values())
        for event in self.file:
            self.ledger.replayed(event)
            self.spool[event.endpoint].append(event)
        missed, owed = self.ledger.settle(lambda key: [one for one in ENDPOINTS if ENDS[one]])
        for occupancy in missed:
            self.missed.add((occupancy.app_id, occupancy.channel, occupancy.user_id))
        for occupancy, endpoint, ident in owed:
            self.put(ident, endpoint, occupancy.channel, occupancy.user_id, "over")

    def put(self, ident: str, endpoint: str, channel: str, user_id: str | None, what: str) -> None:
        text = f"{what} {channel} {user_id}".encode()
        self.spool[endpoint].append(Append(ident, endpoint, "app", text, 1))

    @rule(key=st.sampled_from(KEYS))
    def come(self, key: Key) -> None:
        if key in self.there:
            return
        self.there.add(key)
        if key in self.missed:
            self.missed.discard(key)
            return
        wanting = [one for one in ENDPOINTS if BEGINS[one]]
        self.number += 1
        ids = [f"b{self.number}_{endpoint}" for endpoint in wanting]
        self.ledger.begin(key, "1.1", ids)
        for ident, endpoint in zip(ids, wanting, strict=True):
            self.put(ident, endpoint, key[1], key[2], "there")

    @rule(key=st.sampled_from(KEYS))
    def go(self, key: Key) -> None:
        if key in self.there:
            self.there.discard(key)
            self.over(key)

    @rule(key=st.sampled_from(KEYS))
    def time_is_over(self, key: Key) -> None:
        if key in self.missed:
            self.missed.discard(key)
            self.over(key)

    def over(self, key: Key) -> None:
        wanting = [one for one in ENDPOINTS if ENDS[one]]
        ids = self.ledger.end(key, wanting)
        assert ids is not None
        for ident, endpoint in zip(ids, wanting, strict=True):
            self.put(ident, endpoint, key[1], key[2], "over")

    @rule(
        counts=st.fixed_dictionaries({endpoint: st.integers(0, 3) for endpoint in ENDPOINTS}),
        full=st.sets(st.sampled_from(ENDPOINTS)),
        outcome=st.sampled_from(["answered", "answered", "lost after", "lost before"]),
    )
    def hand_over(self, counts: dict[str, int], full: set[str], outcome: str) -> None:
        if self.hand is None:
            events = [event for one in ENDPOINTS for event in self.spool[one][: counts[one]]]
            for one in ENDPOINTS:
                del self.spool[one][: counts[one]]
            self.hand = events, self.ledger.entries(events)
        events, entries = self.hand
        if outcome == "lost before":
            return
        refused = self.store.append(events, entries, full)
        if outcome == "lost after":
            return
        self.hand = None
        if self.store.seen.issuperset(event.id for event in self.file):
            self.file = []
        self.ledger.taken([event for event in events if event not in refused])
        for event in reversed(refused):
            self.spool[event.endpoint].insert(0, event)

    @rule()
    def crash(self) -> None:
        self.start()

    @rule()
    def stop(self) -> None:
        """Everybody goes; what the queue has not taken goes to the spool file."""
        for key in sorted(self.there | self.missed, key=str):
            self.over(key)
        held = [] if self.hand is None else self.hand[0]
        self.file = [*held, *(event for one in ENDPOINTS for event in self.spool[one])]
        self.start()

    # -- what holds

    @invariant()
    def nobody_hears_of_an_end_twice(self) -> None:
        ids = [event.id for event in self.store.taken if ended_by(event) is not None]
        assert len(ids) == len(set(ids))

    @invariant()
    def whoever_has_to_be_told_is_in_the_store(self) -> None:
        """Who was told of a beginning and not of the end is there, is owed, or its occupancy is in the store."""
        for endpoint in ENDPOINTS:
            if not (BEGINS[endpoint] and ENDS[endpoint]):
                continue
            for key in KEYS:
                filed = any(event.endpoint == endpoint for event in self.file)
                if self.told(endpoint, key)[-1:] == ["there"] and not filed:
                    rows = [row for row in self.store.rows.values() if (row.app_id, row.channel, row.user_id) == key]
                    assert any(not row.owed or endpoint in row.owed for row in rows), (endpoint, key, rows)

    def told(self, endpoint: str, key: Key) -> list[str]:
        name = f" {key[1]} {key[2]}"
        texts = [event.event.decode() for event in self.store.taken if event.endpoint == endpoint]
        return [text.split(" ")[0] for text in texts if text.endswith(name)]

    def teardown(self) -> None:
        """Let all go and be told: then nothing is left, and everything began and ended in turn."""
        answer: dict[str, Any] = {"full": set(), "outcome": "answered"}
        self.hand_over(dict.fromkeys(ENDPOINTS, 0), **answer)
        for key in sorted(self.there | self.missed, key=str):
            self.over(key)
        self.there, self.missed = set(), set()
        for _ in range(1000):
            if self.hand is None and not self.ledger.changed and not any(self.spool.values()):
                break
            self.hand_over(dict.fromkeys(ENDPOINTS, 3), **answer)
        assert self.store.rows == {}
        assert not self.ledger.changed
        assert not self.ledger._waiting
        self.nobody_hears_of_an_end_twice()
        for endpoint in ENDPOINTS:
            for key in KEYS:
                told = self.told(endpoint, key)
                if BEGINS[endpoint] and ENDS[endpoint]:
                    assert told[-1:] in ([], ["over"])
                    # A beginning that only the spool had dies with a crash; no two are told without an end in between.
                    assert ["there", "there"] not in [told[at : at + 2] for at in range(len(told))]


TestRuns = Runs.TestCase
