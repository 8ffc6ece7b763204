"""Who wants to know when the queue has the events about a change. Pure."""

from collections.abc import Callable, Iterable, Sequence

from sockudo_py.queues.base import Append


class _Receipt:
    """One change: how many of its events are on their way, and what to call when there are none."""

    __slots__ = ("left", "stored")

    def __init__(self, left: int, stored: Callable[[], None]) -> None:
        self.left = left
        self.stored = stored


class Receipts:
    """Calls back once for each change, when all its events were taken by the queue, or dropped.

    Not for events that a shutdown leaves behind: the adapter tells the change again then.
    """

    def __init__(self) -> None:
        # Under one id there may be several: a change that is reported again while its first events are on their way.
        self._waiting: dict[str, list[_Receipt]] = {}

    def __bool__(self) -> bool:
        """Whether there is a callback to call."""
        return bool(self._waiting)

    def expect(self, event_ids: Sequence[str], stored: Callable[[], None]) -> None:
        """Call ``stored`` when these events, at least one, are settled."""
        receipt = _Receipt(len(event_ids), stored)
        for event_id in event_ids:
            self._waiting.setdefault(event_id, []).append(receipt)

    def settle(self, events: Iterable[Append]) -> None:
        """Take note that the queue has these events, or will never get them."""
        for event in events:
            for receipt in self._waiting.pop(event.id, ()):
                receipt.left -= 1
                if not receipt.left:
                    receipt.stored()
