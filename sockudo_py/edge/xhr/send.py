"""The lane of requests to send of the HTTP transports, and of the preflights of all their requests."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import AnswerLane
from sockudo_py.edge.xhr.requests import SEND, Headers, XhrPaths, cors_of, preflight_of
from sockudo_py.http.messages import ApiRequest, ApiResponse, error
from sockudo_py.protocol.opening import origin_allowed
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrContext
from sockudo_py.xhr.frames import BadBody, read_messages

_NO_STORE: Final = ("Cache-Control", "no-store")


class SendLane(AnswerLane):
    """Answers requests to send, quickly and with nothing, and preflights.

    Args:
        context: The port's.
        transports: What the transports' clients share.
        paths: Of the transports.
    """

    def __init__(self, context: FrontContext, transports: XhrContext, paths: XhrPaths) -> None:
        self._apps = context.admission
        self._transports = transports
        self._paths = paths
        # A message is JSON, which at most doubles when it becomes a string of JSON.
        self.max_body_bytes = 2 * transports.limits.max_message_bytes + 4096

    def takes(self, head: Head) -> bool:
        """Take POSTs of messages, and every OPTIONS."""
        if head.method not in (b"POST", b"OPTIONS"):
            return False
        path = self._paths.read(head.path)
        if path is None:
            return False
        if head.method == b"OPTIONS":
            return head.bodiless()
        return path.kind == SEND and head.fields.plain_length is not None

    def answer(self, request: ApiRequest) -> ApiResponse | Awaitable[ApiResponse]:
        """Hand the messages to the session."""
        path = self._paths.read(request.path)
        if path is None:
            raise ValueError("not a path of the transports")
        app = self._apps.by_key(path.app_key)
        origin = request.headers.get("origin")
        if request.method == "OPTIONS":
            return ApiResponse(204, b"", headers=preflight_of(app, origin), own_cors=True)
        transports = self._transports
        transports.requests.add(SEND)
        headers = (_NO_STORE, *cors_of(app, origin))
        client: XhrClient | None = None if app is None else transports.sessions.get((app.id, path.session_id))
        if app is None or client is None or client.over:
            return _refusal(404, "There is no such session", headers)
        if not origin_allowed(app.allowed_origins, origin) or client.marks[1] != origin:
            return _refusal(403, "Origin not allowed", headers)
        try:
            messages = read_messages(request.body)
        except BadBody as problem:
            return _refusal(problem.status, str(problem), headers)
        done = client.take(messages, len(request.body))
        answer = ApiResponse(204, b"", headers=headers, own_cors=True)
        if done is True:
            return answer
        if done is False:
            return _refusal(429, "Too many messages wait to be worked on", headers)
        return _later(done, answer)


async def _later(done: "asyncio.Future[None]", answer: ApiResponse) -> ApiResponse:
    await done
    return answer


def _refusal(status: int, message: str, headers: Headers) -> ApiResponse:
    refused = error(status, message, *headers)
    return ApiResponse(refused.status, refused.body, refused.content_type, refused.headers, own_cors=True)
