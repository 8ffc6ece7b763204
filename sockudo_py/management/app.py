"""The management routes in aiohttp."""

import json
from collections.abc import Callable

from aiohttp import web

from sockudo_py.management.keys import Admin
from sockudo_py.management.values import Answer, Asked, Refused
from sockudo_py.management.webhooks import WebhookRoutes

MOST_BODY = 256 * 1024  # bytes


def mount(app: web.Application, routes: WebhookRoutes, admin_of: Callable[[web.Request], Admin | None]) -> None:
    """Add the routes to an application. ``admin_of`` returns who asks; None: nobody who may."""

    async def answer(request: web.Request) -> web.StreamResponse:
        admin = admin_of(request)
        if admin is None:
            return _response(Refused(401, "unauthorized", "an admin key is missing, or unknown").answer())
        try:
            body = await _body(request)
        except Refused as problem:
            return _response(problem.answer())
        asked = Asked(admin, query=dict(request.query), body=body)
        return _response(await routes.handle(request.method, request.path, asked))

    app.router.add_route("*", "/api/webhooks", answer)
    app.router.add_route("*", "/api/webhooks/{rest:.+}", answer)


async def _body(request: web.Request) -> dict[str, object]:
    if not request.can_read_body:
        return {}
    if (request.content_length or 0) > MOST_BODY:
        raise Refused(413, "too_large", f"the body has more than {MOST_BODY} bytes")
    try:
        text = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refused(413, "too_large", f"the body has more than {MOST_BODY} bytes") from None
    try:
        body = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        raise Refused(400, "malformed", "the body is not valid JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "malformed", "the body must be a JSON object")
    return body


def _response(answer: Answer) -> web.Response:
    return web.json_response(answer.document, status=answer.status, headers={"Cache-Control": "no-store"})
