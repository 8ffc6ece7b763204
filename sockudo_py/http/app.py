"""The HTTP API as an aiohttp application: everything that no other lane of the port takes."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiohttp import InvalidURL, web
from aiohttp.http_exceptions import HttpProcessingError

from sockudo_py.http.api import Api, ApiRequest, ApiResponse
from sockudo_py.http.cors import Cors
from sockudo_py.http.messages import echo, error, problem_with_coding
from sockudo_py.http.operators import came_through_proxy
from sockudo_py.http.routes import cut_prefix, origin_form

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
CLOSE = ("Connection", "close")

# How aiohttp reports malformed requests and clients that left.
_MISTAKES = (HttpProcessingError, InvalidURL, web.RequestPayloadError, ConnectionError)


class _Mistakes(logging.Filter):
    """Keeps malformed requests out of the log: strangers can send them by the thousand, with any text in them."""

    def filter(self, record: logging.LogRecord) -> bool:
        problem = record.exc_info[1] if record.exc_info else None
        if not isinstance(problem, _MISTAKES):
            return True
        # The traceback holds frames that hold the problem and all that was received: 6 MB that wait for the collector.
        problem.__traceback__ = problem.__context__ = problem.__cause__ = None
        return False


_request_log = logging.getLogger(f"{__name__}.requests")
_request_log.addFilter(_Mistakes())


def make_runner(app: web.Application, **options: Any) -> web.AppRunner:
    """Return the runner of an application that strangers talk to: quiet about their mistakes, inflating nothing.

    ``options`` are more of aiohttp's ``AppRunner``.
    """
    return web.AppRunner(app, access_log=None, logger=_request_log, auto_decompress=False, **options)


class Bodies:
    """The bodies that are being received, together: at most ``limit`` bytes."""

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0


def build_app(
    api: Api,
    *,
    path_prefix: str = "",
    cors: Cors | None = None,
    max_body_bytes: int = 1024 * 1024,
    body_timeout: float = 10.0,
    max_held_bytes: int = 268_435_456,
    remote: Callable[[web.BaseRequest], str] | None = None,
    mounts: Iterable[Callable[[web.Application], None]] = (),
) -> web.Application:
    """Return the application: the routes of ``mounts`` (management, dashboard) first, everything else to ``api``.

    Args:
        api: Answers.
        path_prefix: Where the API lives, like ``/realtime``. The open routes also answer without it, for health checks.
        cors: What browsers of other origins may do with the API; None: nothing.
        max_body_bytes: A longer body is answered with 413.
        body_timeout: Seconds in which a body has to arrive, else 408.
        max_held_bytes: Bound on all bodies that are being received, together; past it a growing one gets 503.
        remote: Returns the client's address as a trusted proxy gives it; else the peer's.
        mounts: Functions that add routes.
    """
    app = web.Application(middlewares=[plain_errors], client_max_size=max_body_bytes)
    for mount in mounts:
        mount(app)
    prefix = path_prefix.rstrip("/")
    bodies = Bodies(max_held_bytes)

    async def answer(request: web.Request) -> web.StreamResponse:
        path, _, query = _target(request).partition("?")
        cut = cut_prefix(path, prefix)
        origin = request.headers.get("Origin")
        if cors is not None and origin is not None and "Access-Control-Request-Method" in request.headers:
            return to_aiohttp(ApiResponse(204, b"", headers=cors.preflight(origin)))
        added = () if cors is None else cors.headers(origin)
        refusal = api.refusal(request.method, cut)
        if refusal is not None:
            api.observe(refusal.status, 0.0)  # it has not been waited for
            return to_aiohttp(refusal, added)
        body = await read_body(request, max_body_bytes, body_timeout, bodies)
        if isinstance(body, ApiResponse):
            api.observe(body.status, 0.0)
            return to_aiohttp(body, added)
        headers = {name.lower(): value for name, value in request.headers.items()}
        client = request.remote or "" if remote is None else remote(request)
        keys = request.headers.getall("X-Idempotency-Key", ())
        asked = ApiRequest(request.method, cut, query, headers, body, client, ", ".join(keys) if keys else None)
        response = api.handle(asked)
        return to_aiohttp(response if isinstance(response, ApiResponse) else await response, added)

    app.router.add_route("*", "/{anything:.*}", answer)
    return app


def _target(request: web.BaseRequest) -> str:
    """Return the raw request target in origin form, however the client wrote it."""
    return origin_form(request.raw_path.partition("#")[0])


async def read_body(
    request: web.BaseRequest, limit: int, timeout: float, bodies: Bodies | None = None
) -> bytes | ApiResponse:
    """Return the body, or the error to answer when it is too long, too slow, broken, or one too many."""
    if not request.can_read_body:
        return b""
    bodies = bodies or Bodies(limit)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":  # a bomb costs its sender nothing
        return error(415, "Compressed bodies are not accepted", CLOSE)
    too_long = error(413, f"The body exceeds the allowed maximum ({limit} bytes)", CLOSE)
    if (request.content_length or 0) > limit:
        return too_long
    body = bytearray()
    try:
        async with asyncio.timeout(timeout):
            async for chunk in request.content.iter_any():
                body += chunk
                bodies.held += len(chunk)
                if len(body) > limit:
                    return too_long
                if bodies.held > bodies.limit:
                    return error(503, "Too many large requests at once, try again later", CLOSE, ("Retry-After", "1"))
    except TimeoutError:
        return error(408, f"The body did not arrive within {timeout:g} seconds", CLOSE)
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as problem:
        return error(400, f"The body can't be read: {echo(str(problem))}", CLOSE)
    finally:
        bodies.held -= len(body)
    return bytes(body)


def to_aiohttp(answer: ApiResponse, added: tuple[tuple[str, str], ...] = ()) -> web.Response:
    """Return the response for aiohttp, with ``added`` headers."""
    headers = [*answer.headers, *added, ("Server", "sockudo_py")]  # aiohttp would send its and Python's versions
    if answer.status != 204:
        headers.append(("Content-Type", answer.content_type))
    response = web.Response(status=answer.status, body=answer.body or None, headers=headers)
    if CLOSE in answer.headers:
        response.force_close()
    return response


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors of any route as plain text that ends in a newline: no HTML, no traceback."""
    response = await _plain(request, handler)
    if _may_lose_what_follows(request) or _would_be_reused(request):
        response.force_close()
    return response


