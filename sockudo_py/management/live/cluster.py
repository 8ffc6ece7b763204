"""The dashboard of several nodes: one console for all of them, and a note about each.

A node whose console is watched says so on the topic ``watch`` every few seconds. The others then send it what
their taps tell, in batches and within a bound, on the topic ``rows``, until no dashboard has asked for a while.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from sockudo_py.management.live.console import Console, describe
from sockudo_py.process.tasks import cancel
from sockudo_py.relays.board import Board
from sockudo_py.tap import Row, Tap

log = logging.getLogger(__name__)

WATCH: Final = "watch"
ROWS: Final = "rows"
BEAT: Final = 5.0  # seconds between two notes of a node, and between two calls for rows
LONGEST: Final = 3 * BEAT  # seconds after the last call in which rows are still sent
GATHER: Final = 0.1  # seconds in which rows gather for one message
ROWS_PER_SECOND: Final = 200  # of one node; past it rows are left out, and counted
DEAD: Final = 60.0  # seconds without a note after which a node is forgotten


class ClusterConsole:
    """Joins the consoles of the nodes.

    Args:
        board: The way to the other nodes.
        tap: What happens here.
        console: What is watched here.
        note: Returns the facts about this node.
        clock: Unix seconds.
        elapsed: Seconds that no change of the clock moves.
    """

    def __init__(
        self,
        board: Board,
        tap: Tap,
        console: Console,
        note: Callable[[], dict[str, Any]],
        clock: Callable[[], float],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._tap = tap
        self._console = console
        self._note = note
        self._clock = clock
        self._elapsed = elapsed
        self._seen: dict[str, tuple[bytes, float]] = {}  # of each node its last note, and when it came
        self._name = str(note()["id"])
        self._until = 0.0  # rows are sent until then
        self._sending = False
        self._gathered: list[dict[str, Any]] = []
        self._second, self._sent, self._left_out = -1, 0, 0
        self._flush: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None
        board.start(self._message)

    async def start(self) -> None:
        """Connect, and post the facts about this node. Raises ``SockudoError``."""
        await self._board.open()
        self._board.follow(WATCH)
        self._beating = asyncio.get_running_loop().create_task(self._beat(), name="dashboard-board")

    async def stop(self) -> None:
        """Send nothing any more."""
        await cancel(self._beating)
        if self._flush is not None:
            self._flush.cancel()
        self._end_sending()
        await self._board.close()

    async def nodes(self) -> list[dict[str, Any]]:
        """Return the facts about every node, this one first. Raises ``Unavailable``."""
        found, notes = [], await self._board.read()
        self._seen = {node_id: kept for node_id, kept in self._seen.items() if node_id in notes}
        for node_id, text in notes.items():
            note = _object(text)
            age = self._age(node_id, text, note.pop("at", None))
            if age > DEAD:
                self._board.forget(node_id)
                continue
            here = node_id == self._board.node_id
            state = "away" if age > LONGEST else note.get("state", "up")
            found.append({**note, "here": here, "state": state, "lag_ms": max(0, round(age * 1000))})
        return sorted(found, key=lambda one: (not one["here"], str(one.get("id"))))

    def _age(self, node_id: str, text: bytes, at: object) -> float:
        """Return the seconds since a note came. Clocks of nodes differ: only the first look believes a note."""
        now = self._elapsed()
        if not isinstance(at, int | float):
            return DEAD + 1
        kept = self._seen.get(node_id)
        if kept is None:
            said = min(max(self._clock() - at, 0.0), DEAD)  # a clock that is behind is not yet a node that is dead
            self._seen[node_id] = (text, now - said)
        elif kept[0] != text:
            self._seen[node_id] = (text, now)
        return now - self._seen[node_id][1]

    async def _beat(self) -> None:
        while True:
            try:
                self._board.post(json.dumps({**self._note(), "at": self._clock()}).encode())
                if self._console.watched:
                    self._board.follow(ROWS)
                    self._board.tell(WATCH, self._board.node_id.encode())
                else:
                    self._board.leave(ROWS)
                if self._sending and self._elapsed() > self._until:
                    self._end_sending()
            except Exception:
                log.exception("telling other nodes about this one failed")
            await self._console.changed(BEAT)

    def _message(self, topic: str, payload: bytes) -> None:
        if topic == WATCH and payload.decode("ascii", "replace") != self._board.node_id:
            self._until = self._elapsed() + LONGEST
            if not self._sending:
                self._sending = True
                self._tap.follow(self._take)
        elif topic == ROWS:
            document = _object(payload)
            if document.get("from") != self._board.node_id:
                rows, left_out = document.get("rows"), document.get("left_out")
                self._console.put_from_elsewhere(
                    [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else [],
                    left_out if isinstance(left_out, int) else 0,
                )

    def _take(self, row: Row) -> None:
        now = self._clock()
        if int(now) != self._second:
            self._second, self._sent = int(now), 0
        if self._sent >= ROWS_PER_SECOND:
            self._left_out += 1
            return
        self._sent += 1
        self._gathered.append({**describe(row, now), "node": self._name})
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(GATHER, self._send)

    def _send(self) -> None:
        self._flush = None
        rows, self._gathered = self._gathered, []
        left_out, self._left_out = self._left_out, 0
        document = {"from": self._board.node_id, "rows": rows, "left_out": left_out}
        self._board.tell(ROWS, json.dumps(document, separators=(",", ":")).encode())

    def _end_sending(self) -> None:
        if self._sending:
            self._sending = False
            self._tap.leave(self._take)


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
