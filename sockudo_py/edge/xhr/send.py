"""The lane of requests to send of the HTTP transports, and of the preflights of all their requests."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from sockudo_py.edge.context import FrontContext
from sockudo_py.edge.http1.head import Head
from sockudo_py.edge.lane import AnswerLane
from sockudo_py.edge.xhr.requests import SEND, Headers, XhrPaths, brief, cors_of, preflight_of
from sockudo_py.http.messages import ApiRequest, ApiResponse, error
from sockudo_py.protocol.readers.opening import origin_allowed
from sockudo_py.xhr.client import XhrClient
from sockudo_py.xhr.context import XhrContext
from sockudo_py.xhr.relaying import Relaying
from sockudo_py.xhr.sending import DONE, NO_SESSION, OTHER_ORIGIN, Outcome, work_on
from sockudo_py.xhr.sessions import Key

_NO_STORE: Final = ("Cache-Control", "no-store")


class SendLane(AnswerLane):
    """Answers requests to send, at once and without a body, and preflights.

    Args:
        context: The port's.
        transports: What the transports' clients share.
        paths: Of the transports.
        relaying: The way to sessions of other nodes; None: there are none.
    """

    def __init__(
        self, context: FrontContext, transports: XhrContext, paths: XhrPaths, relaying: Relaying | None = None
    ) -> None:
        self._relaying = relaying
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
            return ApiResponse(204, b"", headers=preflight_of(app, origin, path.kind), own_cors=True)
        transports = self._transports
        transports.requests.add(SEND)
        headers = (_NO_STORE, *cors_of(app, origin))
        if app is None:
            return self._answer(NO_SESSION, headers)
        if not origin_allowed(app.allowed_origins, origin):
            return self._answer(OTHER_ORIGIN, headers)
        key = (app.id, path.session_id)
        client: XhrClient | None = transports.sessions.get(key)
        if client is None and self._relaying is not None:
            return self._pass_on(self._relaying, key, brief(origin), request.body, headers)
        outcome = work_on(client, brief(origin), request.body)
        return self._answer(outcome, headers) if isinstance(outcome, tuple) else self._later(outcome, headers)

    async def _pass_on(
        self, relaying: Relaying, key: Key, origin: str | None, body: bytes, headers: Headers
    ) -> ApiResponse:
        return self._answer(await relaying.send(key, origin, body) or NO_SESSION, headers)

    async def _later(self, done: "asyncio.Future[None]", headers: Headers) -> ApiResponse:
        await done
        return self._answer(DONE, headers)

    def _answer(self, outcome: Outcome, headers: Headers) -> ApiResponse:
        status, message = outcome
        if status == 204:
            return ApiResponse(status, b"", headers=headers, own_cors=True)
        self._transports.refused.add(str(status))
        refused = error(status, message, *headers)
        return ApiResponse(refused.status, refused.body, refused.content_type, refused.headers, own_cors=True)
