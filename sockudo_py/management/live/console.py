"""The live console: the rows of the tap, for any number of browsers, at one bounded cost."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sockudo_py.http.description.notation import TEXT, Param, Said
from sockudo_py.logs import shortened
from sockudo_py.tap import Row, Tap

ROWS_PER_SECOND: Final = 200  # that one stream shows; past it rows are left out, and counted
MOST_WAITING: Final = 1000  # rows that wait for a browser which doesn't read them; then the oldest go, and are counted
REMEMBERED: Final = 300  # rows kept for browsers that come back
MOST_STREAMS: Final = 50
_SHOWN: Final = 200  # characters of a name
LIVE: Final = "/api/live"
STREAM: Final = Said(
    "Follow what happens, as server-sent events",
    {200: TEXT},
    fields=(
        Param("app", says="Id of the app.", schema=TEXT),
        Param("kinds", says="Kinds of rows, with commas between them.", schema=TEXT),
        Param("channel", says="What names of channels begin with.", schema=TEXT),
        Param("socket", says="Id of a connection.", schema=TEXT),
        Param("user", says="Id of a user.", schema=TEXT),
    ),
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows a stream shows: rows that fit every given field. ``apps`` None: of every app."""

    apps: frozenset[str] | None = None
    channel_prefix: str = ""
    socket_id: str = ""
    user_id: str = ""
    kinds: frozenset[str] | None = None

    def fits(self, row: Row) -> bool:
        """Return whether a row is to be shown."""
        if self.apps is not None and row.app_id not in self.apps:
            return False
        if self.kinds is not None and row.kind not in self.kinds:
            return False
        if self.socket_id and row.socket_id != self.socket_id:
            return False
        if self.user_id and row.user_id != self.user_id:
            return False
        return not self.channel_prefix or (row.channel or "").startswith(self.channel_prefix)


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as browsers get it. ``number`` grows by one from row to row of this server's console."""

    number: int
    row: Row
    text: str


class Stream:
    """What one browser gets. ``left_out`` rows were more than it shows in a second, or more than it has read."""

    def __init__(self, wanted: Filter) -> None:
        self.wanted = wanted
        self.left_out = 0
        self._second = -1
        self._shown = 0
        self._waiting: deque[Shown] = deque()
        self._news = asyncio.Event()

    def admits(self, second: int) -> bool:
        """Return whether one more row may be shown in this second; False counts it as left out."""
        if second != self._second:
            self._second, self._shown = second, 0
        if self._shown >= ROWS_PER_SECOND:
            self.left_out += 1
            return False
        self._shown += 1
        return True

    def put(self, shown: Shown) -> None:
        """Add a row. A browser that doesn't read loses the oldest."""
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.left_out += 1
        self._waiting.append(shown)
        self._news.set()

    async def take(self, timeout: float) -> tuple[list[Shown], int]:
        """Return the rows that came, and how many were left out; after ``timeout`` seconds perhaps none."""
        if not self._waiting:
            self._news.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                pass
        return self.drain()

    def drain(self) -> tuple[list[Shown], int]:
        """Return the rows that came, and how many were left out, without waiting."""
        rows, self._waiting = list(self._waiting), deque()
        left_out, self.left_out = self.left_out, 0
        return rows, left_out


class Console:
    """Follows the tap while a console is open, and remembers the last rows meanwhile.

    Args:
        tap: What happens.
        clock: Unix seconds.
    """

    def __init__(self, tap: Tap, clock: Callable[[], float]) -> None:
        self._tap = tap
        self._clock = clock
        self._begun = asyncio.Event()
        self._streams: list[Stream] = []
        self._remembered: deque[Shown] = deque(maxlen=REMEMBERED)
        self._number = int(clock() * 1000)  # so that numbers of an earlier run are lower

    @property
    def watched(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def watch(self, wanted: Filter, after: int | None = None) -> Stream | None:
        """Return a new stream, None when there are too many.

        ``after``: the number of the last row that the browser has seen; what is remembered of later ones comes first.
        """
        if len(self._streams) >= MOST_STREAMS:
            return None
        stream = Stream(wanted)
        if after is not None:
            for shown in self._remembered:
                if shown.number > after and wanted.fits(shown.row):
                    stream.put(shown)
        if not self._streams:
            self._tap.follow(self._take)
        self._streams.append(stream)
        self._begun.set()
        return stream

    def leave(self, stream: Stream) -> None:
        """End a stream."""
        if stream in self._streams:
            self._streams.remove(stream)
            if not self._streams:
                self._tap.leave(self._take)

    def _take(self, row: Row) -> None:
        now = self._clock()
        self._put(row, lambda: describe(row, now))

    def _put(self, row: Row, document: Callable[[], Mapping[str, Any]]) -> None:
        second = int(self._clock())
        shown: Shown | None = None
        for stream in self._streams:
            if stream.wanted.fits(row) and stream.admits(second):
                if shown is None:
                    self._number += 1
                    shown = Shown(self._number, row, json.dumps(document(), separators=(",", ":")))
                    self._remembered.append(shown)
                stream.put(shown)

    async def changed(self, timeout: float) -> None:
        """Wait until a console is opened, at most ``timeout`` seconds."""
        self._begun.clear()
        try:
            async with asyncio.timeout(timeout):
                await self._begun.wait()
        except TimeoutError:
            pass

    def put_from_elsewhere(self, documents: Sequence[Mapping[str, Any]], left_out: int) -> None:
        """Show rows of another node, and say that it left some out."""
        for document in documents:
            self._put(row_of(document), lambda document=document: document)  # type: ignore[misc]
        for stream in self._streams:
            stream.left_out += left_out


def describe(row: Row, now: float) -> dict[str, Any]:
    """Return a row as JSON. ``now``: Unix seconds."""
    document: dict[str, Any] = {"at": int(now * 1000), "kind": row.kind, "app": row.app_id}
    for name, value in (("socket", row.socket_id), ("channel", row.channel), ("user", row.user_id)):
        if value is not None:
            document[name] = shortened(value, _SHOWN)
    document.update((name, value) for name, value in row.details().items() if value is not None)
    return document


def row_of(document: Mapping[str, Any]) -> Row:
    """Return a row that came from another node, as filters see it."""

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    return Row(
        text("kind") or "", text("app") or "", text("socket"), text("channel"), text("user"), lambda: dict(document)
    )
