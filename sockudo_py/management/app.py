"""The management routes in aiohttp: on the main port, and on the admin socket."""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import orjson
from aiohttp import web

from sockudo_py.http.app import Bodies, read_body
from sockudo_py.http.messages import ApiRequest, ApiResponse
from sockudo_py.http.query import AUTH_PARAMS
from sockudo_py.http.routes import cut_prefix, origin_form
from sockudo_py.management.credentials.keys import Admin
from sockudo_py.management.requests.router import Match, Router
from sockudo_py.management.requests.values import Answer, Asked, Refused

MOST_HELD = 64 * 1024 * 1024  # bytes of all bodies that are being received, together
NO_CONTENT = 204
MOST_DEEP = 500  # objects and lists within each other in a body: all that is made of it must fit into Python's stack
BODY_TIMEOUT = 10.0  # seconds in which a body has to arrive
_CODES: Mapping[int, str] = {408: "timeout", 413: "too_large", 415: "unsupported_encoding", 503: "busy"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(Protocol):
    """Who may ask; see ``access.PortAccess``."""

    def admit(self, match: Match | None, headers: Mapping[str, str], remote: str) -> Admin | None:
        """Return who asks; None: the body is needed to know. Raises Refused."""

    def admit_signed(self, match: Match, request: ApiRequest) -> Admin:
        """Return who has signed the request. Raises Refused."""


def mount(
    app: web.Application,
    router: Router,
    access: Access,
    *,
    prefix: str = "",
    remote: Callable[[web.BaseRequest], str] = lambda _: "",
    observe: Callable[[int, float], None] = lambda status, seconds: None,
) -> None:
    """Let the router answer the paths of an application that are its own. Other paths go on as before.

    Answers carry no CORS headers: scripts of other sites can't read them, whatever ``cors`` says about the HTTP API.

    Args:
        app: Gets a middleware.
        router: Answers.
        access: Who may ask.
        prefix: The configured path prefix.
        remote: Returns the address of a client.
        observe: Is told the status of each answer, and the seconds that it took.
    """
    bodies = Bodies(MOST_HELD)

    @web.middleware
    async def management(request: web.Request, handler: Handler) -> web.StreamResponse:
        target = origin_form(request.raw_path.partition("#")[0])
        # What is no UTF-8 becomes "?": it would break the JSON of an answer that names it.
        path, _, query = target.encode("utf-8", "replace").decode().partition("?")
        path = cut_prefix(path, prefix)
        if not router.owns(path):
            return await handler(request)
        started = time.perf_counter()
        try:
            answer = await respond(request, path, query)
        except Refused as problem:
            answer = problem.answer()
        observe(answer.status, time.perf_counter() - started)
        return _response(answer)

    async def respond(request: web.Request, path: str, query: str) -> Answer:
        headers = {name.lower(): value for name, value in request.headers.items()}
        address = remote(request)
        try:
            match = router.find(request.method, path)
        except Refused as problem:
            allowed = problem.headers
            if request.method == "OPTIONS" and allowed:
                return Answer(204, headers=allowed)
            access.admit(None, headers, address)
            raise
        admin = access.admit(match, headers, address)
        raw = await read_body(request, match.route.most_body, BODY_TIMEOUT, bodies)
        if isinstance(raw, ApiResponse):
            raise Refused(
                raw.status, _CODES.get(raw.status, "malformed"), raw.body.decode().strip(), headers=raw.headers
            )
        fields = dict(request.query)
        if admin is None:
            signed = ApiRequest(request.method, path, query, headers, raw, address)
            admin = access.admit_signed(match, signed)
            fields = {name: value for name, value in fields.items() if name.lower() not in AUTH_PARAMS}
        asked = Asked(admin, query=fields, body=_parsed(raw), headers=headers, raw=raw, remote=address)
        return await router.answer(match, asked)

    app.middlewares.append(management)


def _parsed(raw: bytes) -> dict[str, Any]:
    if not raw.strip():
        return {}
    try:
        body = orjson.loads(raw)
    except ValueError:
        raise Refused(400, "malformed", "the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "malformed", "the body must be a JSON object")
    if raw.count(b"{") + raw.count(b"[") > MOST_DEEP and _depth(body, MOST_DEEP + 1) > MOST_DEEP:
        raise Refused(400, "malformed", f"the body is nested more than {MOST_DEEP} deep")
    return body


def _depth(value: object, most: int) -> int:
    """Return how deep a JSON value is nested, or ``most`` where that is less."""
    depth, level = 0, [value]
    while level and depth < most:
        inner = [one for one in level if isinstance(one, (dict, list))]
        level = [deeper for one in inner for deeper in (one.values() if isinstance(one, dict) else one)]
        depth += bool(inner)
    return depth


def _response(answer: Answer) -> web.Response:
    body = None
    headers = [*answer.headers, ("Cache-Control", "no-store"), ("Server", "sockudo_py")]
    if answer.status != NO_CONTENT:
        body = orjson.dumps(answer.document)
        headers += [("Content-Type", "application/json"), ("X-Content-Type-Options", "nosniff")]
    response = web.Response(status=answer.status, body=body, headers=headers)
    if ("Connection", "close") in answer.headers:
        response.force_close()
    return response
