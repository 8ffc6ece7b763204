"""The OpenAPI document: of the HTTP API's routes and of the management routes, from what stands beside each. Pure."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

from sockudo_py import __version__
from sockudo_py.http.description.notation import Param, Schema, maybe
from sockudo_py.http.routes import ROUTES, ForOperators, Signed
from sockudo_py.http.routes import Route as HttpRoute
from sockudo_py.management.live.console import LIVE, STREAM
from sockudo_py.management.openapi.schemas import Components
from sockudo_py.management.openapi.texts import (
    ABOUT,
    DONE,
    ERRORS,
    KEYS,
    REFUSALS,
    SCHEMES,
    SIGNED_BY,
    TAGS,
    VARIABLES,
    needs,
    session,
)
from sockudo_py.management.requests.answers import ERROR
from sockudo_py.management.requests.router import Route

_JSON, _TEXT, _STREAM = "application/json", "text/plain", "text/event-stream"


def document(routes: Iterable[Route], *, prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI document as JSON.

    Args:
        routes: Of the management API; those of the HTTP API are known.
        prefix: The configured path prefix.
    """
    return _Writer().document(list(routes), prefix)


class _Writer:
    """Writes one document, and gathers its components."""

    def __init__(self) -> None:
        self._parts = Components()
        self._responses: dict[str, Any] = {}

    def document(self, routes: list[Route], prefix: str) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for one in ROUTES:
            paths.setdefault(one.pattern, {})[one.method.lower()] = self._http(one)
        for route in routes:
            paths.setdefault(route.pattern, {})[route.method.lower()] = self._managed(route)
        if any(route.tag == "Dashboard" for route in routes):
            paths[LIVE] = {"get": self._stream()}
        used = {tag for path in paths.values() for operation in path.values() for tag in operation["tags"]}
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "sockudo_py",
                "version": __version__,
                "description": ABOUT,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": prefix or "/"}],
            "tags": [{"name": name, "description": says} for name, says in TAGS.items() if name in used],
            "paths": paths,
            "components": {
                "schemas": dict(sorted(self._parts.schemas.items())),
                "responses": dict(sorted(self._responses.items())),
                "securitySchemes": SCHEMES,
            },
        }

    # -- operations

    def _http(self, route: HttpRoute) -> dict[str, Any]:
        said, signed = route.said, isinstance(route, Signed)
        named = "{app_id}" in route.pattern
        errors = [*ERRORS] if signed else [403, 404, 503] if named else [503]
        security: list[dict[str, list[str]]] = [needs(*SIGNED_BY)] if signed else []
        if isinstance(route, ForOperators):
            errors, security = [404, 503], [{}, *KEYS]
        answers = {str(status): self._answer(status, schema) for status, schema in said.answers.items()}
        operation = {
            "operationId": _name(route.method, route.pattern),
            "tags": ["HTTP API" if signed else "Probes"],
            "summary": said.says,
            "security": security,
            "parameters": self._parameters(route.pattern, said.fields, said.headers),
            "responses": answers | {str(status): self._error(status, ERRORS[status], None) for status in errors},
        }
        if said.body is not None:
            kind = _TEXT if said.body.get("type") == "string" else _JSON
            operation["requestBody"] = _body(
                self._parts.hoisted(said.body), said.example, kind=kind, required=kind == _JSON
            )
        return operation

    def _managed(self, route: Route) -> dict[str, Any]:
        summary, _, more = (inspect.getdoc(route.handler) or "").partition("\n\n")
        first, _, rest = summary.replace("\n", " ").partition(". ")
        security = [] if route.access == "open" else [*KEYS, session(route.method)]
        if route.access == "signed":
            security.append(needs(*SIGNED_BY))
        answers = {str(status): self._answer(status, schema) for status, schema in route.answers.items()}
        errors = {str(status): self._error(status, says, ERROR) for status, says in REFUSALS.items()}
        operation = {
            "operationId": _name(route.method, route.pattern),
            "tags": [route.tag or "Other"],
            "summary": first.rstrip(".").replace("``", "`"),
            "description": f"{rest} {more}".strip().replace("``", "`"),
            "security": security,
            "parameters": self._parameters(route.pattern, route.fields, route.headers),
            "responses": answers | errors,
        }
        schema = self._body_schema(route)
        if schema is not None and route.method != "GET":
            needed = "required" in self._parts.resolved(schema) or "oneOf" in self._parts.resolved(schema)
            operation["requestBody"] = _body(schema, route.example, required=needed)
        if not operation["description"]:
            del operation["description"]
        return operation

    def _stream(self) -> dict[str, Any]:
        return {
            "operationId": _name("GET", LIVE),
            "tags": ["Dashboard"],
            "summary": STREAM.says,
            "security": [*KEYS, session("GET")],
            "parameters": self._parameters(LIVE, STREAM.fields, ()),
            "responses": {
                "200": {"description": "A stream without end.", "content": {_STREAM: {"schema": {"type": "string"}}}},
                **{str(status): self._error(status, REFUSALS[status], ERROR) for status in (401, 403, 404, 429, 503)},
            },
        }

    # -- parts of one

    def _parameters(self, pattern: str, fields: Iterable[Param], headers: Iterable[Param]) -> list[dict[str, Any]]:
        found = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": VARIABLES.get(name, ""),
                "schema": {"type": "string", "minLength": 1},
            }
            for name in re.findall(r"\{(\w+)\}", pattern)
        ]
        for place, params in (("query", fields), ("header", headers)):
            found += [
                {
                    "name": one.name,
                    "in": place,
                    "description": one.says,
                    "schema": dict(one.schema),
                    **({"required": True} if one.required and place == "query" else {}),
                }
                for one in params
            ]
        return found

    def _answer(self, status: int, schema: Schema | None) -> dict[str, Any]:
        said = DONE.get(status, "Done.")
        if schema is None:
            return {"description": said}
        kind = _TEXT if schema.get("type") == "string" else _JSON
        return {"description": said, "content": {kind: {"schema": self._parts.hoisted(schema)}}}

    def _error(self, status: int, says: str, schema: Schema | None) -> dict[str, Any]:
        name = f"{'Refused' if schema is not None else 'Error'}{status}"
        if name not in self._responses:
            content = (
                {_TEXT: {"schema": {"type": "string"}}}
                if schema is None
                else {_JSON: {"schema": self._parts.hoisted(schema)}}
            )
            response: dict[str, Any] = {"description": says, "content": content}
            if status in (429, 503):
                seconds = {"type": "integer", "minimum": 1}
                response["headers"] = {"Retry-After": {"description": "Seconds.", "schema": seconds}}
            self._responses[name] = response
        return {"$ref": f"#/components/responses/{name}"}

    def _body_schema(self, route: Route) -> dict[str, Any] | None:
        if isinstance(route.body, type):
            return self._parts.model(route.body, merges=route.merges)
        if route.body is not None:
            body: dict[str, Any] = self._parts.hoisted(route.body)
            return body
        if not route.fields:
            return None
        fields = {
            one.name: {**maybe(one.schema if one.in_body is None else one.in_body), "description": one.says}
            for one in route.fields
        }
        return {"type": "object", "properties": fields, "additionalProperties": False}


def _body(schema: Any, example: Any, *, kind: str = _JSON, required: bool = False) -> dict[str, Any]:
    content = {"schema": schema, **({} if example is None else {"example": example})}
    return {"content": {kind: content}, **({"required": True} if required else {})}


def _name(method: str, pattern: str) -> str:
    words = [word.strip("{}") for word in re.split(r"[/._-]", pattern) if word]
    return "_".join([method.lower(), *words])