def _may_lose_what_follows(request: web.Request) -> bool:
    """Return whether aiohttp loses some of what it received behind this request (``edge.fallback`` has the rest)."""
    offer = request.headers.get("Upgrade")
    if offer is None:
        return request.method == "CONNECT"
    return offer.lower() == "websocket" or "Transfer-Encoding" in request.headers


def _would_be_reused(request: web.Request) -> bool:
    """Return whether a proxy may send a WebSocket handshake over this connection next.

    aiohttp keeps a connection once it has it, and can't answer handshakes. So a proxy has to open a new connection.
    """
    return came_through_proxy(name.lower() for name in request.headers)


async def _plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    problem = problem_with_coding(request.headers.get("Transfer-Encoding"))
    if problem is not None:  # aiohttp would undo the chunks and leave the rest as it is
        return to_aiohttp(error(501, problem, CLOSE))
    try:
        return await handler(request)
    except web.HTTPError as answer:
        allow = [("Allow", answer.headers["Allow"])] if "Allow" in answer.headers else []
        return to_aiohttp(error(answer.status, answer.reason, *allow))
    except ConnectionError:  # the client went away; aiohttp knows what to do
        raise
    except Exception:
        request_id = secrets.token_hex(8)
        log.exception("request %s failed: %s %s", request_id, request.method, echo(request.path))
        return to_aiohttp(error(500, f"Internal server error (request {request_id})", ("X-Request-Id", request_id)))
