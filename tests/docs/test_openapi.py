"""docs/openapi.json and docs/api-reference.md are fresh, and say something of every route."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from sockudo_py.cli.main import main
from sockudo_py.config import load
from sockudo_py.http.routes import ROUTES, Open
from sockudo_py.management.openapi.document import document
from sockudo_py.management.requests.router import Router
from sockudo_py.wiring.server import Server
from tests.docs.made import DOCS

DOCUMENT: dict[str, Any] = json.loads((DOCS / "openapi.json").read_text())
_AGAIN = "make it again: sockudo-py openapi > docs/openapi.json; sockudo-py openapi --reference > docs/api-reference.md"


def router() -> Router:
    async def made() -> Router:
        return Server(load(None, {"QUEUE_DRIVER": "memory"}))._management.router

    return asyncio.run(made())


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for pattern, path in DOCUMENT["paths"].items():
        for method, operation in path.items():
            yield pattern, method, operation


def test_the_document_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi"], {}) == 0
    assert capsys.readouterr().out == (DOCS / "openapi.json").read_text(), _AGAIN


def test_the_page_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi", "--reference"], {}) == 0
    assert capsys.readouterr().out == (DOCS / "api-reference.md").read_text(), _AGAIN


def test_it_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_has_every_route_and_no_other() -> None:
    routes = {(one.pattern, one.method.lower()) for one in (*ROUTES, *router().routes)}
    stream = {("/api/live", "get")}  # no route of the router: its answer has no end
    assert {(pattern, method) for pattern, method, _ in operations()} == routes | stream


def test_every_operation_has_a_summary_a_known_tag_and_an_answer_that_is_no_error() -> None:
    tags = {tag["name"] for tag in DOCUMENT["tags"]}
    for pattern, method, operation in operations():
        assert operation["summary"], (method, pattern)
        assert set(operation["tags"]) <= tags, (method, pattern, "name the tag in management/openapi/texts.py")
        assert [status for status in operation["responses"] if status < "300"], (method, pattern, "answers is missing")


def test_ids_of_operations_differ() -> None:
    ids = [operation["operationId"] for *_, operation in operations()]
    assert len(ids) == len(set(ids))


def test_examples_fit_their_schemas() -> None:
    examples = 0
    for *_, operation in operations():
        for body in operation.get("requestBody", {}).get("content", {}).values():
            if "example" in body:
                schema = {**body["schema"], "components": DOCUMENT["components"]}
                Draft202012Validator(schema).validate(body["example"])
                examples += 1
    assert examples > 10


def test_only_what_the_specification_names_is_open() -> None:
    opened = {pattern for pattern, _, operation in operations() if operation["security"] == []}
    probes = {one.pattern for one in ROUTES if isinstance(one, Open)}
    assert opened == probes | {"/openapi.json", "/api/session", "/dashboard/login", "/dashboard/logout"}


def test_a_prefix_is_in_the_address_of_the_server() -> None:
    assert document(router().routes, prefix="/realtime")["servers"] == [{"url": "/realtime"}]


def test_fields_that_are_refused_by_the_models_are_refused_by_the_schemas() -> None:
    body = component("EndpointBody")
    url = {"url": "https://example.com/"}
    good: list[Mapping[str, Any]] = [url, {"lambda": {"function_name": "f"}}, {**url, "event_types": ["*"]}]
    bad: list[Mapping[str, Any]] = [
        {},
        {**url, "id": 1},
        {**url, "trusted": True},
        {**url, "lambda": {"function_name": "f"}},
        {**url, "max_in_flight": "10"},
        {**url, "enabled": "yes"},
        {**url, "events": [], "event_types": []},
        {**url, "event_types": ["no blanks"]},
    ]
    assert all(body.is_valid(one) for one in good)
    assert not any(body.is_valid(one) for one in bad)


def component(name: str) -> Draft202012Validator:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return Draft202012Validator(schema)
