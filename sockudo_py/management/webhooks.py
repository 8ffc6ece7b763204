"""The management routes about webhooks: endpoints, the queue, its dead letters. Free of what carries them."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError, Unavailable
from sockudo_py.management.keys import EVERY_APP, Admin
from sockudo_py.management.letters import Letters, count, describe, page
from sockudo_py.management.values import Answer, Asked, Fields, Refused
from sockudo_py.queues.base import MOST_IDS, DeadLetters
from sockudo_py.webhooks.stats import describe_endpoint

log = logging.getLogger(__name__)

MOST_LISTED = 200
MOST_RETRIED = 10_000  # by one request, so that it is answered soon
_LANES = 1000
_WHICH = frozenset({"webhookId", "webhook_id", "app_id", "ids", "error_class", "since", "until"})

Handler = Callable[[Asked], Awaitable[Answer]]


class WebhookRoutes:
    """Answers requests about webhooks.

    Args:
        letters: Dead letters and figures.
        endpoints: Returns all that there are now.
    """

    def __init__(self, letters: Letters, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        self._letters = letters
        self._endpoints = endpoints
        self.table: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/api/webhooks", self.endpoints),
            ("GET", "/api/webhooks/queue/stats", self.stats),
            ("GET", "/api/webhooks/queue/failed", self.failed),
            ("DELETE", "/api/webhooks/queue/failed", self.purge),
            ("POST", "/api/webhooks/queue/retry-failed", self.retry),
            ("GET", "/api/webhooks/queue/failed/{id}", self.letter),
            ("GET", "/api/webhooks/{id}", self.endpoint),
        )

    async def handle(self, method: str, path: str, asked: Asked) -> Answer:
        """Return the answer to a request. The variables of the path may be percent-encoded no more. Never raises."""
        try:
            handler, segments = self._find(method, path)
            needed = "read" if method == "GET" else "write"
            if needed not in asked.admin.scopes:
                raise Refused(403, "forbidden", f"the key has no scope {needed}")
            return await handler(Asked(asked.admin, segments, asked.query, asked.body))
        except Refused as problem:
            return problem.answer()
        except Unavailable as problem:
            log.warning("%s %s: %s", method, path, problem)
            return Refused(503, "unavailable", "the queue can't be reached right now; try again later").answer()
        except SockudoError as problem:
            return Refused(409, "impossible", str(problem)).answer()
        except Exception:
            log.exception("%s %s failed", method, path)
            return Refused(500, "internal", "internal error; the log has the reason").answer()

    def _find(self, method: str, path: str) -> tuple[Handler, tuple[str, ...]]:
        parts = path.split("/")
        others = []
        for allowed, pattern, handler in self.table:
            wanted = pattern.split("/")
            if len(wanted) != len(parts) or any(
                part != word for part, word in zip(parts, wanted, strict=True) if not word.startswith("{")
            ):
                continue
            if allowed == method:
                segments = [part for part, word in zip(parts, wanted, strict=True) if word.startswith("{")]
                return handler, tuple(segments)
            others.append(allowed)
        if others:
            raise Refused(405, "method_not_allowed", f"allowed: {', '.join(others)}")
        raise Refused(404, "not_found", "there is no such route")

    # -- endpoints

    async def endpoints(self, asked: Asked) -> Answer:
        """List endpoints, in the order of the configuration."""
        fields = Fields(asked, frozenset({"app_id", "limit", "cursor"}))
        app_id = _app_of(asked.admin, fields.text("app_id"))
        limit, start = fields.number("limit", 50, MOST_LISTED), _place(fields.text("cursor"))
        found = [one for one in self._endpoints() if app_id in (None, one.app_id)]
        shown = [_endpoint(one) for one in found[start : start + limit]]
        more = str(start + limit) if start + limit < len(found) else None
        return Answer(200, {"webhooks": shown, "next_cursor": more})

    async def endpoint(self, asked: Asked) -> Answer:
        """Show one endpoint, by uid or number."""
        Fields(asked, frozenset())
        (wanted,) = asked.segments
        found = [one for one in self._visible(asked.admin) if wanted in (one.uid, str(one.id))]
        if not found:
            raise _unknown(wanted)
        return Answer(200, _endpoint(found[0]))

    def _visible(self, admin: Admin) -> list[Endpoint]:
        return [one for one in self._endpoints() if EVERY_APP in admin.apps or one.app_id in admin.apps]

    # -- the queue

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
        app_id = _app_of(asked.admin, fields.text("app_id"))
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
            app_id=_app_of(admin, fields.text("app_id")),
            since_ms=fields.moment("since"),
            until_ms=fields.moment("until"),
            error_class=fields.text("error_class"),
        )
        # Dead letters outlive their endpoint: a uid that some of them have is none that was misspelt.
        known = uid is None or any(uid == one.uid for one in self._visible(admin))
        if uid is not None and not known:
            known = bool(await self._letters.find_dead(DeadLetters(endpoint=uid, app_id=which.app_id), 0, 1))
        if uid is not None and not known:
            raise _unknown(uid)
        return which


def _app_of(admin: Admin, asked: str | None) -> str | None:
    """Return the app that a request is about; None: all. An admin of some apps sees no others."""
    if EVERY_APP in admin.apps:
        return asked
    if asked is None:
        if len(admin.apps) == 1:
            return next(iter(admin.apps))
        raise Refused(400, "app_id_required", "app_id is missing: the key is for several apps")
    if asked not in admin.apps:
        raise Refused(404, "not_found", "there is no such app")
    return asked


def _place(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Refused(400, "invalid_cursor", "cursor: is none that this server has given")
    return int(cursor)


def _unknown(uid: str) -> Refused:
    return Refused(404, "unknown_webhook", f"there is no webhook {uid[:200]}")


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    shown = describe_endpoint(endpoint)
    shown["number"], shown["id"] = shown["id"], endpoint.uid
    shown["description"] = endpoint.description
    shown["retries_s"] = list(endpoint.retry.schedule)
    shown["filter"] = {name: value for name, value in asdict(endpoint.filter).items() if value is not None}
    shown["header_names"] = sorted(name for name, _ in endpoint.headers)
    return shown


def _audit(admin: Admin, what: str, which: DeadLetters) -> None:
    chosen = {name: value for name, value in asdict(which).items() if value is not None}
    if which.ids is not None:
        chosen["ids"] = len(which.ids)
    log.info("management: %s", what, extra={"by": admin.name, "chosen": str(chosen) if chosen else "all"})
