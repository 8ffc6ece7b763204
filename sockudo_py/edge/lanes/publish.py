"""The lane of publishes in plain form: a POST with a Content-Length to ``/apps/{id}/events`` or ``batch_events``."""

import re
from collections.abc import Awaitable
from typing import Protocol

from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import AnswerLane
from sockudo_py.http.messages import ApiRequest, ApiResponse
from sockudo_py.http.routes import cut_prefix
from sockudo_py.memo import TwoGenerationCache

_REMEMBERED = 1024  # paths in each generation ...
_REMEMBERED_LENGTH = 256  # ... up to this length


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

    known_posts: TwoGenerationCache[str, str]

    def __init__(self, api: RequestApi, prefix: str) -> None:
        self._api = api
        self._prefix = prefix
        self._publishes = re.compile(re.escape(prefix) + r"/apps/[^/]+/(?:batch_)?events").fullmatch
        self.known_posts = TwoGenerationCache(_REMEMBERED)  # paths without the prefix, by paths with it

    def takes(self, head: Head) -> bool:
        """Take plain POSTs to the paths of publishes."""
        if head.method != b"POST" or head.fields.plain_length is None:
            return False
        return head.path in self.known_posts or self._cut(head.path) is not None

    def answer(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Have the API answer."""
        path = self.known_posts.get(request.path)
        request.path = self._cut(request.path) or "" if path is None else path
        return self._api.handle(request)

    def _cut(self, path: str) -> str | None:
        """Return the path without the prefix, or None when it is not one of publishes."""
        known = self.known_posts.find(path)
        if known is not None or self._publishes(path) is None:
            return known
        cut = cut_prefix(path, self._prefix)
        return self.known_posts.keep(path, cut) if len(path) <= _REMEMBERED_LENGTH else cut
