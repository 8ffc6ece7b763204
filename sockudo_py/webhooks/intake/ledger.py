"""Decides what the queue's ledger records, and with which events. Pure.

An endpoint that got ``channel_occupied`` must get ``channel_vacated`` once, also when this process is killed between
the two; the same goes for members. So the queue records an occupancy in the transaction that takes its first event,
and deletes it in the one that takes its last. What is left at the next start is owed.

An *occupancy* (``queues.base``) is in one of these states; each is written in full, so that writing it twice does no
harm:

- **there**: written with its ``channel_occupied`` or ``member_added``, or alone where nobody wants that event;
- **over, and some know**: one endpoint has its ``channel_vacated`` or ``member_removed``, others don't yet (the queue
  has no room for them). A return can't cancel the end any more: ``owed`` names the endpoints that still have to get it;
- **over, and all know**: deleted.

An occupancy that begins and ends within one call is not written. A return begins another occupancy with an id of its
own, so a late write about the one before never touches it.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from sockudo_py.queues.base import Append, LedgerEntry, Occupancy, id_of, make_entry, make_occupancy

Key = tuple[str, str, str | None]  # app id, channel, user id (None: the channel itself)

_NONE: dict[str, str] = {}  # never written to

ALONE = 500  # entries that a call takes whose events are not in it


class Owed(NamedTuple):
    """The end of an occupancy that one endpoint has yet to get, and the id of the event about it."""

    occupancy: Occupancy
    endpoint: str
    event_id: str


class _Record:
    """An occupancy as this process knows it, ahead of the store."""

    __slots__ = ("endings", "id", "key", "over", "replayed", "rest", "socket_id", "stored")

    def __init__(self, ident: str, key: Key, socket_id: str | None, stored: bool) -> None:
        self.id = ident
        self.key = key
        self.socket_id = socket_id
        self.stored = stored  # it may be in the store
        self.over = False
        self.endings: dict[str, str] = _NONE  # the events that report the end and wait to be taken: id -> endpoint
        self.replayed: tuple[str, ...] = ()  # endpoints whose event of the end an earlier run has left in a file
        self.rest = False  # the store may say that some are owed whose events were not in the last call

    def occupancy(self, owed: tuple[str, ...] = ()) -> Occupancy:
        return make_occupancy((self.id, *self.key, self.socket_id, owed))


class Ledger:
    """What is occupied and known to an endpoint, and which events about it wait.

    ``now_ms``: Unix milliseconds; the ids of what begins now sort after those of earlier runs.
    """

    def __init__(self, now_ms: int) -> None:
        self._there: dict[Key, _Record] = {}
        self._waiting: dict[str, _Record] = {}  # by the ids of events that were put and not taken yet
        self._changed: dict[_Record, None] = {}  # changes for the store, oldest first
        self._found: dict[
            str, tuple[_Record, tuple[str, ...]]
        ] = {}  # by id: inherited records that are owed, until ``settle``
        self._prefix = f"{now_ms:012x}{secrets.token_hex(4)}"
        self._number = 0

    def __len__(self) -> int:
        """How many channels and members are there."""
        return len(self._there)

    def __contains__(self, key: Key) -> bool:
        return key in self._there

    def __iter__(self) -> Iterator[Key]:
        """Yield what is there; each is so when it is yielded."""
        for key in list(self._there):
            if key in self._there:
                yield key

    # -- what happens

    def begin(self, key: Key, socket_id: str | None, event_ids: Iterable[str] = ()) -> None:
        """A channel or member is there from now on; these events say so."""
        record = self._there.get(key)
        if record is None:
            self._number += 1
            record = self._there[key] = _Record(f"{self._prefix}{self._number:08x}", key, socket_id, False)
            self._changed[record] = None
        for ident in event_ids:
            self._waiting[ident] = record

    def end(self, key: Key, endpoints: Sequence[str] = ()) -> list[str] | None:
        """Note an end that these endpoints get; return the ids of their events. None: the occupancy is unknown."""
        record = self._there.pop(key, None)
        return None if record is None else self._end(record, endpoints)

    def _end(self, record: _Record, endpoints: Iterable[str]) -> list[str]:
        record.over = True
        self._changed.pop(record, None)
        ident = record.id
        endings = {ending_id(ident, endpoint): endpoint for endpoint in endpoints}
        for event_id in endings:
            self._waiting[event_id] = record
        record.endings = {**record.endings, **endings} if record.endings else endings
        self._strike_out(record)
        return list(endings)

    def _strike_out(self, record: _Record) -> None:
        """Delete a record that is over and that all endpoints know of; one that was never written needs no deletion."""
        if record.over and not record.endings and record.stored:
            self._changed[record] = None

    # -- what the queue stores

    @property
    def changed(self) -> bool:
        """Whether there is something to write that no event has to wait for."""
        return bool(self._changed)

    def entries(self, events: Iterable[Append]) -> list[LedgerEntry]:
        """Return what a call with these events has to write. The same call may be repeated as it is."""
        waiting, changed = self._waiting, self._changed
        if not waiting and not changed:
            return []
        told: dict[_Record, tuple[str, ...]] = {}
        if waiting:
            for ident in map(id_of, events):
                record = waiting.get(ident)
                if record is None:
                    continue
                if ident in record.endings:
                    told[record] = (*told.get(record, ()), ident)
                elif record not in told:
                    told[record] = ()
        for record in islice(changed, ALONE):
            if record not in told:
                told[record] = ()
        entries: list[LedgerEntry] = []
        for record, ids in told.items():
            if record.over:
                # Events about its beginning alone say nothing new to a store that has it.
                due = bool(ids or record in changed or (record.endings and not record.stored))
            else:
                due = record in changed  # else the event of another endpoint went before
            if due:
                entries.append(self._entry(record, ids))
        return entries

    def _entry(self, record: _Record, ids: tuple[str, ...]) -> LedgerEntry:
        self._changed.pop(record, None)
        new, record.stored = not record.stored, True
        if not record.over:
            return make_entry((record.occupancy(), False, (), new))
        endings = record.endings
        rest = () if len(ids) == len(endings) else tuple(endings[ident] for ident in endings if ident not in ids)
        record.rest = bool(rest)
        return make_entry((record.occupancy(rest), True, ids, new))

    def taken(self, events: Iterable[Append]) -> None:
        """The queue has these events and their records."""
        if not self._waiting:
            return
        forget = self._waiting.pop
        for ident in map(id_of, events):
            record = forget(ident, None)
            if record is not None and record.endings and record.endings.pop(ident, None) is not None and record.rest:
                self._strike_out(record)  # others were dropped meanwhile

    def dropped(self, events: Iterable[Append]) -> None:
        """The queue will never get these events."""
        if not self._waiting:
            return
        for event in events:
            record = self._waiting.pop(event.id, None)
            if record is not None and record.endings.pop(event.id, None) is not None:
                self._strike_out(record)

    # -- what earlier runs left

    def inherit(self, occupancies: Iterable[Occupancy]) -> None:
        """Take over what the store had. ``replayed`` may follow, ``settle`` has to."""
        for ident, app_id, channel, user_id, socket_id, owed in occupancies:
            self._found[ident] = _Record(ident, (app_id, channel, user_id), socket_id, True), owed

    def replayed(self, event: Append) -> None:
        """An event comes back that an earlier run could not hand over: perhaps the end of something inherited."""
        record, _ = self._found.get(ended_by(event) or "", (None, ()))
        if record is not None:
            record.over = True
            record.endings = {**record.endings, event.id: event.endpoint}
            record.replayed += (event.endpoint,)  # the queue may have the event before ``settle`` asks
            self._waiting[event.id] = record

    def settle(self, wanted: Callable[[Key], Collection[str] | None]) -> tuple[list[Occupancy], list[Owed]]:
        """Return what is to be missed, members before channels, and what is to be told at once.

        ``wanted`` returns the endpoints that want to hear of an end, None when nobody wants to hear of what is meant at
        all: then it is struck out.
        """
        found, self._found = self._found, {}
        missed: list[_Record] = []
        owed: list[Owed] = []
        for ident in sorted(found, reverse=True):  # the newest of a key is the one that may be there still
            record, owing = found[ident]
            key = record.key
            endpoints = wanted(key)
            there = self._there.get(key)
            if owing:
                owed += self._owe(record, [one for one in owing if one in (endpoints or ())])
            elif record.over:
                owed += self._owe(record, endpoints or ())
            elif endpoints is None or (there is not None and there.id not in found):
                self._end(record, ())  # of no interest, or back before we knew of it
            elif there is not None:
                owed += self._owe(record, endpoints)
            else:
                self._there[key] = record
                missed.append(record)
        missed.sort(key=lambda record: (record.key[2] is None, record.id))
        return [record.occupancy() for record in missed], owed

    def _owe(self, record: _Record, endpoints: Collection[str]) -> list[Owed]:
        """Note that these ends are due, besides those whose events were replayed; return those to make events of."""
        names = [one for one in endpoints if one not in record.replayed]
        ids = self._end(record, names)
        return [Owed(record.occupancy(), endpoint, ident) for endpoint, ident in zip(names, ids, strict=True)]


def ending_id(occupancy_id: str, endpoint: str) -> str:
    """Return the id of the event that reports an end to an endpoint: the same whichever run of the server makes it."""
    return f"p_{occupancy_id}_{endpoint}"


def ended_by(event: Append) -> str | None:
    """Return the id of the occupancy whose end an event reports; None when it reports no end."""
    tail = f"_{event.endpoint}"
    if not event.id.startswith("p_") or not event.id.endswith(tail):
        return None
    return event.id[2 : -len(tail)]
