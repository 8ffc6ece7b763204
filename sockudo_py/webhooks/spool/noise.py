"""Who fills the spool, and whose events go when it is full. Pure.

Events are counted by the connection that caused them, and by address, since short connections have few events each. An
address is looked at within its app, so that what one app is to blame for never costs another.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from sockudo_py.protocol.source import Source
from sockudo_py.queues.base import Append, source_of

OVERHEAD: Final = 280  # bytes that an event costs besides its text, as measured by tests/unit/test_memory.py

# Shares of what the spool may hold. A connection that has as many events there is noisy ...
ALONE: Final = 1 / 100
# ... as are all connections of an address together, noisy ones not counted. Its new connections wait then ...
TOGETHER: Final = 1 / 20
# ... and those that are there are not read if they have as many as that, nor are the loudest of the others as long as
# these have more than ``TOGETHER`` between them: a thousand connections, each with a little less, fill the spool, too.
AMONG_OTHERS: Final = 1 / 1000

Address = tuple[str, str]  # app id, address
_Key = TypeVar("_Key", bound=Hashable)


FEW: Final = 20  # leaves of a client at a noisy address that become events all the same, each time that it is noisy


@dataclass(frozen=True, slots=True)
class Noise:
    """Connections not to be read, and addresses whose new connections have to wait."""

    sources: frozenset[Source] = field(default_factory=frozenset)
    addresses: frozenset[Address] = field(default_factory=frozenset)

    def __or__(self, other: "Noise") -> "Noise":
        return Noise(self.sources | other.sources, self.addresses | other.addresses)

    def __bool__(self) -> bool:
        return bool(self.sources or self.addresses)


class Leaves:
    """Says whose leaves wait for now: those of noisy clients, and of noisy addresses all but a few.

    A client that is gone can't be stopped any more, and what it leaves is as much as it ever subscribed to. When many
    are gone at once (a proxy went down), none of them need be noisy: so everybody's leaves wait when it is ``full``.
    """

    __slots__ = ("_full", "_noise", "_told")

    def __init__(self, noise: Noise, full: Callable[[], bool] = lambda: False) -> None:
        """``full``: whether there is hardly any room for more events."""
        self._noise = noise
        self._full = full
        self._told: Counter[Source] = Counter()

    def wait(self, source: Source) -> bool:
        """Return whether the next leave of this client has to wait."""
        if self._full():
            return True
        if not self._noise:
            return False
        if source in self._noise.sources:
            return True
        if _address(source) not in self._noise.addresses:
            return False
        self._told[source] += 1
        return self._told[source] > FEW


def size_of(event: Append) -> int:
    """Return the bytes for which an event counts."""
    return len(event.event) + OVERHEAD


def totals_of(events: Iterable[Append], *, in_bytes: bool) -> dict[Source, int]:
    """Return how many events, or bytes, each connection has. Events of unknown cause are left out."""
    totals: dict[Source | None, int]
    if in_bytes:
        totals = defaultdict(int)
        for event in events:
            totals[event.source] += size_of(event)
    else:
        totals = Counter(map(source_of, events))
    return {source: total for source, total in totals.items() if source is not None}


def noise_of(
    totals: Mapping[Source, int],
    whole: int,
    *,
    here: Callable[[Source], bool] = lambda source: True,
    drains: bool = True,
) -> Noise:
    """Return the noisy connections and addresses.

    Args:
        totals: Events, or bytes, of each connection.
        whole: What the spool may hold, in the unit of ``totals``.
        here: Says whether a connection is still open: a closed one can't be held.
        drains: The queue takes events. Else only single connections are noisy: a proxy that nobody has named is one
            address, and its clients must not wait for hours because the queue is away.
    """
    sources = {source for source, total in totals.items() if total >= whole * ALONE}
    if not drains:
        return Noise(frozenset(sources))
    others = {source: total for source, total in totals.items() if source not in sources}
    addresses = {address for address, total in _by_address(others).items() if total >= whole * TOGETHER}
    if addresses:
        least = whole * AMONG_OTHERS
        sources |= {source for source, total in others.items() if total >= least and _address(source) in addresses}
        rest = {source: total for source, total in others.items() if source not in sources and here(source)}
        for address in addresses:
            sources |= _loudest({source: rest[source] for source in rest if _address(source) == address}, whole)
    return Noise(frozenset(sources), frozenset(addresses))


def _loudest(totals: Mapping[Source, int], whole: int) -> set[Source]:
    """Return the largest of these without which the others have no more than ``TOGETHER``."""
    left = sum(totals.values())
    largest: set[Source] = set()
    for source in sorted(totals, key=lambda one: -totals[one]):
        if left <= whole * TOGETHER:
            break
        largest.add(source)
        left -= totals[source]
    return largest


class Cuts:
    """What is to go of a spool that is too full: so much of each of the noisiest connections, then addresses.

    The largest are cut to a common level, so that all of them end up with the same share, and none below the share at
    which it is noisy. Where that does not free ``need``, no connection is to blame for the rest.
    """

    __slots__ = ("_addresses", "_sources", "left")

    def __init__(self, totals: Mapping[Source, int], need: int, whole: int) -> None:
        self._sources = level(totals, need, int(whole * ALONE))
        self.left = sum(self._sources.values())  # that ``takes`` will still take
        self._addresses: dict[Address, int] = {}
        if self.left < need:
            rest = {source: total - self._sources.get(source, 0) for source, total in totals.items()}
            self._addresses = level(_by_address(rest), need - self.left, int(whole * TOGETHER))
            self.left += sum(self._addresses.values())

    def takes(self, source: Source | None, amount: int) -> bool:
        """Return whether an event of this amount has to go, and count it."""
        if source is None or self.left <= 0:
            return False
        if _take(self._sources, source, amount) or (
            self._addresses and _take(self._addresses, _address(source), amount)
        ):
            self.left -= amount
            return True
        return False


def level(totals: Mapping[_Key, int], need: int, floor: int) -> dict[_Key, int]:
    """Return how much to take of each of the largest, so that ``need`` is freed or all are down to ``floor``."""
    largest = sorted((total for total in totals.values() if total > floor), reverse=True)
    freed, at = 0, floor
    for number, (total, below) in enumerate(zip(largest, [*largest[1:], floor], strict=False), 1):
        step = number * (total - below)
        if freed + step >= need:
            at = total - -(-(need - freed) // number)
            break
        freed += step
    return {key: total - at for key, total in totals.items() if total > at}


def _take(budgets: dict[_Key, int], key: _Key, amount: int) -> bool:
    budget = budgets.get(key, 0)
    if budget <= 0:
        return False
    budgets[key] = budget - amount
    return True


def _by_address(totals: Mapping[Source, int]) -> dict[Address, int]:
    found: dict[Address, int] = defaultdict(int)
    for source, total in totals.items():
        found[_address(source)] += total
    return found


def _address(source: Source) -> Address:
    return source.app_id, source.address


def top(totals: Mapping[Source, int], among: Collection[Source], most: int = 3) -> list[tuple[Source, int]]:
    """Return the largest of these connections."""
    largest = sorted(
        ((total, source.socket_id, source) for source, total in totals.items() if source in among),
        reverse=True,
        key=lambda one: one[:2],
    )
    return [(source, total) for total, _, source in largest[:most]]
