"""The messages of SQS that this process holds, as entries of its books."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator

from sockudo_py.queues.local.book import LeaseBook
from sockudo_py.queues.local.lanes import Entry
from sockudo_py.queues.sqs.messages import SOLO, WHOLE, Draft, Message

_MOST_TAKEN = 100_000  # ids of gathered events that are remembered


class ReceivedMessage(Entry):
    """An entry with the message that it is. ``changed``: its text is newer than the message."""

    __slots__ = ("changed", "handle", "hidden_until", "ident", "message_id", "receives")

    def __init__(self, row: int, ident: str, endpoint: str, message: Message) -> None:
        super().__init__(endpoint, message.text, row, message.state == SOLO)
        self.ident = ident
        self.message_id = message.id
        self.handle = message.handle
        self.hidden_until = message.hidden_until
        self.receives = message.receives
        self.crashes = message.receives - 1
        self.changed = False


class ReceivedMessages:
    """All that is held. ``most``: of how many messages; a lane gets its share of that."""

    def __init__(self, book: LeaseBook, most: int) -> None:
        self._book = book
        self._most = most
        self._rows: dict[int, ReceivedMessage] = {}
        self._messages: dict[str, ReceivedMessage] = {}
        self._taken: OrderedDict[str, str] = OrderedDict()  # id of an event -> its message
        self._row = 0

    def __iter__(self) -> Iterator[ReceivedMessage]:
        return iter(list(self._rows.values()))

    @property
    def room(self) -> int:
        """How many more may be held."""
        return self._most - len(self._rows)

    def known(self, message: Message) -> bool:
        """Return whether this message is held already; from now on under its new handle."""
        held = self._messages.get(message.id)
        if held is not None:
            held.handle, held.hidden_until, held.receives = message.handle, message.hidden_until, message.receives
        return held is not None

    def copy_of_another(self, message: Message, ident: str) -> bool:
        """Return whether this is an event that another message has brought: its sender was not sure, and sent twice.

        One that was put back is no copy, though it is another message now.
        """
        if message.state == WHOLE or message.receives > 1 or message.parked:
            return False
        first = self._taken.setdefault(ident, message.id)
        if len(self._taken) > _MOST_TAKEN:
            self._taken.popitem(last=False)
        return first != message.id

    def share(self) -> int:
        """Return how many may wait in a lane: with more it would keep other lanes out."""
        busy = sum(1 for lane in self._book.lanes if len(lane))
        return max(10, self._most // max(1, busy))

    def add(self, ident: str, endpoint: str, message: Message, now: int) -> None:
        """Put a message into its lane. One that came a second time is whole, and goes before the others.

        It may have been merged when its process died: merged again it could meet other events under the same id.
        """
        self._row += 1
        held = ReceivedMessage(self._row, ident, endpoint, message)
        self._rows[held.row] = self._messages[message.id] = held
        if message.state != WHOLE and message.receives == 1:
            self._book.lanes.append(held, min(now, message.sent_ms))
        else:
            self._book.lanes.put(held, now, head=message.receives > 1)

    def parts(self, entry: Entry) -> list[ReceivedMessage]:
        """Return the held messages that an entry was merged from."""
        return [self._rows[row] for row in (entry.row, *entry.spare) if row in self._rows]

    def leased(self, token: str, now: int) -> ReceivedMessage | None:
        """Return the entry of a lease, None when the lease or the message is no longer ours."""
        lease = self._book.active.get(token)
        if lease is None or not isinstance(lease.entry, ReceivedMessage) or lease.entry.hidden_until <= now:
            return None
        return lease.entry

    def drop(self, entries: Iterable[ReceivedMessage]) -> None:
        """Hold these no longer. They are in no lane and under no lease."""
        for held in entries:
            self._rows.pop(held.row, None)
            if self._messages.get(held.message_id) is held:
                del self._messages[held.message_id]

    def forget(self, entries: Collection[ReceivedMessage], now: int) -> None:
        """Take entries out of the books, wherever they are, and hold them no longer."""
        if not entries:
            return
        gone: set[Entry] = set(entries)
        book = self._book
        for token in [token for token, lease in book.active.items() if lease.entry in gone]:
            book.end(token, now)
        for endpoint in {held.endpoint for held in entries}:
            book.lanes.remove(book.lanes[endpoint], gone, now)
        self.drop(entries)

    def lapsed(self, now: int) -> list[ReceivedMessage]:
        """Return what others may receive by now."""
        return [held for held in self._rows.values() if held.hidden_until <= now]


def again(message: Message, due_ms: int) -> Draft:
    """Return a message to put in the place of one that can't be held now."""
    # One that came before is whole for good: see ``ReceivedMessages.add``.
    state = message.state if message.receives == 1 else WHOLE
    return Draft(message.text, state, due_ms, message.parked + 1, message.order)
