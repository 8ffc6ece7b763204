"""The queue in Redis: for production and for many nodes. Keys and scripts are explained in ``lua/queue_common.lua``.

The lists ``<prefix>default`` and ``<prefix>failed`` are for operators, too: ``redis-cli rpoplpush sockudo_queue:failed
sockudo_queue:default`` delivers the oldest dead job again.
"""

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.links.redis.address import RedisAddress, address_of
from sockudo_py.links.redis.link import RedisLink, Script
from sockudo_py.links.redis.wire import Word
from sockudo_py.metrics import Metrics
from sockudo_py.queues import jobs
from sockudo_py.queues.base import (
    ENDPOINT_DELETED,
    LONGEST_WAIT,
    Append,
    Claim,
    DeadLetters,
    Depths,
    LaneDepth,
    LanePolicy,
    LedgerEntry,
    Occupancy,
    QueueFull,
)
from sockudo_py.queues.local.classes import SlotPolicy
from sockudo_py.queues.metrics import QueueMetrics
from sockudo_py.queues.once import MOST_KEYS, OnceKey
from sockudo_py.queues.redis.encoding import CHUNK, chosen, chunks, packed, tagged
from sockudo_py.queues.redis.ledger import RedisLedger, words
from sockudo_py.queues.redis.turns import APART, Turns
from sockudo_py.queues.waker import Waker

_log = logging.getLogger(__name__)
_POLL = 0.25  # seconds; an operator's rpoplpush must be noticed within 0.5
_MEND_EVERY = 60.0  # seconds
_MOST_CLAIMED = 500  # in one script call
_LAST_ANSWERS = 0.5  # seconds for answers under way at the end; their jobs would come again
_MOST_ASIDE = 500  # lanes that a claim leaves to other workers


