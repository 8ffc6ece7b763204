"""The ledger in Redis: each server has one of its own, and inherits those of servers that have fallen silent."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import orjson

from sockudo_py.errors import Unavailable
from sockudo_py.links.redis.wire import Word
from sockudo_py.logs import quoted
from sockudo_py.queues.base import Append, LedgerEntry, Occupancy
from sockudo_py.queues.redis.encoding import CHUNK, chunks

_log = logging.getLogger(__name__)
_ALIVE_MS = 30_000  # since its last beat; it beats every ten seconds
_NAMED = 5  # servers in a warning
_STEADY = 3  # beats in a row that were answered: by then every server that is alive has reached Redis, too


class RedisLedger:
    """What ``RedisQueue.inherit`` does.

    Args:
        server: The name of this server among the servers that share the queue.
        prefix: Of all keys.
        call: Runs a script of the queue by its name.
        command: Runs a plain command.
        shares_clients: Servers know of each other's clients. Else a warning says when others use the queue.
    """

    def __init__(
        self,
        server: str,
        prefix: str,
        call: Callable[..., Awaitable[Any]],
        command: Callable[..., Awaitable[Any]],
        *,
        shares_clients: bool = True,
    ) -> None:
        self.server = server
        self._key = f"{prefix}present:"
        self._servers = f"{prefix}servers"
        self._shares_clients = shares_clients
        self._heard: dict[bytes, float] = {}  # until when each server counts as alive, by the last look
        self._warned = False
        self._call = call
        self._command = command
        self._run = secrets.token_hex(8)
        self._beats = 0  # in a row
        self._begun = False
        self._has_twin = False
        self._asked: tuple[str, dict[str, Occupancy]] | None = None  # a take-over that Redis did not answer
        self._found: list[Occupancy] = []  # found before Redis went away, and not returned yet

    async def inherit(self) -> list[Occupancy]:
        """As ``Queue.inherit``."""
        try:
            twin, *silent = await self._call("beat", self.server, _ALIVE_MS, self._run, int(not self._begun))
            self._beats += 1
            if not self._begun:
                self._found = list((await self._read(self.server)).values())
            # All servers may have been without Redis for longer than a server counts as alive. The others are heard of
            # soon after it is back, so this server waits for that; but at a start it can't know, and asks at once.
            if not self._begun or self._beats >= _STEADY:
                if self._asked is not None:
                    self._found += await self._adopt(*self._asked)
                for name in map(bytes.decode, silent):
                    self._found += await self._adopt(name, await self._read(name))
        except Unavailable:
            self._beats = 0
            raise
        self._begun = True
        found, self._found = self._found, []
        self._tell(bool(twin))
        if not self._shares_clients and not self._warned:
            await self._look_for_others()
        return found

    async def _look_for_others(self) -> None:
        """Warn of servers that beat while this one does. Those of before a restart don't beat any more."""
        try:
            found: list[bytes] = await self._command("ZREVRANGE", self._servers, 0, 2 * _NAMED)
            heard = {name: float(await self._command("ZSCORE", self._servers, name) or 0) for name in found}
        except Unavailable:
            return
        others = [name.decode(errors="replace") for name in heard if heard[name] > self._heard.get(name, heard[name])]
        self._heard = heard
        names = ", ".join(sorted(name for name in others if name != self.server)[:_NAMED])
        if names:
            self._warned = True
            _log.warning(
                "other servers use this queue in Redis (%s), and adapter.driver is local: clients of one server get "
                "no messages of another, and webhooks report the channels of each server alone; set adapter.driver to "
                "redis on all of them, or give each its own queue.redis.prefix",
                quoted(names),
            )

    def _tell(self, has_twin: bool) -> None:
        if has_twin and not self._has_twin:
            _log.error(
                "another running server has the server_id %s too: when one of them restarts, webhooks report the other "
                "one's clients as gone; give each server a server_id of its own",
                self.server,
            )
        elif self._has_twin and not has_twin:
            _log.info("no other server has the server_id %s any more", self.server)
        self._has_twin = has_twin

    async def _adopt(self, name: str, left: dict[str, Occupancy]) -> list[Occupancy]:
        self._asked = name, left  # until there is an answer: what the first call took over is not found again
        mine: list[Occupancy] = []
        for some in chunks(list(left) or [""]):  # a call with none makes an end of a server that left nothing
            mine += [left[ident.decode()] for ident in await self._call("adopt", self.server, name, *some)]
        self._asked = None
        return mine

    async def _read(self, server: str) -> dict[str, Occupancy]:
        found: dict[str, Occupancy] = {}
        cursor = 0
        while True:
            cursor, texts = await self._command("HSCAN", self._key + server, cursor, "COUNT", CHUNK)
            for ident, text in texts.items():
                occupancy = unpacked(ident.decode(), text)
                if occupancy is not None:
                    found[occupancy.id] = occupancy
            if cursor == 0:
                return found


def words(entries: Iterable[LedgerEntry], events: Sequence[Append]) -> list[Word]:
    """Return entries as the script of ``append`` reads them, with the events of the same call."""
    numbers = {event.id: str(number) for number, event in enumerate(events)}
    said: list[Word] = []
    for occupancy, over, endings, new in entries:
        state = ("new" if new else "over") if over else "there"
        said += (occupancy.id, packed(occupancy), state, " ".join(numbers[ident] for ident in endings))
    return said


def packed(occupancy: Occupancy) -> bytes:
    """Return an occupancy as it is kept, without its id."""
    _, app_id, channel, user_id, socket_id, owed = occupancy
    return b"\n".join((orjson.dumps((app_id, channel, user_id, socket_id)), *(uid.encode() for uid in owed)))


def unpacked(ident: str, text: bytes) -> Occupancy | None:
    """Return an occupancy as it was kept; None for a text that is none."""
    fields, *owed = text.split(b"\n")
    try:
        app_id, channel, user_id, socket_id = orjson.loads(fields)
        return Occupancy(ident, app_id, channel, user_id, socket_id, tuple(uid.decode() for uid in owed))
    except ValueError:
        return None
