"""The endpoints that the API has made, and switches of all endpoints: from the store into the registry, and back."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from sockudo_py.apps.base import AppManager
from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import ConfigError, SockudoError, Unavailable
from sockudo_py.management.audit import audit_line
from sockudo_py.management.endpoints.documents import (
    ORDER,
    OVERRIDE,
    RESYNC_DUE,
    Broken,
    Document,
    encode_override,
    read_document,
    read_order,
    read_override,
)
from sockudo_py.process.tasks import cancel
from sockudo_py.protocol.app import App
from sockudo_py.stores.endpoints.base import AuditLine, Conflict, Contents, EndpointStore, Row, Write
from sockudo_py.webhooks.endpoints.registry import MANAGED, EndpointRegistry, Override
from sockudo_py.webhooks.endpoints.validation import EndpointRules, problems_of

log = logging.getLogger(__name__)

POLL = 0.3  # seconds from one look whether another server has changed something to the next
AGAIN = 1.0  # seconds until a switch is stored again that the store has not taken

Define = Callable[[Document, App], Endpoint]


class ManagedEndpoints:
    """Keeps this server's registry equal to the store, also when another server changes the store.

    A row that can't be read, or that makes no endpoint under the present rules, is logged and left out; the others
    count. While the store is away the registry stays as it is.

    Args:
        store: Open it before ``start``.
        registry: Gets the endpoints, as the source MANAGED.
        apps: Whose keys sign.
        define: Makes the endpoint of a document. Raises ConfigError.
        rules: What endpoints may be.
        poll: Seconds between two looks at the store.
    """

    def __init__(
        self,
        store: EndpointStore,
        registry: EndpointRegistry,
        *,
        apps: AppManager,
        define: Define,
        rules: EndpointRules,
        poll: float = POLL,
    ) -> None:
        self.store = store
        self._registry = registry
        self._apps = apps
        self._define = define
        self._rules = rules
        self.poll = poll
        self._version = -1
        self._rows: Mapping[str, Row] = {}
        self._documents: dict[str, Document] = {}
        self._made: dict[str, tuple[int, App, Endpoint]] = {}  # uid -> of which revision and app
        self._complained: dict[str, int] = {}  # key -> revision
        self._settling = False
        self._unstored: dict[str, Override] = {}  # what the server has disabled itself
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.resyncs_due: set[str] = set()  # uids of endpoints
        self.on_rows: Callable[[], None] = lambda: None  # called when these have changed
        self.orders: dict[str, Mapping[str, int]] = {}  # uid -> resyncs for which its lane keeps its order
        self.on_orders: Callable[[], None] = lambda: None  # called when these have changed
        registry.subscribe(self._changed)

    async def start(self) -> None:
        """Read the store, and follow it. Raises Unavailable."""
        await self.refresh()
        if self.store.shared:
            self._begin(self._follow())

    async def stop(self) -> None:
        """Follow no longer."""
        for task in list(self._tasks):
            await cancel(task)

    # -- what is there

    def document(self, uid: str) -> Document | None:
        """Return the stored endpoint of this uid, if the API has made it."""
        return self._documents.get(uid)

    @property
    def count(self) -> int:
        """How many endpoints the API has made."""
        return len(self._documents)

    def documents(self, app_id: str) -> list[Document]:
        """Return those of an app, usable or not."""
        return [document for document in self._documents.values() if document.app_id == app_id]

    def row(self, key: str) -> Row | None:
        """Return a row as it is kept; None: there is none."""
        return self._rows.get(key)

    def revision(self, key: str) -> int:
        """Return the revision of a row; 0: there is none."""
        row = self._rows.get(key)
        return 0 if row is None else row.revision

    # -- changes

    async def write(self, writes: Sequence[Write], audit: AuditLine | None) -> None:
        """Change rows; when this returns the change is kept, and counts on this server.

        Raises Conflict, after reading what others have written; StoreFull, Unavailable.
        """
        async with self._lock:
            try:
                version = await self.store.write(writes, audit)
            except Conflict:
                self._settle(await self.store.load())
                raise
            if version == self._version + 1:
                rows = dict(self._rows)
                for write in writes:
                    rows.pop(write.key, None)
                    if write.text is not None:
                        rows[write.key] = Row(version, write.text)
                self._settle(Contents(version, rows))
            elif writes:
                self._settle(await self.store.load())

    async def switch(self, uid: str, writes: Sequence[Write], audit: AuditLine | None) -> None:
        """As ``write``, for a switch by hand: it counts more than what the server has switched off itself."""
        unstored = self._unstored.pop(uid, None)
        try:
            await self.write(writes, audit)
        except BaseException:
            if unstored is not None:
                self._unstored[uid] = unstored
            raise
        if not writes:
            self._apply(())

    async def refresh(self) -> None:
        """Read the store, if it has changed. Raises Unavailable."""
        async with self._lock:
            if self._version < 0 or await self.store.version() != self._version:
                self._settle(await self.store.load())

    def app_changed(self, app_id: str) -> None:
        """An app was added, has other keys, or is gone."""
        self._apply([app_id])

    def redefine(self) -> None:
        """Make all endpoints again: defaults of the configuration have changed."""
        self._made.clear()
        self._apply({document.app_id for document in self._documents.values()})

    # -- from the store into the registry

    async def _follow(self) -> None:
        away = False
        while True:
            await asyncio.sleep(self.poll)
            try:
                await self.refresh()
                if away:
                    log.info("the endpoint store can be reached again")
                away = False
            except Unavailable as problem:
                if not away:
                    log.warning("webhook endpoints stay as they are, changes by the API are refused: %s", problem)
                away = True
            except Exception:
                log.exception("reading the endpoint store failed")

    def _settle(self, contents: Contents) -> None:
        before, self._rows = self._rows, contents.rows
        self._version = contents.version
        touched: set[str] = set()
        orders = self.orders
        for key in {*before, *contents.rows}:
            old, new = before.get(key), contents.rows.get(key)
            if key.startswith(OVERRIDE) or (old is not None and new is not None and old.revision == new.revision):
                continue
            if key.startswith(RESYNC_DUE):
                self._note(key.removeprefix(RESYNC_DUE), new)
            elif key.startswith(ORDER):
                self.orders = self._ordered(key, new)
            else:
                touched |= self._take(key, new)
        self._apply(touched)
        if self.resyncs_due:
            self.on_rows()
        if self.orders is not orders:
            self.on_orders()

    def _note(self, uid: str, row: Row | None) -> None:
        if row is None:
            self.resyncs_due.discard(uid)
        else:
            self.resyncs_due.add(uid)

    def _ordered(self, key: str, row: Row | None) -> dict[str, Mapping[str, int]]:
        """Return the orders after a change of such a note."""
        orders = {**self.orders}
        orders.pop(key.removeprefix(ORDER), None)
        if row is not None:
            try:
                orders[key.removeprefix(ORDER)] = read_order(row.text)
            except Broken as problem:
                self._complain(key, row.revision, str(problem))
        return orders

    def _take(self, key: str, row: Row | None) -> set[str]:
        """Read the row of an endpoint; return the apps that are concerned."""
        old = self._documents.pop(key, None)
        new = None
        if row is not None:
            try:
                new = self._documents[key] = read_document(key, row.text)
            except Broken as problem:
                self._complain(key, row.revision, str(problem))
        return {document.app_id for document in (old, new) if document is not None}

    def _apply(self, app_ids: Iterable[str]) -> None:
        """Set the endpoints of these apps, and all switches."""
        self._settling = True
        try:
            for app_id in app_ids:
                app = self._apps.by_id(app_id)
                documents = [] if app is None else sorted(self.documents(app_id), key=lambda one: one.number)
                endpoints = [one for one in (self._endpoint(document, app) for document in documents if app) if one]
                try:
                    self._registry.replace(app_id, MANAGED, endpoints)
                except ConfigError as problem:
                    log.error("webhooks of app %s that the API has made stay as they were: %s", app_id, problem)
            for uid in [uid for uid in self._made if uid not in self._documents]:
                del self._made[uid]
            overrides = {**self._overrides(), **self._unstored}
            self._registry.restore(overrides)
        finally:
            self._settling = False
        self._forget_idle()

    def _endpoint(self, document: Document, app: App) -> Endpoint | None:
        uid, revision = document.uid, self.revision(document.uid)
        made = self._made.get(uid)
        if made is not None and made[0] == revision and made[1] is app:
            return made[2]
        if self._registry.source_of(uid) not in (None, MANAGED):
            self._complain(uid, revision, "the configuration has an endpoint of the same uid")
            return None
        try:
            endpoint = self._define(document, app)
            problems = list(problems_of(endpoint, self._rules))
        except ConfigError as problem:
            problems = problem.problems
        except ValueError:
            problems = ["its fields are not what this version knows"]
        if problems:
            self._complain(uid, revision, "; ".join(problems))
            return None
        self._made[uid] = revision, app, endpoint
        return endpoint

    def _overrides(self) -> dict[str, Override]:
        found = {}
        for key, row in self._rows.items():
            if not key.startswith(OVERRIDE):
                continue
            try:
                found[key.removeprefix(OVERRIDE)] = read_override(row.text)
            except Broken as problem:
                self._complain(key, row.revision, str(problem))
        return found

    def _complain(self, key: str, revision: int, why: str) -> None:
        if self._complained.get(key) == revision:
            return
        self._complained[key] = revision
        log.error("the endpoint store: a row does not count, and the others do", extra={"row": key, "reason": why})

    # -- from the registry into the store

    def _changed(self, old: Endpoint | None, new: Endpoint | None) -> None:
        """Note what the server has switched off itself, so that it holds on all servers and over a restart."""
        if self._settling or old is None or new is None or not old.enabled or new.enabled:
            return
        override = self._registry.override_of(new.uid)
        if override is None or override.target is None:
            return
        self._unstored[new.uid] = override
        self._begin(self._keep(new))

    async def _keep(self, endpoint: Endpoint) -> None:
        uid = endpoint.uid
        while uid in self._unstored:
            override = self._unstored[uid]
            line = audit_line("server", "disable", app_id=endpoint.app_id, webhook_id=uid, fields=["enabled"])
            try:
                await self.write(
                    [Write(OVERRIDE + uid, self.revision(OVERRIDE + uid), encode_override(override))], line
                )
                self._unstored.pop(uid, None)
            except Conflict:
                continue
            except Unavailable:
                await asyncio.sleep(AGAIN)
            except SockudoError as problem:
                log.error("a webhook endpoint that was disabled counts as disabled on this server alone: %s", problem)
                return

    def _forget_idle(self) -> None:
        """Delete switches that count no longer: the file says something else now, or the endpoint has another URL."""
        idle = [
            key
            for key in self._rows
            if key.startswith(OVERRIDE)
            and self._registry.by_uid(uid := key.removeprefix(OVERRIDE)) is not None
            and self._registry.override_of(uid) is None
        ]
        if idle:
            self._begin(self._delete(idle))

    async def _delete(self, keys: list[str]) -> None:
        with contextlib.suppress(SockudoError):
            await self.write([Write(key, self.revision(key), None) for key in keys if self.revision(key)], None)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="managed-endpoints")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
