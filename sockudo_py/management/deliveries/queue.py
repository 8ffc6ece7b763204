"""The management routes about the queue: its figures and its dead letters. Free of what carries them."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError
from sockudo_py.http.description.notation import Param, flag, number
from sockudo_py.http.description.notation import listed as listed_field
from sockudo_py.management.audit import audit_line
from sockudo_py.management.credentials.keys import Admin
from sockudo_py.management.deliveries.attempts import shown
from sockudo_py.management.deliveries.letters import Letters, count, describe, page
from sockudo_py.management.endpoints.healing import Healing
from sockudo_py.management.requests.answers import COUNTED, DELETED, LETTER, LETTER_WHOLE, MATCHED, QUEUE, listed
from sockudo_py.management.requests.params import APP_ID, DRY_RUN, PAGE, TIMES, WEBHOOK
from sockudo_py.management.requests.router import Handler, Route
from sockudo_py.management.requests.scope import app_of, may_see, unknown_webhook
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused
from sockudo_py.queues import jobs
from sockudo_py.queues.base import MOST_IDS, DeadLetters
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.stores.history.base import Scope
from sockudo_py.webhooks.history.reader import HistoryReader

log = logging.getLogger(__name__)

MOST_RETRIED = 10_000  # by one request, so that it is answered soon
_LANES = 1000
_WHICH = (
    *WEBHOOK,
    APP_ID,
    listed_field("ids", "Ids of deliveries."),
    Param("error_class", says="Class of the last error."),
    *TIMES,
)
_LIST = (*_WHICH, *PAGE, flag("payload", "true: whole jobs."))
_AT_ONCE = number("limit", "Dead letters that are sent again by this request.", default=1000, most=MOST_RETRIED)
_RETRY = (*_WHICH, _AT_ONCE, DRY_RUN)
_PURGE = (*_WHICH, DRY_RUN)


class QueueRoutes:
    """Answers requests about the queue.

    Args:
        letters: Dead letters and figures.
        endpoints: Returns all that there are now.
        figures: Returns this server's figures of the last hour, for keys of all apps.
        store: Gets a line of the audit for each change.
        reader: Of the history; None: none is kept, or it can't be asked.
        healing: Resyncs endpoints whose dead letters were purged; None: nobody does.
    """

    def __init__(
        self,
        letters: Letters,
        endpoints: Callable[[], Iterable[Endpoint]],
        *,
        figures: Callable[[], Mapping[str, Any]] = dict,
        store: EndpointStore | None = None,
        reader: HistoryReader | None = None,
        healing: Healing | None = None,
    ) -> None:
        self._letters = letters
        self._figures = figures
        self._store = store
        self._endpoints = endpoints
        self._reader = reader
        self._healing = healing

        def route(method: str, rest: str, handler: Handler, **said: Any) -> Route:
            return Route(method, f"/api/webhooks/queue{rest}", handler, tag="Queue", **said)

        self.table = (
            route("GET", "/stats", self.stats, answers={200: QUEUE}),
            route("GET", "/failed", self.failed, fields=_LIST, answers={200: listed("failed", LETTER)}),
            route("DELETE", "/failed", self.purge, fields=_PURGE, answers={200: {"anyOf": [DELETED, MATCHED]}}),
            route("POST", "/retry-failed", self.retry, fields=_RETRY, answers={200: MATCHED, 202: COUNTED}),
            route("GET", "/failed/{id}", self.letter, fields=(APP_ID,), answers={200: LETTER_WHOLE}),
        )

    async def stats(self, asked: Asked) -> Answer:
        """Show how much is where, and the deepest lanes. A key of some apps sees the lanes of their endpoints alone."""
        Fields(asked)
        admin = asked.admin
        seen = {one.uid: one for one in self._endpoints() if may_see(admin, one)}
        depths = asdict(await self._letters.depths(_LANES))
        whole = admin.sees_everything()
        lanes = [
            {"webhookId": lane.pop("endpoint"), **lane}
            for lane in depths.pop("lanes")
            if whole or lane["endpoint"] in seen
        ]
        paused = sum(not one.enabled for one in seen.values())
        if whole:
            return Answer(200, {**depths, "paused": paused, **self._figures(), "lanes": lanes})
        failed = [await count(self._letters, DeadLetters(app_id=app_id)) for app_id in sorted(admin.apps)]
        waiting = sum(lane["waiting"] for lane in lanes)
        figures = {
            "waiting": waiting,
            "active": sum(lane["in_flight"] for lane in lanes),
            "failed": sum(found for found, _ in failed),
            "paused": paused,
            "queue_depth": waiting,
        }
        return Answer(200, {**figures, "lanes": lanes})

    # -- dead letters

    async def failed(self, asked: Asked) -> Answer:
        """List dead letters, newest first. ``payload`` true: whole jobs."""
        fields = Fields(asked)
        which = await self._which(asked.admin, fields)
        whole = fields.flag("payload")
        texts, more = await page(self._letters, which, fields.number("limit"), fields.text("cursor"))
        return Answer(200, {"failed": [describe(text, whole=whole) for text in texts], "next_cursor": more})

    async def letter(self, asked: Asked) -> Answer:
        """Show one dead letter with its events, and all attempts that are kept."""
        fields = Fields(asked)
        app_id = app_of(asked.admin, fields.text("app_id"))
        (ident,) = asked.segments
        texts = await self._letters.find_dead(DeadLetters(ids=frozenset({ident}), app_id=app_id), 0, 1)
        if not texts:
            raise Refused(404, "unknown_delivery", f"no dead letter has the id {ident[:200]}")
        attempts = [] if self._reader is None else await self._reader.delivery(ident, _scope_of(texts[0]))
        links = {} if self._reader is None else await self._reader.links([ident])
        log = [shown(kept, links) for kept in attempts]
        return Answer(200, {**describe(texts[0], whole=True), "attempt_log": log})

    async def retry(self, asked: Asked) -> Answer:
        """Send dead letters again, oldest first."""
        fields = Fields(asked)
        which = await self._which(asked.admin, fields)
        limit = fields.number("limit")
        if fields.flag("dry_run"):
            return await self._matched(which)
        retried = await self._letters.redrive_dead(which, limit)
        await self._note(asked.admin, "retry_failed", f"{retried} dead letters sent again", which, retried)
        return Answer(202, {"retried": retried})

    async def purge(self, asked: Asked) -> Answer:
        """Delete dead letters for good."""
        fields = Fields(asked)
        which = await self._which(asked.admin, fields)
        if fields.flag("dry_run"):
            return await self._matched(which)
        await self._note_missed(which)  # first: a kill in between costs a resync too many, and none too few
        deleted = await self._letters.purge_dead(which)
        await self._note(asked.admin, "purge_failed", f"{deleted} dead letters deleted", which, deleted)
        return Answer(200, {"deleted": deleted})

    async def _note_missed(self, which: DeadLetters) -> None:
        """Note whose dead letters are about to go, of endpoints that ask for a resync then."""
        if self._healing is None:
            return
        for one in self._healing.wanting(which.endpoint, which.app_id):
            if await self._letters.find_dead(replace(which, endpoint=one.uid), 0, 1):
                await self._healing.note([one])

    async def _matched(self, which: DeadLetters) -> Answer:
        matched, more = await count(self._letters, which)
        return Answer(200, {"matched": matched, "more": more})

    async def _which(self, admin: Admin, fields: Fields) -> DeadLetters:
        uid, ids = fields.text("webhookId", "webhook_id"), fields.words("ids")
        if ids is not None and len(ids) > MOST_IDS:
            raise Refused(422, "too_many_ids", f"ids: {len(ids)} are too many; at most {MOST_IDS} at a time")
        which = DeadLetters(
            ids=None if ids is None else frozenset(ids),
            endpoint=uid,
            app_id=app_of(admin, fields.text("app_id")),
            since_ms=fields.moment("since"),
            until_ms=fields.moment("until"),
            error_class=fields.text("error_class"),
        )
        # Dead letters outlive their endpoint: a uid that some of them have is none that was misspelt.
        known = uid is None or any(uid == one.uid and may_see(admin, one) for one in self._endpoints())
        if uid is not None and not known:
            known = bool(await self._letters.find_dead(DeadLetters(endpoint=uid, app_id=which.app_id), 0, 1))
        if uid is not None and not known:
            raise unknown_webhook(uid)
        return which

    async def _note(self, admin: Admin, action: str, what: str, which: DeadLetters, count: int) -> None:
        """Note a change in the log and in the audit. The change stands even when the store refuses the line."""
        chosen = {name: value for name, value in asdict(which).items() if value is not None}
        if which.ids is not None:
            chosen["ids"] = len(which.ids)
        log.info("management: %s", what, extra={"by": admin.name, "chosen": str(chosen) if chosen else "all"})
        if self._store is None:
            return
        app_id = which.app_id or next((one.app_id for one in self._endpoints() if one.uid == which.endpoint), "")
        line = audit_line(admin.name, action, app_id=app_id, webhook_id=which.endpoint, count=count, chosen=chosen)
        try:
            await self._store.write((), line)
        except SockudoError as problem:
            log.warning("the audit lacks a line for the last change: %s", problem)


def _scope_of(text: bytes) -> Scope:
    """Return where the attempts of a dead letter are."""
    head = jobs.header(text)
    return Scope(endpoint="" if head is None else head[1])