class RedisQueue:
    """``Queue`` in Redis 7.0 or later.

    Args:
        address: Where Redis is, or its URL.
        keys: The configuration keys that say so, for messages.
        prefix: Of all keys. In a cluster it needs a hash tag (``{sockudo_queue}:``).
        max_connections: How many connections this queue opens at most.
        response_timeout: Seconds to wait for an answer, for a connection, and for a free connection.
        metrics: Where to count.
        slots: How many jobs a worker holds at once; the shares of the classes are taken of it.
        probation_share: The share of lanes on probation, 0 to 1.
        max_queue_len: How many jobs and events there may be, dead ones apart; 0: any number. See ``local/headroom.py``.
        failed_max_len: How many dead jobs are kept; the oldest go first, and are counted. 0: any number.
        max_crash_redeliveries: A job whose lease expired more often than this is poison.
        dedup_ttl: Seconds for which an appended id is known.
        wait_replicas: How many replicas must have an event before ``append`` returns.
        default_policy: Of lanes without one.
        longest_wait: Seconds. No job is delayed, no lane is gated for longer once this queue starts to claim, unless a
            policy says so.
        clock_shift: Seconds added to the server's clock, for tests.
        server_id: The name of this server among the servers that share the queue; its ledger has this name.
        shares_clients: As in ``RedisLedger``.
    """

    durable = True
    keeps_ledger = True
    at_once = CHUNK

    def __init__(
        self,
        address: str | RedisAddress,
        *,
        keys: str = "database.redis (or queue.redis.url_override)",
        prefix: str = "sockudo_queue:",
        max_connections: int = 8,
        response_timeout: float = 5.0,
        metrics: Metrics | None = None,
        slots: int = 80,
        probation_share: float = 0.5,
        max_queue_len: int = 1_000_000,
        failed_max_len: int = 0,
        max_crash_redeliveries: int = 5,
        dedup_ttl: float = 300.0,
        wait_replicas: int = 0,
        default_policy: LanePolicy | None = None,
        longest_wait: float = LONGEST_WAIT,
        clock_shift: float = 0.0,
        server_id: str = "",
        shares_clients: bool = True,
    ) -> None:
        self._prefix = prefix
        self._in_cluster = bool(address_of(address).nodes)
        self._shares = " ".join(map(str, SlotPolicy(slots, probation_share).most))
        self._max_queue_len = max_queue_len
        self._failed_max_len = failed_max_len
        self._max_crashes = max_crash_redeliveries
        self._dedup_ms = round(dedup_ttl * 1000)
        self._replicas = wait_replicas
        self._longest_wait = round(longest_wait * 1000)
        self._default_policy = packed(default_policy or LanePolicy())
        self.clock_shift = clock_shift
        self._count = QueueMetrics(metrics or Metrics())
        self._link = RedisLink(
            address,
            owner="queue",
            keys=keys,
            prefix=prefix,
            max_connections=max_connections,
            response_timeout=response_timeout,
            errors=self._count.store_errors,
        )
        self._ledger = RedisLedger(server_id, prefix, self._call, self._link.command, shares_clients=shares_clients)
        self._scripts: dict[str, Script] = {}
        self._policies: dict[str, str] = {}
        self._boot = secrets.token_hex(4)  # distinguishes this instance's claims from all others
        self._sequences: dict[str, int] = {}
        self._claiming = asyncio.Lock()
        self._waker = Waker(_POLL)
        self._turns = Turns(self._turn, self._waker.soon)
        self._epoch = b""  # of the store that has our policies
        self._away: dict[str, float] = {}  # lanes to leave to others, until when (the loop's clock)
        self._mended: float | None = None
        self._appended = 0.0  # when the last append returned (the loop's clock)

    async def open(self) -> None:
        """Connect and check the server."""
        if self._in_cluster and not tagged(self._prefix):
            raise SockudoError(
                f'queue.redis.prefix: "{self._prefix}" spreads the keys over a cluster; '
                "use one with a hash tag, such as {sockudo_queue}:"
            )
        info = await self._link.info()
        version = str(info.get("redis_version", "0"))
        if int(version.split(".")[0]) < 7:
            raise SockudoError(f"Redis at {self._link.where} is {version}; the queue needs 7.0 or later")
        evict = await self._link.config("maxmemory-policy")
        if evict is None or await self._link.config("appendonly") is None:
            _log.warning(
                "can't read the configuration of Redis at %s: check that it persists its data", self._link.where
            )
            return
        if evict != "noeviction":
            _log.error(
                "Redis at %s has maxmemory-policy %s and may throw queued webhooks away; set noeviction",
                self._link.where,
                evict,
            )
        if await self._link.config("appendonly") == "no":
            _log.warning("Redis at %s has appendonly no: a crash there loses queued webhooks", self._link.where)

    async def close(self) -> None:  # noqa: D102
        await self._turns.close(_LAST_ANSWERS)
        await self._link.close()

    async def set_policy(self, endpoint: str, policy: LanePolicy) -> None:  # noqa: D102
        self._policies[endpoint] = packed(policy)
        self._longest_wait = max(self._longest_wait, round(policy.longest_wait * 1000))
        await self._call("lane", "policy", endpoint, self._policies[endpoint])
        self._waker.soon()

    async def append(self, events: Sequence[Append], ledger: Sequence[LedgerEntry] = ()) -> None:  # noqa: D102
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._append_all(events, ledger)
        # Who appends without a pause gathers more for each call by waiting a little for its end.
        if begun - self._appended < APART and (wait := begun + APART - loop.time()) > 0:
            await asyncio.sleep(wait)
        self._appended = loop.time()

    async def _append_all(self, events: Sequence[Append], ledger: Sequence[LedgerEntry]) -> None:
        if ledger:
            if len(events) > CHUNK:
                raise ValueError(f"{len(events)} events with entries for the ledger; {CHUNK} are one script call")
            await self._append(events, words(ledger, events), len(ledger))
            return
        refused: list[Append] = []
        full: set[str] = set()
        for some in chunks(events):
            # What comes behind a refused event must not overtake it.
            refused += [event for event in some if event.endpoint in full]
            chunk = [event for event in some if event.endpoint not in full]
            if not chunk:
                continue
            try:
                await self._append(chunk)
            except QueueFull as some_refused:
                refused += some_refused.refused
                full.update(event.endpoint for event in some_refused.refused)
        if refused:
            raise QueueFull(refused)

    async def append_once(self, key: OnceKey, events: Sequence[Append]) -> bytes | None:  # noqa: D102
        if len(events) > CHUNK:
            raise ValueError(f"{len(events)} events under a key; {CHUNK} are one script call")
        return await self._append(events, [key.app_id, key.digest, key.value, MOST_KEYS], "once")

    async def _append(
        self, events: Sequence[Append], more: Sequence[Word] = (), entries: int | str = 0
    ) -> bytes | None:
        words: list[Word] = [self._dedup_ms, self._max_queue_len, self._ledger.server, entries, *more]
        for event in events:
            text = jobs.encode_event(event)
            words += (event.id, event.endpoint, event.app_id, b"!" + text if event.solo else text)
        if self._replicas:
            answer = await self._link.call_replicated(self._replicas, *self._words("append", words))
        else:
            answer = await self._call("append", *words)
        if isinstance(answer, bytes):
            return answer
        _, known, opens, *numbers = answer
        self._count.duplicates.add(amount=known)
        if opens >= 0:
            self._waker.soon(opens / 1000)
        if numbers:
            raise QueueFull([events[number] for number in numbers])
        return None

    async def inherit(self) -> Sequence[Occupancy]:  # noqa: D102
        return await self._ledger.inherit()

    async def claim(self, worker: str, limit: int, lease: float) -> list[Claim]:  # noqa: D102
        if limit <= 0:
            return []
        worker = f"{worker.replace(' ', '_')}-{self._boot}"
        async with self._claiming:
            await self._mend(round(lease * 1000))
            self._waker.begin()
            sequence = self._sequences.get(worker, 1)
            try:
                found = await self._turns.claim(worker, sequence, min(limit, _MOST_CLAIMED), round(lease * 1000))
            except Unavailable:
                self._epoch = b""  # it may come back as a replica that lacks the end
                raise
            due, epoch, expired, poisoned, *pairs = found
            if epoch != self._epoch:
                await self._send_missing_policies()
                self._epoch = epoch
            self._sequences[worker] = sequence + 1  # only now: what failed half-way is repeated with its number
        self._count.expired.add(amount=expired)
        self._count.poison.add(amount=poisoned)
        if due >= 0:
            self._waker.soon(due / 1000)
        return [Claim(pairs[at].decode(), jobs.revive(pairs[at + 1])) for at in range(0, len(pairs), 2)]

    async def claim_lane(  # noqa: D102
        self, endpoint: str, limit: int, lease: float, size: int | None = None
    ) -> list[Claim]:
        call = f"reader:{secrets.token_hex(8)}"
        words = (endpoint, call, min(limit, _MOST_CLAIMED), round(lease * 1000), size or 0, self._failed_max_len)
        trimmed, poisoned, *pairs = await self._call("lane_claim", *words)
        self._count.trimmed.add(amount=trimmed)
        self._count.poison.add(amount=poisoned)
        return [Claim(pairs[at].decode(), jobs.revive(pairs[at + 1])) for at in range(0, len(pairs), 2)]

    async def ack(self, token: str) -> bool:  # noqa: D102
        return await self._answer("ack", token)

    async def ack_all(self, tokens: Sequence[str]) -> set[str]:  # noqa: D102
        answers = await asyncio.gather(*(self._turns.ask("ack", token) for token in tokens))
        return {token for token, done in zip(tokens, answers, strict=True) if done != 1}

    async def retry(self, token: str, job: bytes, delay: float, *, healthy: bool = False) -> bool:  # noqa: D102
        jobs.require_header(job)
        return await self._answer("retry", token, job, round(delay * 1000), int(healthy))

    async def fail(self, token: str, job: bytes, *, healthy: bool = False) -> bool:  # noqa: D102
        return await self._answer("fail", token, job, int(healthy))

    async def release(self, token: str, *, away: float = 0.0) -> bool:  # noqa: D102
        lane = await self._turns.answer("release", token)
        if lane == 0:
            return False
        if away:
            endpoint = lane.decode()
            if len(self._aside()) < _MOST_ASIDE:
                self._away[endpoint] = self._time() + away
            else:  # too many to list them in each call: this keeps other workers away, too
                await self.gate(endpoint, away)
        return True

    async def renew(self, tokens: Sequence[str], lease: float) -> set[str]:  # noqa: D102
        lost: set[str] = set()
        for chunk in chunks(tokens):
            lost.update(token.decode() for token in await self._call("renew", round(lease * 1000), *chunk))
        return lost

    async def pause(self, endpoint: str) -> None:  # noqa: D102
        await self._call("lane", "pause", endpoint)

    async def resume(self, endpoint: str) -> None:  # noqa: D102
        await self._call("lane", "resume", endpoint)
        self._waker.soon()

    async def paused_lanes(self) -> list[str]:  # noqa: D102
        members = await self._link.command("SMEMBERS", self._prefix + "paused")
        return sorted(member.decode() for member in members)

    async def gate(self, endpoint: str, seconds: float) -> None:  # noqa: D102
        await self._call("lane", "gate", endpoint, round(seconds * 1000))
        self._waker.soon(seconds)

    async def drop(self, endpoint: str, error_class: str) -> int:  # noqa: D102
        forget = int(error_class == ENDPOINT_DELETED)
        if forget:
            self._policies.pop(endpoint, None)
        moved, rank = 0, 0
        while rank >= 0:
            done, rank, trimmed = await self._call("drop", endpoint, error_class, rank, self._failed_max_len, forget)
            moved += done
            self._count.trimmed.add(amount=trimmed)
        return moved

    async def redrive(self, endpoint: str | None = None, limit: int = 1000) -> int:  # noqa: D102
        return await self.redrive_dead(DeadLetters(endpoint=endpoint), limit)

    async def failed(self, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        if limit <= 0:
            return []
        texts: list[bytes] = await self._link.command("LRANGE", self._prefix + "failed", offset, offset + limit - 1)
        return texts

    async def purge(self, endpoint: str | None = None) -> int:  # noqa: D102
        return await self.purge_dead(DeadLetters(endpoint=endpoint))

    async def find_dead(self, which: DeadLetters, offset: int = 0, limit: int = 50) -> list[bytes]:  # noqa: D102
        found: list[bytes] = []
        place = 0
        while place >= 0 and len(found) < limit:
            place, offset, *some = await self._call("find", place, offset, limit - len(found), *chosen(which))
            found += some
        return found

    async def redrive_dead(self, which: DeadLetters, limit: int = 1000) -> int:  # noqa: D102
        done = await self._dead("redrive", which, limit)
        self._count.redriven.add(amount=done)
        self._waker.soon()
        return done

    async def purge_dead(self, which: DeadLetters) -> int:  # noqa: D102
        return await self._dead("purge", which, 2**53)

    async def depths(self, lanes: int = 20) -> Depths:  # noqa: D102
        waiting, active, delayed, failed, oldest, *rest = await self._call("depths", lanes)
        deepest = tuple(LaneDepth(rest[at].decode(), *rest[at + 1 : at + 5]) for at in range(0, len(rest), 5))
        return Depths(waiting, active, delayed, failed, oldest, deepest)

    async def lane(self, endpoint: str) -> LaneDepth:  # noqa: D102
        depth = await self._link.command("ZSCORE", self._prefix + "depth", endpoint)
        flying = await self._link.command("HGET", self._prefix + "inflight", endpoint)
        later = await self._link.command("HGET", self._prefix + "later", endpoint)
        return LaneDepth(endpoint, int(float(depth or 0)), int(flying or 0), delayed=int(later or 0))

    async def wait(self, timeout: float) -> None:  # noqa: D102
        await self._waker.wait(timeout)

    def _words(self, name: str, words: Sequence[Word]) -> tuple[Script, str, list[Word]]:
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = Script(f"queue_{name}")
        return script, self._prefix, [round(self.clock_shift * 1000), self._default_policy, *words]

    async def _call(self, name: str, *words: Word) -> Any:
        script, prefix, args = self._words(name, words)
        return await self._link.call(script, prefix, args)

    async def _answer(self, *words: Word) -> bool:
        done: int = await self._turns.answer(*words)
        return done == 1

    async def _turn(self, claim: Sequence[Word], answers: Sequence[Word]) -> tuple[Sequence[Any], Sequence[Any]]:
        aside = self._aside() if claim else ()
        said, trimmed, *found = await self._call(
            "turn",
            *(claim or ("", 0, 0, 0)),
            self._shares,
            self._max_crashes,
            self._failed_max_len,
            len(aside),
            *aside,
            *answers,
        )
        self._count.trimmed.add(amount=trimmed)
        return said, found

    async def _dead(self, verb: str, which: DeadLetters, limit: int) -> int:
        moved, skip = 0, 0
        while skip >= 0 and moved < limit:
            done, skip = await self._call("dead", verb, limit - moved, skip, *chosen(which))
            moved += done
        return moved

    async def _send_missing_policies(self) -> None:
        """After a FLUSHALL all are; a node with another configuration may have removed one that is ours."""
        for chunk in chunks(list(self._policies.items())):
            await self._call("lane", "missing", *(word for pair in chunk for word in pair))

    def _aside(self) -> list[str]:
        """Return the lanes that are left to others now."""
        if self._away:
            now = self._time()
            self._away = {endpoint: until for endpoint, until in self._away.items() if until > now}
        return list(self._away)

    def _time(self) -> float:
        return asyncio.get_running_loop().time() + self.clock_shift

    async def _mend(self, lease_ms: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._mended is None or now - self._mended >= _MEND_EVERY:
            start, more = int(self._mended is None), 1
            while more:
                wrong, more = await self._call("mend", start, self._longest_wait, lease_ms)
                self._count.mended.add(amount=wrong)
            await self._send_missing_policies()
            self._mended = now
