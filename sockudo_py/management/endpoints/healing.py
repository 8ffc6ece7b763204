"""Resyncs that nobody has to ask for: of endpoints with ``auto_resync`` that may have missed something.

They have when they were disabled, with or without ``drop``, or when their dead letters were purged. A *note* in the
endpoint store says so from then on, and goes when the queue has the resync, so a kill in between costs nothing. Of
several servers one makes the resync: the one that has signed the note.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.management.endpoints.documents import RESYNC_DUE, encode_note, note_taken_ms
from sockudo_py.management.endpoints.managed import ManagedEndpoints
from sockudo_py.process.tasks import cancel
from sockudo_py.stores.endpoints.base import Conflict, Write
from sockudo_py.webhooks.endpoints.registry import EndpointRegistry
from sockudo_py.webhooks.resync import AlreadyRunning, Resync

log = logging.getLogger(__name__)

AGAIN = 1.0  # seconds until something is tried again
TAKEN_FOR = 30.0  # seconds after which a note that was signed counts as unsigned; two resyncs at a time do no harm


class Healing:
    """Makes the resyncs.

    Args:
        managed: Has the notes.
        registry: Says which endpoints there are, and which of them are disabled.
        resync: Makes a resync; None: no webhooks are sent, and nothing is done here.
        clock: Unix seconds.
        again: Seconds until something is tried again.
    """

    def __init__(
        self,
        managed: ManagedEndpoints,
        registry: EndpointRegistry,
        resync: Resync | None,
        *,
        clock: Callable[[], float] = time.time,
        again: float = AGAIN,
    ) -> None:
        self._managed = managed
        self._registry = registry
        self._resync = resync
        self._clock = clock
        self._again = again
        self._unsigned_ms = 0  # what was signed up to then is not being made
        self._missing: set[str] = set()  # endpoints that are disabled, and perhaps have no note yet
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        if resync is not None:
            registry.subscribe(self._changed)
            managed.on_rows = self._wake.set

    def start(self) -> None:
        """Begin. The store was read."""
        if self._resync is not None:
            if not self._managed.store.shared:  # this process is the only one: an earlier one has died
                self._unsigned_ms = int(self._clock() * 1000)
            self._missing.update(one.uid for one in self.wanting() if not one.enabled)
            self._task = asyncio.create_task(self._run(), name="webhook-healing")

    async def stop(self) -> None:
        """End. A resync that is under way is made again after the next start."""
        await cancel(self._task)
        self._task = None

    def wanting(self, uid: str | None = None, app_id: str | None = None) -> list[Endpoint]:
        """Return the endpoints that ask for it: this one, or those of an app, or all."""
        if self._resync is None:
            return []
        return [
            one
            for one in self._registry.all()
            if one.auto_resync and uid in (None, one.uid) and app_id in (None, one.app_id)
        ]

    async def note(self, endpoints: Iterable[Endpoint]) -> None:
        """Note that these have missed something; it is kept when this returns. Raises Unavailable, StoreFull."""
        for endpoint in endpoints:
            for _ in range(10):
                with contextlib.suppress(Conflict):
                    await self._managed.write([self._noted(endpoint.uid)], None)
                    break
        self._wake.set()

    # -- what the registry says

    def _changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        if new is not None and new.auto_resync and not new.enabled:
            self._missing.add(new.uid)
        self._wake.set()

    def _noted(self, uid: str) -> Write:
        key = RESYNC_DUE + uid
        return Write(key, self._managed.revision(key), encode_note())

    # -- the work

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            waits = True
            try:
                waits = await self._work()
            except Unavailable:
                pass  # ``managed`` and the dispatcher log it
            except SockudoError as problem:
                log.error("a webhook endpoint that asks for resyncs may get none: %s", problem)
            except Exception:
                log.exception("resyncing webhook endpoints failed")
            if waits:
                await asyncio.sleep(self._again)
            else:
                await self._wake.wait()

    async def _work(self) -> bool:
        """Write missing notes, and do what notes say. Return whether something has to be tried again."""
        for uid in list(self._missing):
            if not self._managed.row(RESYNC_DUE + uid):
                with contextlib.suppress(Conflict):  # another server has noted it
                    await self._managed.write([self._noted(uid)], None)
            self._missing.discard(uid)
        waits = False
        for uid in sorted(self._managed.resyncs_due):
            waits = await self._heal(uid) or waits
        return waits

    async def _heal(self, uid: str) -> bool:
        """Make the resync of a note, if it is time and nobody else does. Return whether to look again."""
        key, now_ms = RESYNC_DUE + uid, int(self._clock() * 1000)
        row, endpoint = self._managed.row(key), self._registry.by_uid(uid)
        if row is None:
            return False
        if endpoint is None or not endpoint.enabled:  # its app may be unknown yet
            return False
        if not endpoint.auto_resync:
            return not await self._strike_out(key, row.revision)
        taken_ms = note_taken_ms(row.text)
        if taken_ms > self._unsigned_ms and now_ms - taken_ms < TAKEN_FOR * 1000:
            return True
        with contextlib.suppress(Conflict):
            await self._managed.write([Write(key, row.revision, encode_note(now_ms))], None)
            signed = self._managed.revision(key)
            try:
                await self._make(endpoint)
            except BaseException:
                await self._let_go(key, signed)
                raise
            return not await self._strike_out(key, signed)
        return True

    async def _make(self, endpoint: Endpoint) -> None:
        if self._resync is None:
            return
        while True:
            try:
                done = await self._resync.run(endpoint)
            except AlreadyRunning:  # it may have begun before the loss
                await asyncio.sleep(self._again)
                continue
            log.info(
                "a webhook endpoint that missed events is resynced", extra={"webhook": endpoint.uid, "id": done.id}
            )
            return

    async def _strike_out(self, key: str, revision: int) -> bool:
        """Delete a note, unless more was missed meanwhile; return whether it is gone."""
        try:
            await self._managed.write([Write(key, revision, None)], None)
        except Conflict:
            return False
        return True

    async def _let_go(self, key: str, revision: int) -> None:
        with contextlib.suppress(SockudoError):
            await self._managed.write([Write(key, revision, encode_note())], None)
