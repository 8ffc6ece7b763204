"""The dashboard in aiohttp: static files, and the stream behind the live console."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from aiohttp import web

from sockudo_py.http.routes import cut_prefix, origin_form
from sockudo_py.management.credentials.keys import EVERY_APP, Admin
from sockudo_py.management.dashboard.files import read_files, security_headers
from sockudo_py.management.live.console import LIVE, Console, Filter
from sockudo_py.management.requests.values import Refused

ROOT: Final = "/dashboard"
PAUSE: Final = 0.1  # seconds in which rows gather for one write
LONGEST: Final = 600.0  # seconds of one stream; the browser comes back, and is asked again who it is
STALLED: Final = 30.0  # seconds after which a browser that takes nothing is given up; it comes back by itself
MOST_STREAMS_OF_A_KEY: Final = 25  # so that one key can't take all streams
BEAT: Final = 15.0  # seconds without a row after which a comment says that the stream lives
_MOST_NAME: Final = 300

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Access(Protocol):
    """Who may watch."""

    def admit(self, match: None, headers: Mapping[str, str], remote: str) -> Admin | None:
        """Return who asks. Raises Refused."""


def mount(
    app: web.Application,
    console: Console,
    access: Access,
    *,
    prefix: str = "",
    frame_ancestors: tuple[str, ...] = (),
    remote: Callable[[web.BaseRequest], str] = lambda _: "",
) -> None:
    """Serve the dashboard's files and its stream. Other paths go on as before.

    Args:
        app: Gets a middleware.
        console: What happens.
        access: Who may watch.
        prefix: The configured path prefix.
        frame_ancestors: Whose pages may show the dashboard in a frame.
        remote: Returns the address of a client.
    """
    found = read_files()
    headers = security_headers(frame_ancestors)
    streams: set[asyncio.Task[None]] = set()
    watching: Counter[str] = Counter()  # streams by the ident of the key

    @web.middleware
    async def dashboard(request: web.Request, handler: Handler) -> web.StreamResponse:
        target = origin_form(request.raw_path.partition("#")[0])
        path = cut_prefix(target.partition("?")[0], prefix)
        if path == LIVE and request.method == "GET":
            return await live(request)
        if request.method not in ("GET", "HEAD") or not (path == ROOT or path.startswith(f"{ROOT}/")):
            return await handler(request)
        if path == ROOT:
            return web.Response(status=308, headers={**headers, "Location": f"{prefix}{ROOT}/"})
        name = path.removeprefix(f"{ROOT}/") or "index.html"
        file = found.get("index.html" if name == "portal" else name)
        if file is None:
            return await handler(request)  # perhaps a route that has other methods
        if request.headers.get("If-None-Match") == file.etag:
            return web.Response(status=304, headers={**headers, "ETag": file.etag})
        return web.Response(body=file.body, headers={**headers, "ETag": file.etag, "Content-Type": file.content_type})

    async def live(request: web.Request) -> web.StreamResponse:
        try:
            names = {name.lower(): value for name, value in request.headers.items()}
            admin = access.admit(None, names, remote(request))
            wanted = _wanted(admin, request.query)
            ident = "" if admin is None else admin.ident
            if watching[ident] >= MOST_STREAMS_OF_A_KEY:
                raise Refused(503, "busy", "too many pages watch the live console with this key; close some")
            stream = console.watch(wanted, _number(request.headers.get("Last-Event-ID")))
            if stream is None:
                raise Refused(503, "busy", "too many pages watch the live console; close some")
        except Refused as problem:
            answer = problem.answer()
            more = dict(answer.headers)
            return web.json_response(answer.document, status=answer.status, headers={**headers, **more})
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "X-Content-Type-Options": "nosniff",
                "Server": "sockudo_py",
            }
        )
        task = asyncio.current_task()
        if task is not None:
            streams.add(task)
        watching[ident] += 1
        try:
            await response.prepare(request)
            await response.write(b"retry: 1000\n\n")
            until = asyncio.get_running_loop().time() + LONGEST
            while asyncio.get_running_loop().time() < until:
                rows, left_out = await stream.take(BEAT)
                parts = [f"id: {row.number}\ndata: {row.text}\n\n" for row in rows]
                if left_out:
                    parts.append(f"event: left_out\ndata: {json.dumps({'rows': left_out})}\n\n")
                async with asyncio.timeout(STALLED):
                    await response.write("".join(parts or [": \n\n"]).encode())
                await asyncio.sleep(PAUSE)
            await response.write_eof()
        except ConnectionError:  # the browser has gone
            pass
        except TimeoutError:  # it is there and takes nothing, or it has gone without a word
            if request.transport is not None:
                request.transport.abort()
        finally:
            watching[ident] -= 1
            console.leave(stream)
            if task is not None:
                streams.discard(task)
        return response

    async def end_streams(_: web.Application) -> None:
        for task in list(streams):
            task.cancel()

    app.on_shutdown.append(end_streams)
    app.middlewares.append(dashboard)


def _wanted(admin: Admin | None, query: Mapping[str, str]) -> Filter:
    if admin is None or admin.link or "read" not in admin.scopes:
        raise Refused(403, "forbidden", "the key has no scope read")
    apps = None if EVERY_APP in admin.apps else admin.apps
    named = query.get("app")
    if named:
        if apps is not None and named not in apps:
            raise Refused(404, "not_found", "there is no such app")
        apps = frozenset({named})
    kinds = frozenset(kind for kind in query.get("kinds", "").split(",") if kind) or None
    return Filter(
        apps=apps,
        channel_prefix=query.get("channel", "")[:_MOST_NAME],
        socket_id=query.get("socket", "")[:_MOST_NAME],
        user_id=query.get("user", "")[:_MOST_NAME],
        kinds=kinds,
    )


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 18:
        return None
    return int(text)
