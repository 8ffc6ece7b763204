"""The lane of publishes in plain form: a POST with a Content-Length to ``/apps/{id}/events`` or ``batch_events``."""

import re
from collections.abc import Awaitable
from typing import Protocol

from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import AnswerLane
from sockudo_py.http.messages import ApiRequest, ApiResponse
from sockudo_py.http.routes import cut_prefix


class RequestApi(Protocol):
    """What answers (``http.api.Api`` is one)."""

    def handle(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Return the response, or an awaitable of it. Never raises."""


class PublishLane(AnswerLane):
    """Answers publishes one after the other on a kept-alive connection.

    Args:
        api: Answers.
        prefix: Of the server's paths.
    """

    def __init__(self, api: RequestApi, prefix: str) -> None:
        self._api = api
        self._prefix = prefix
        self._publishes = re.compile(re.escape(prefix) + r"/apps/[^/]+/(?:batch_)?events").fullmatch

    def takes(self, head: Head) -> bool:
        """Take POSTs with a Content-Length to the paths of publishes."""
        return head.method == b"POST" and head.fields.plain_length is not None and self.takes_post(head.path)

    def takes_post(self, path: str) -> bool:
        """Take all to the paths of publishes."""
        return self._publishes(path) is not None

    def answer(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Have the API answer."""
        if self._prefix:
            request.path = cut_prefix(request.path, self._prefix)
        return self._api.handle(request)
