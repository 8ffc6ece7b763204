"""The route that makes a receiver right again after it lost its state."""

from collections.abc import Callable

from sockudo_py.endpoints import Endpoint
from sockudo_py.management.audit import audit_line
from sockudo_py.management.requests.aliases import aliased
from sockudo_py.management.requests.answers import RESYNC
from sockudo_py.management.requests.router import Route
from sockudo_py.management.requests.values import Answer, Asked, Fields, Refused, iso
from sockudo_py.stores.endpoints.base import EndpointStore
from sockudo_py.webhooks.resync import AlreadyRunning, Resync


class ResyncRoutes:
    """Answers requests for resyncs.

    Args:
        find: Returns the endpoint that a request names. Raises Refused.
        resync: Makes them; None: no webhooks are sent.
        store: Gets a line of the audit.
    """

    def __init__(self, find: Callable[[Asked], Endpoint], resync: Resync | None, store: EndpointStore) -> None:
        self._find = find
        self._resync = resync
        self._store = store
        self.table = tuple(aliased(Route("POST", "/{id}/resync", self.resync, answers={202: RESYNC}, tag="Deliveries")))

    async def resync(self, asked: Asked) -> Answer:
        """Tell an endpoint which channels are occupied and which members are there; answer when the queue has it."""
        Fields(asked)
        endpoint = self._find(asked)
        if self._resync is None:
            raise Refused(409, "no_webhooks", "this server sends no webhooks")
        if not endpoint.enabled:
            raise Refused(409, "disabled", "the webhook is disabled; enable it first")
        line = audit_line(asked.admin.name, "resync", app_id=endpoint.app_id, webhook_id=endpoint.uid)
        await self._store.write((), line)
        try:
            done = await self._resync.run(endpoint)
        except AlreadyRunning as problem:
            raise Refused(409, "resync_under_way", str(problem)) from None
        return Answer(
            202,
            {
                "resync_id": done.id,
                "webhook_id": endpoint.uid,
                "channels": done.channels,
                "members": done.members,
                "stamp": iso(done.stamp_ms),
            },
        )
