"""The management routes about deliveries: their history, retries, replays. Free of what carries them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sockudo_py.endpoints import Endpoint
from sockudo_py.errors import SockudoError
from sockudo_py.http.description.notation import Param, number
from sockudo_py.management.audit import audit_line
from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.deliveries.attempts import (
    links_wanted,
    logged,
    pending,
    read_cursor,
    shown,
    whole,
    write_cursor,
)
from sockudo_py.management.requests.aliases import aliased
from sockudo_py.management.requests.answers import ATTEMPT, DELIVERY, LOGGED, MATCHED, REPLAYED, RETRIED, listed
from sockudo_py.management.requests.params import (
    APP_ID,
    CURSOR,
    DRY_RUN,
    EVENT_TYPE,
    PAGE,
    TEST,
    TIMES,
    WEBHOOK,
    statuses,
)
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import app_of
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused, invalid
from sockudo_py.queues.base import QueueFull
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.stores.history.base import Scope
from sockudo_py.stores.history.packs import Kept
from sockudo_py.webhooks.history.reader import Chosen, HistoryReader
from sockudo_py.webhooks.history.redelivery import Redelivery

log = logging.getLogger(__name__)

MOST_REPLAYED = 10_000  # by one request, so that it is answered soon
_STATUSES = ("delivered", "retrying", "failed")
_ENDED = ("delivered", "failed")
_ATTEMPTS = (statuses(*_STATUSES), *EVENT_TYPE, *TIMES, TEST, *PAGE)
_PROJECT = Param("project_id", says="Pulse's name of `app_id`.")
_LOGS = (APP_ID, _PROJECT, *WEBHOOK, *_ATTEMPTS)
_AT_ONCE = number("limit", "Deliveries that are sent again by this request.", default=1000, most=MOST_REPLAYED)
_REPLAY = (statuses(*_ENDED), *EVENT_TYPE, *TIMES, _AT_ONCE, CURSOR, DRY_RUN)
_REPLAY_ALL = (APP_ID, *WEBHOOK, *_REPLAY)
_OFF = "no history is kept: webhooks.delivery.history is 0"


@dataclass(frozen=True, slots=True)
class Past:
    """What the routes need of a history that is kept."""

    reader: HistoryReader
    redelivery: Redelivery


class DeliveryRoutes:
    """Answers requests about deliveries.

    Args:
        past: The history; None: none is kept.
        find: Returns the endpoint that the first variable of a path names. Raises Refused.
        store: Gets a line of the audit for each retry and replay.
    """

    def __init__(
        self, past: Past | None, find: Callable[[Asked], Endpoint], store: EndpointStore | None = None
    ) -> None:
        self._past = past
        self._find = find
        self._store = store
        route = partial(Route, tag="Deliveries")
        log = partial(route, fields=_LOGS, answers={200: listed("logs", LOGGED)})
        page, one = {200: listed("deliveries", ATTEMPT)}, {200: DELIVERY}
        replayed = {200: MATCHED, 202: REPLAYED}
        self.table = (
            *aliased(route("GET", "/{id}/deliveries", self.attempts, fields=_ATTEMPTS, answers=page)),
            *aliased(route("GET", "/{id}/deliveries/{delivery}", self.show, answers=one)),
            *aliased(route("POST", "/{id}/deliveries/{delivery}/retry", self.retry, answers={202: RETRIED})),
            *aliased(route("POST", "/{id}/replay", self.replay_one, fields=_REPLAY, answers=replayed)),
            *aliased(route("POST", "/replay", self.replay, fields=_REPLAY_ALL, answers=replayed)),
            *aliased(log("GET", "/logs", self.logs)),
            *aliased(route("GET", "/deliveries/{delivery}", self.show_any, answers=one)),
            log("GET", "/api/v1/webhooks/logs", self.logs),
        )

    # -- what was

    async def attempts(self, asked: Asked) -> Answer:
        """List the attempts of an endpoint, newest first."""
        endpoint = self._endpoint(asked)
        fields = Fields(asked)
        rows, more = await self._page(Scope(endpoint=endpoint.uid), fields)
        links = await self._kept.reader.links(links_wanted(rows))
        return Answer(200, {"deliveries": [shown(kept, links) for kept in rows], "next_cursor": more})

    async def logs(self, asked: Asked) -> Answer:
        """List the attempts of all endpoints of an app, newest first, with a message for people."""
        fields = Fields(asked)
        app_id = app_of(asked.admin, asked.app_id or fields.text("app_id", "project_id"))
        uid = fields.text("webhookId", "webhook_id")
        scope = Scope(app_id=app_id) if uid is None else Scope(endpoint=self._named(asked, uid).uid)
        rows, more = await self._page(scope, fields)
        links = await self._kept.reader.links(links_wanted(rows))
        return Answer(200, {"logs": [logged(kept, links) for kept in rows], "next_cursor": more})

    async def show(self, asked: Asked) -> Answer:
        """Show a delivery of an endpoint: all attempts, and its events."""
        Fields(asked)
        endpoint = self._endpoint(asked)
        return await self._shown(asked, asked.segments[1], endpoint)

    async def show_any(self, asked: Asked) -> Answer:
        """Show a delivery of any endpoint that the key may see."""
        Fields(asked)
        return await self._shown(asked, asked.segments[0], None)

    async def _shown(self, asked: Asked, delivery: str, endpoint: Endpoint | None) -> Answer:
        past = self._kept
        link = (await past.reader.links([delivery])).get(delivery)
        scope = Scope() if endpoint is None else Scope(endpoint=endpoint.uid)
        if endpoint is None and link is not None:
            scope = Scope(endpoint=link.endpoint)
        elif endpoint is None and len(asked.admin.apps) == 1 and EVERY_APP not in asked.admin.apps:
            scope = Scope(app_id=next(iter(asked.admin.apps)))
        attempts = await past.reader.delivery(delivery, scope)
        if attempts:
            uid, app_id = attempts[-1].endpoint, attempts[-1].app_id
        elif link is not None:
            uid, app_id = link.endpoint, link.app_id
        else:
            raise _unknown(delivery)
        if endpoint is not None and endpoint.uid != uid:
            raise _unknown(delivery)
        if not _sees(asked.admin, app_id) or asked.app_id not in (None, app_id):
            raise _unknown(delivery)
        if attempts or link is None:
            links = {} if link is None else {delivery: link}
            return Answer(200, whole(attempts, links, await past.redelivery.payload(delivery, uid, attempts)))
        origin = await past.reader.delivery(link.retry_of, Scope(endpoint=uid))
        return Answer(200, pending(link, await past.redelivery.payload(link.retry_of, uid, origin)))

    async def _page(self, scope: Scope, fields: Fields) -> tuple[list[Kept], str | None]:
        chosen = _chosen(fields, _STATUSES)
        test = fields.flag("test") if fields.given("test") else None
        limit, before = fields.number("limit"), read_cursor(fields.text("cursor"))
        rows, place = await self._kept.reader.page(scope, replace(chosen, test=test).fits, limit, before)
        return rows, write_cursor(place)

    # -- once more

    async def retry(self, asked: Asked) -> Answer:
        """Send a delivery again, as a new one."""
        Fields(asked)
        endpoint, delivery = self._endpoint(asked), asked.segments[1]
        past = self._kept
        attempts = await past.reader.delivery(delivery, Scope(endpoint=endpoint.uid))
        if not attempts and await past.redelivery.dead_letter(delivery, endpoint.uid) is None:
            raise _unknown(delivery)
        if attempts and attempts[-1].test:
            raise Refused(409, "test_delivery", "this was a test; send another one in place of a retry")
        payload = await past.redelivery.payload(delivery, endpoint.uid, attempts)
        if payload is None:
            raise Refused(409, "payload_gone", "the events of this delivery are not kept any more")
        try:
            made = await past.redelivery.retry(delivery, endpoint, payload)
        except QueueFull as full:
            raise _full(str(full)) from None
        named = {"delivery": delivery, "new_delivery": made}
        await self._audit(asked, "retry", endpoint.app_id, endpoint.uid, **named)
        return Answer(202, {"delivery_id": made, "retry_of": delivery, "webhook_id": endpoint.uid})

    async def replay_one(self, asked: Asked) -> Answer:
        """Send deliveries of an endpoint again."""
        endpoint = self._endpoint(asked)
        fields = Fields(asked)
        return await self._replay(asked, Scope(endpoint=endpoint.uid), fields, endpoint.app_id)

    async def replay(self, asked: Asked) -> Answer:
        """Send deliveries of an app again."""
        fields = Fields(asked)
        app_id = app_of(asked.admin, asked.app_id or fields.text("app_id"))
        uid = fields.text("webhookId", "webhook_id")
        if uid is None:
            return await self._replay(asked, Scope(app_id=app_id), fields, app_id)
        endpoint = self._named(asked, uid, app_id)
        return await self._replay(asked, Scope(endpoint=endpoint.uid), fields, endpoint.app_id)

    async def _replay(self, asked: Asked, scope: Scope, fields: Fields, app_id: str | None) -> Answer:
        chosen = _chosen(fields, _ENDED)
        limit, after = fields.number("limit"), read_cursor(fields.text("cursor"))
        dry_run = fields.flag("dry_run")
        found = await self._kept.redelivery.replay(scope, chosen, after=after, limit=limit, dry_run=dry_run)
        if dry_run:
            return Answer(200, {"matched": found.matched})
        await self._audit(asked, "replay", app_id or "", scope.endpoint, sent=found.sent)
        cursor = write_cursor(found.place)
        if found.full:
            raise _full(
                f"the queue had no room for more; {found.sent} deliveries were sent again, next_cursor: {cursor}"
            )
        return Answer(202, {"retried": found.sent, "next_cursor": cursor})

    async def _audit(self, asked: Asked, action: str, app_id: str, uid: str | None, **facts: Any) -> None:
        """Note a change in the log and in the audit. The change stands even when the store refuses the line."""
        log.info("management: %s", action, extra={"by": asked.admin.name, "webhook": uid, "app_id": app_id, **facts})
        if self._store is None:
            return
        try:
            await self._store.write((), audit_line(asked.admin.name, action, app_id=app_id, webhook_id=uid, **facts))
        except SockudoError as problem:
            log.warning("the audit could not be written: %s", problem)

    # -- who and what

    @property
    def _kept(self) -> Past:
        if self._past is None:
            raise Refused(404, "history_off", _OFF)
        return self._past

    def _endpoint(self, asked: Asked) -> Endpoint:
        return self._find(replace(asked, segments=asked.segments[:1]))

    def _named(self, asked: Asked, uid: str, app_id: str | None = None) -> Endpoint:
        return self._find(replace(asked, segments=(uid,), app_id=app_id or asked.app_id))


def _chosen(fields: Fields, statuses: tuple[str, ...]) -> Chosen:
    named = fields.word_or_words("status")
    if named is not None and not set(named) <= set(statuses):
        raise invalid("status", f"must be of: {', '.join(statuses)}")
    return Chosen(
        statuses=frozenset(named) if named else None,
        event_type=fields.text("event_type", "eventType"),
        since_ms=fields.moment("since"),
        until_ms=fields.moment("until"),
    )


def _sees(admin: Admin, app_id: str) -> bool:
    return EVERY_APP in admin.apps or app_id in admin.apps


def _unknown(delivery: str) -> Refused:
    return Refused(404, "unknown_delivery", f"there is no delivery {delivery[:200]}")


def _full(message: str) -> Refused:
    return Refused(503, "queue_full", message, headers=(("Retry-After", "10"),))
