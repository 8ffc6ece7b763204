"""The route by which applications trigger events of their own. Free of what carries requests."""

from collections.abc import Mapping
from typing import Any, Protocol

from sockudo_py.apps.base import AppManager
from sockudo_py.http.description.notation import Param
from sockudo_py.limits.base import RateLimiter
from sockudo_py.management.requests.answers import TRIGGERED
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.scope import one_app_of
from sockudo_py.management.requests.values import Answer, Asked, FieldProblem, Refused
from sockudo_py.webhooks.trigger.asked import BODY, NotTriggered
from sockudo_py.webhooks.trigger.trigger import Triggered


class Triggers(Protocol):
    """What triggers events (``webhooks.trigger.trigger.Trigger`` does)."""

    async def fire(self, app_id: str, asked: Mapping[str, Any], key: str | None = None) -> Triggered:
        """Trigger an event. Raises NotTriggered and Unavailable."""


class TriggerRoutes:
    """Answers requests to trigger events.

    Args:
        trigger: Triggers them; None: this server sends no webhooks.
        apps: Which apps there are.
        limiter: For the app's limit of events; None: there are no limits.
        most_body: Bytes of a request's body.
    """

    def __init__(
        self, trigger: Triggers | None, apps: AppManager, limiter: RateLimiter | None = None, *, most_body: int
    ) -> None:
        self._trigger = trigger
        self._apps = apps
        self._limiter = limiter
        self.table = (
            Route(
                "POST",
                "/apps/{app}/webhook_events",
                self.trigger,
                access="signed",
                most_body=most_body,
                headers=(Param("Idempotency-Key", says="The same key gets the first answer again, for 24 hours."),),
                body=BODY,
                answers={202: TRIGGERED},
                example={"event_type": "order.paid", "data": {"amount": "12.50"}},
                tag="Events",
                links=False,
            ),
        )

    async def trigger(self, asked: Asked) -> Answer:
        """Trigger an event of the application."""
        app = self._apps.by_id(one_app_of(asked.admin, asked.app_id))
        if app is None:
            raise Refused(404, "not_found", "there is no such app")
        if not app.enabled:
            raise Refused(403, "app_disabled", "the app is disabled")
        if self._trigger is None:
            raise Refused(
                409, "webhooks_disabled", "this server sends no webhooks: webhooks.enabled or queue.driver says so"
            )
        if asked.query:
            names = ", ".join(sorted(asked.query))[:200]
            raise Refused(422, "unknown_field", f"unknown in the query: {names}; the event stands in the body")
        limit = app.backend_events_per_second
        if limit is not None and self._limiter is not None:
            allowance = self._limiter.take(f"http:publish:{app.id}", limit, 1.0)  # as publishes
            if not allowance.allowed:
                seconds = str(max(1, -int(-allowance.retry_after // 1)))
                text = f"app {app.id} may publish {limit} events per second"
                raise Refused(429, "rate_limited", text, headers=(("Retry-After", seconds),))
        headers = asked.headers
        key = headers.get("idempotency-key", headers.get("x-idempotency-key"))
        try:
            done = await self._trigger.fire(app.id, asked.body, key)
        except NotTriggered as problem:
            fields = [FieldProblem(name, message) for name, message in problem.fields]
            again = (("Retry-After", "1"),) if problem.status == 503 else ()
            raise Refused(problem.status, problem.code, str(problem), fields, headers=again) from None
        return Answer(202, done.answer, (("Idempotent-Replayed", "true"),) if done.replayed else ())
