"""The lane of health checks: GETs of ``PROBES`` and of ``/up/{app_id}``, with the path prefix and without."""

import re
from collections.abc import Awaitable

from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import AnswerLane
from sockudo_py.edge.lanes.publish import RequestApi
from sockudo_py.http.messages import ApiRequest, ApiResponse
from sockudo_py.http.routes import PROBES, cut_prefix


class HealthLane(AnswerLane):
    """Answers health checks from the moment when the port is open, before aiohttp is imported.

    Args:
        api: Answers.
        prefix: Of the server's paths.
    """

    def __init__(self, api: RequestApi, prefix: str) -> None:
        self._api = api
        self._prefix = prefix
        probes = "|".join((*map(re.escape, PROBES), "/up/[^/]+", "" if prefix else "/"))
        self._checks_health = re.compile(f"(?:{re.escape(prefix)})?(?:{probes})").fullmatch

    def takes(self, head: Head) -> bool:
        """Take GETs of these paths that have no body."""
        return head.method == b"GET" and self._checks_health(head.path) is not None and head.bodiless()

    def answer(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Have the API answer."""
        request.path = cut_prefix(request.path, self._prefix)
        return self._api.handle(request)
