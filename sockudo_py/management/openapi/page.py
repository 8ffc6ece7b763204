"""``docs/api-reference.md``, made of the OpenAPI document. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sockudo_py.management.requests.aliases import ALIASES

_HEAD = """\
# Routes of both APIs

Made from [openapi.json](openapi.json) by `sockudo-py openapi --reference`; a test keeps it fresh. The document is
OpenAPI 3.1, made from the routes and the models that validate (`sockudo-py openapi > docs/openapi.json`). A server
serves its own at `GET /openapi.json`, below its `path_prefix`, without a key: for client generators, for tools that
show documents, and for [Schemathesis](https://schemathesis.readthedocs.io), which the tests use to hold a running
server to it.

[HTTP API](http-api.md) and [Managing by HTTP](webhooks/managing.md) explain the two APIs with examples.
"""
_ROOTS = " or ".join(f"`{alias.root}`" for alias in ALIASES)


def page(document: Mapping[str, Any]) -> str:
    """Return the page of a document that ``document`` has made."""
    return "\n".join([_HEAD, *_tags(document)])


def _tags(document: Mapping[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        name = tag["name"]
        yield f"## {name}\n\n{tag['description']}\n"
        several = False
        rows = []
        for pattern, path in document["paths"].items():
            for method, operation in path.items():
                if name not in operation["tags"]:
                    continue
                short = _short(pattern)
                if short is None:
                    continue
                several = several or short.startswith("...")
                rows.append((f"{method.upper()} {short}", operation))
        if several:
            yield f"`...` stands for {_ROOTS}.\n"
        yield "| route | | fields | body | answers |\n|---|---|---|---|---|"
        yield from (_row(route, operation, document) for route, operation in rows)
        yield ""


def _short(pattern: str) -> str | None:
    """Return a pattern with ``...`` for the first alias; None: it is another alias."""
    first, *others = (re.escape(alias.root) for alias in ALIASES)
    rest = r"(/(\{id\}|logs$|replay$|events|deliveries).*)?"
    if any(re.fullmatch(other + rest, pattern) for other in others):
        return None
    return f"...{pattern.removeprefix(ALIASES[0].root)}" if re.fullmatch(first + rest, pattern) else pattern


def _row(route: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    fields = ", ".join(f"`{one['name']}`" for one in operation["parameters"] if one["in"] != "path")
    content = operation.get("requestBody", {}).get("content", {})
    body = ", ".join(_schema(one["schema"], kind) for kind, one in content.items())
    if fields and body == f"`{{{fields.replace('`', '')}}}`":
        body = "the same"
    answers = "; ".join(
        f"{status} {_answer(answer)}".strip() for status, answer in operation["responses"].items() if status < "300"
    )
    said = operation["summary"]
    return f"| `{route}` | {said} | {fields} | {body} | {answers} |".replace("|  |", "| |").replace("|  |", "| |")


def _answer(answer: Mapping[str, Any]) -> str:
    return ", ".join(_schema(one["schema"], kind) for kind, one in answer.get("content", {}).items())


def _schema(schema: Mapping[str, Any], kind: str) -> str:
    if kind != "application/json":
        return "text"
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return " or ".join(_schema(one, kind) for one in schema["anyOf"])
    fields = list(schema.get("properties", {}))
    return (
        "`{" + ", ".join(fields) + "}`" if fields else "an object" if "additionalProperties" not in schema else "`{}`"
    )
