"""The route for test deliveries: one attempt at once, outside the queue and the statistics."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from sockudo_py.endpoints import Endpoint
from sockudo_py.event_types import EventType
from sockudo_py.limits.base import RateLimiter
from sockudo_py.management.audit import audit_line
from sockudo_py.management.endpoints.making import blocked
from sockudo_py.management.requests.aliases import aliased
from sockudo_py.management.requests.answers import TRIED
from sockudo_py.management.requests.models import TestBody, read
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.values import Answer, Asked, Refused
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.webhooks.catalogue.models import EventModel
from sockudo_py.webhooks.delivery.requests.attempt import Attempt
from sockudo_py.webhooks.delivery.testing import attempt
from sockudo_py.webhooks.targets.base import Target

A_MINUTE = 10  # tests of one endpoint: who may send them can scan ports
AT_ONCE = 10  # tests of one app: each holds a connection of the admin, and one of the receiver
LONGEST = 30.0  # seconds; endpoints may wait for years, and whoever sends a test waits for its end


class TestRoutes:
    """Answers requests for test deliveries.

    Args:
        find: Returns the endpoint that a request names. Raises Refused.
        targets: By name; not closed here.
        limiter: Counts the tests of each endpoint.
        store: Gets a line of the audit.
        catalogue: Returns what an app knows under the name of an event: its example is sent.
        keep: Gets the attempts, for the history; None: none is kept.
    """

    __test__ = False

    def __init__(
        self,
        find: Callable[[Asked], Endpoint],
        targets: Mapping[str, Target],
        limiter: RateLimiter,
        store: EndpointStore,
        catalogue: Callable[[str, str], EventModel | EventType | None] = lambda app_id, name: None,
        keep: Callable[[Attempt, Endpoint], Awaitable[None]] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._find = find
        self._targets = targets
        self._limiter = limiter
        self._store = store
        self._keep = keep
        self._running: Counter[str] = Counter()  # by app
        self.table = tuple(
            aliased(Route("POST", "/{id}/test", self.test, body=TestBody, answers={200: TRIED}, tag="Endpoints"))
        )

    async def test(self, asked: Asked) -> Answer:
        """Send one event, and say what came of it."""
        endpoint = self._find(asked)
        body = read(TestBody, asked.body)
        if endpoint.feed is not None:
            text = "a feed has no address to send a test to; trigger an event, and its reader gets it"
            raise Refused(409, "feed", text)
        allowance = self._limiter.take(f"management:test:{endpoint.uid}", A_MINUTE, 60.0)
        if not allowance.allowed:
            seconds = str(max(1, -int(-allowance.retry_after // 1)))
            text = f"{A_MINUTE} tests a minute are allowed for each webhook"
            raise Refused(429, "rate_limited", text, headers=(("Retry-After", seconds),))
        if self._running[endpoint.app_id] >= AT_ONCE:
            text = f"{AT_ONCE} tests of this app are under way; wait for their ends"
            raise Refused(429, "rate_limited", text, headers=(("Retry-After", "1"),))
        self._running[endpoint.app_id] += 1
        try:
            line = audit_line(asked.admin.name, "test", app_id=endpoint.app_id, webhook_id=endpoint.uid)
            await self._store.write((), line)
            hasty = replace(endpoint, request_timeout=min(endpoint.request_timeout, LONGEST))
            outcome = await attempt(hasty, self._targets, body.event_type, catalogue=self._catalogue, keep=self._keep)
        finally:
            self._running[endpoint.app_id] -= 1
            self._running += Counter()  # forgets those at 0
        if outcome.error_class == "blocked_address":
            raise blocked()
        error = None
        if outcome.error_class is not None:
            error = {"class": outcome.error_class, "message": outcome.message}
        return Answer(
            200,
            {
                "success": outcome.delivered,
                "status_code": outcome.status,
                "duration_ms": outcome.duration_ms,
                "response_body": outcome.response_body.decode("utf-8", "replace"),
                "response_truncated": outcome.response_truncated,
                "delivery_id": outcome.delivery_id,
                "event_type": outcome.event_type,
                "test": True,
                "error": error,
            },
        )
