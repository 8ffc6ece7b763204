"""Transitions as the scripts write them, and which of them this node has handed on. Pure.

A text is: a letter (O occupied, V vacated, A added, R removed), the Unix milliseconds of the decision, a colon, and
the entry with its length before it; for members then the socket with its length, and user_info.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final

from sockudo_py.changes import ChannelOccupied, ChannelVacated, MemberAdded, MemberRemoved, OnChange, Transition
from sockudo_py.protocol.source import Source

PUT_OFF_AT_MOST: Final = 1_000_000

Entry = bytes  # b"c" + app id, NUL, channel; or b"m" + app id, NUL, channel, NUL, user id


def text(data: bytes) -> str:
    """Return names as they were: JSON has lone surrogates, so user ids have."""
    return data.decode("utf-8", "surrogatepass")


def read(
    ident: str, data: bytes, source: Callable[[Entry, bool], Source | None] = lambda entry, came: None
) -> tuple[Entry, Transition]:
    """Return what a script wrote; ``source`` finds whose step it was (True: somebody came).

    Raises ValueError for what no script writes.
    """
    kind = data[:1]
    time_ms, rest = data[1:].split(b":", 1)
    entry, rest = _counted(rest)
    at = int(time_ms)
    app, _, channel = entry[1:].partition(b"\0")
    match kind:
        case b"O":
            return entry, ChannelOccupied(text(app), text(channel), source(entry, True), ident, at)
        case b"V":
            return entry, ChannelVacated(text(app), text(channel), source(entry, False), ident, at)
    channel, _, user = channel.partition(b"\0")
    socket, info = _counted(rest)
    fields = text(app), text(channel), text(user), text(socket) or None, None if info == b"null" else text(info)
    match kind:
        case b"A":
            return entry, MemberAdded(*fields, source(entry, True), ident, at)
        case b"R":
            return entry, MemberRemoved(*fields, source(entry, False), ident, at)
    raise ValueError("no transition")


def _counted(data: bytes) -> tuple[bytes, bytes]:
    length, _, rest = data.partition(b":")
    size = int(length)
    return rest[:size], rest[size:]


class PutOff:
    """Who is due by the vacate delay while ``waits`` holds its source; all partitions of a node share one.

    They stay in the outbox in Redis meanwhile.
    """

    def __init__(self) -> None:
        self.waits: Callable[[Source], bool] | None = None
        self._entries: OrderedDict[Entry, tuple[Outbox, Transition]] = OrderedDict()

    def add(self, entry: Entry, outbox: "Outbox", change: Transition) -> None:
        """Put a transition off. When there are too many, the first ones are handed on."""
        self._entries[entry] = outbox, change
        if len(self._entries) > PUT_OFF_AT_MOST:
            self.tell(1)

    def pop(self, entry: Entry) -> Transition | None:
        """Return the transitions of an entry that were put off, and forget them."""
        found = self._entries.pop(entry, None)
        return None if found is None else found[1]

    def tell(self, most: int) -> bool:
        """Hand the first ones on; return whether more are left."""
        for _ in range(min(most, len(self._entries))):
            _, (outbox, change) = self._entries.popitem(last=False)
            outbox.hand_on(change)
        return bool(self._entries)

    def forget(self, outbox: "Outbox") -> None:
        """Forget all that is of an outbox."""
        for entry in [entry for entry, (of, _) in self._entries.items() if of is outbox]:
            del self._entries[entry]


class Outbox:
    """Which transitions this node has to hand on, and which it may forget.

    ``acknowledge`` takes the ids of transitions that are stored: the outbox in Redis deletes them.
    """

    def __init__(self, on_change: OnChange, put_off: PutOff, acknowledge: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._acknowledge = acknowledge
        self._told: dict[str, bool] = {}  # id -> whether it is stored; until Redis has forgotten it
        self._put_off = put_off

    def __len__(self) -> int:
        return len(self._told)

    def stored(self) -> list[str]:
        """Return what is stored and still in the outbox, as far as this node knows."""
        return [ident for ident, stored in self._told.items() if stored]

    def forget(self, idents: Iterable[str]) -> None:
        """Take note that these are no longer in the outbox."""
        for ident in idents:
            self._told.pop(ident, None)

    def reset(self) -> None:
        """Forget everything: other nodes have taken this one out, and its outbox is theirs."""
        self._told.clear()
        self._put_off.forget(self)

    def tell(self, ident: str, data: bytes, source: Callable[[Entry, bool], Source | None]) -> None:
        """Hand on what a script decided, once. ``source`` finds whose step it was; True: somebody came."""
        if ident in self._told:
            return
        self._told[ident] = False
        try:
            entry, change = read(ident, data, source)
        except ValueError:
            self._stored(ident)  # another version's: unknown here
            return
        if isinstance(change, ChannelOccupied | MemberAdded):
            missed = self._put_off.pop(entry)
            if missed is not None:  # it is back before anybody was told that it had gone
                self._stored(missed.id or "")
                self._stored(ident)
                return
        elif self._put_off.waits is not None and change.source is not None and self._put_off.waits(change.source):
            self._put_off.add(entry, self, change)
            return
        self.hand_on(change)

    def hand_on(self, change: Transition) -> None:
        """Tell it, and acknowledge it when it is stored."""
        ident = change.id or ""
        self._on_change(change, lambda: self._stored(ident))

    def _stored(self, ident: str) -> None:
        if ident in self._told:
            self._told[ident] = True
            self._acknowledge(ident)
