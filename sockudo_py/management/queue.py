"""The management routes about the queue: its figures and its dead letters. Free of what carries them."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.keys import Admin
from sockudo_py.management.letters import Letters, count, describe, page
from sockudo_py.management.router import Route
from sockudo_py.management.scope import app_of, may_see, unknown_webhook
from sockudo_py.management.values import MOST_LISTED, Answer, Asked, Fields, Refused
from sockudo_py.queues.base import MOST_IDS, DeadLetters

log = logging.getLogger(__name__)

MOST_RETRIED = 10_000  # by one request, so that it is answered soon
_LANES = 1000
_WHICH = frozenset({"webhookId", "webhook_id", "app_id", "ids", "error_class", "since", "until"})


class QueueRoutes:
    """Answers requests about the queue.

    Args:
        letters: Dead letters and figures.
        endpoints: Returns all that there are now.
    """

    def __init__(self, letters: Letters, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        self._letters = letters
        self._endpoints = endpoints
        self.table = (
            Route("GET", "/api/webhooks/queue/stats", self.stats),
            Route("GET", "/api/webhooks/queue/failed", self.failed),
            Route("DELETE", "/api/webhooks/queue/failed", self.purge),
            Route("POST", "/api/webhooks/queue/retry-failed", self.retry),
            Route("GET", "/api/webhooks/queue/failed/{id}", self.letter),
        )

    async def stats(self, asked: Asked) -> Answer:
        """Show how much is where, and the deepest lanes."""
        Fields(asked, frozenset())
        if not asked.admin.sees_everything():
            raise Refused(403, "forbidden", "the figures of the queue are for keys of all apps")
        depths = asdict(await self._letters.depths(_LANES))
        lanes = [{"webhookId": lane.pop("endpoint"), **lane} for lane in depths.pop("lanes")]
        return Answer(200, {**depths, "lanes": lanes})

    # -- dead letters

    async def failed(self, asked: Asked) -> Answer:
        """List dead letters, newest first. ``payload`` true: whole jobs."""
        fields = Fields(asked, _WHICH | {"limit", "cursor", "payload"})
        which = await self._which(asked.admin, fields)
        whole = fields.flag("payload")
        texts, more = await page(self._letters, which, fields.number("limit", 50, MOST_LISTED), fields.text("cursor"))
        return Answer(200, {"failed": [describe(text, whole=whole) for text in texts], "next_cursor": more})

    async def letter(self, asked: Asked) -> Answer:
        """Show one dead letter with its events."""
        fields = Fields(asked, frozenset({"app_id"}))
        app_id = app_of(asked.admin, fields.text("app_id"))
        (ident,) = asked.segments
        texts = await self._letters.find_dead(DeadLetters(ids=frozenset({ident}), app_id=app_id), 0, 1)
        if not texts:
            raise Refused(404, "unknown_delivery", f"no dead letter has the id {ident[:200]}")
        return Answer(200, describe(texts[0], whole=True))

    async def retry(self, asked: Asked) -> Answer:
        """Send dead letters again, oldest first."""
        fields = Fields(asked, _WHICH | {"limit", "dry_run"})
        which = await self._which(asked.admin, fields)
        limit = fields.number("limit", 1000, MOST_RETRIED)
        if fields.flag("dry_run"):
            return await self._matched(which)
        retried = await self._letters.redrive_dead(which, limit)
        _audit(asked.admin, f"{retried} dead letters sent again", which)
        return Answer(202, {"retried": retried})

    async def purge(self, asked: Asked) -> Answer:
        """Delete dead letters for good."""
        fields = Fields(asked, _WHICH | {"dry_run"})
        which = await self._which(asked.admin, fields)
        if fields.flag("dry_run"):
            return await self._matched(which)
        deleted = await self._letters.purge_dead(which)
        _audit(asked.admin, f"{deleted} dead letters deleted", which)
        return Answer(200, {"deleted": deleted})

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


def _audit(admin: Admin, what: str, which: DeadLetters) -> None:
    chosen = {name: value for name, value in asdict(which).items() if value is not None}
    if which.ids is not None:
        chosen["ids"] = len(which.ids)
    log.info("management: %s", what, extra={"by": admin.name, "chosen": str(chosen) if chosen else "all"})
