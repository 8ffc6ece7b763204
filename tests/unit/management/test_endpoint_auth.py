"""Authentication to receivers by the API: masked, kept when masked, and never from variables or files."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.management.bench import URL, Bench, code
from tests.unit.management.test_endpoint_routes import FORBIDDEN


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = await Bench().start()
    yield bench
    await bench.stop()


OAUTH2 = {"type": "oauth2", "token_url": "https://public.example/token", "client_id": "me", "client_secret": "s3cr3t"}
BASIC = {"type": "basic", "username": "me", "password": "pa55"}


@pytest.mark.parametrize(
    ("auth", "shown"),
    [
        (BASIC, {"type": "basic", "username": "me", "password": "***"}),
        ({"type": "bearer", "token": "b3arer"}, {"type": "bearer", "token": "***"}),
        (
            OAUTH2,
            {**OAUTH2, "token_url": "https://public.example/token", "client_secret": "***"}
            | {"scope": None, "audience": None, "client_auth": "basic"},
        ),
    ],
)
async def test_auth_is_shown_without_its_secrets(bench: Bench, auth: dict[str, Any], shown: dict[str, Any]) -> None:
    made = await bench.made(auth=auth)
    found = (await bench.ask("GET", f"/api/webhooks/{made['uid']}")).document
    assert set(found["auth"]) == set(shown)
    assert {name: found["auth"][name] for name in shown if name != "token_url"} == {
        name: value for name, value in shown.items() if name != "token_url"
    }
    everything = str(made) + str(found) + str((await bench.ask("GET", "/api/webhooks/audit")).document)
    for secret in ("pa55", "b3arer", "s3cr3t"):
        assert secret not in everything


async def test_what_is_masked_is_kept(bench: Bench) -> None:
    made = await bench.made(auth=OAUTH2)
    path = f"/api/webhooks/{made['uid']}"
    assert (await bench.ask("PATCH", path, {"auth": {"scope": "hooks"}})).status == 200
    masked = {**OAUTH2, "client_secret": "***", "scope": "other"}
    assert (await bench.ask("PUT", path, {"url": URL, "auth": masked})).status == 200
    endpoint = bench.registry.by_uid(made["uid"])
    assert endpoint is not None
    assert endpoint.oauth2 is not None
    assert (endpoint.oauth2.client_secret, endpoint.oauth2.scope) == ("s3cr3t", "other")
    lost = await bench.ask("PUT", path, {"url": URL, "auth": {**BASIC, "password": "***"}})
    assert code(lost) == (422, "invalid_field")
    assert (await bench.ask("PATCH", path, {"auth": None})).status == 200
    endpoint = bench.registry.by_uid(made["uid"])
    assert endpoint is not None
    assert endpoint.oauth2 is None


@pytest.mark.parametrize(
    "fields",
    [
        {"auth": {"type": "bearer", "token_env": "HOME"}},
        {"auth": {"type": "basic", "username": "a", "password_env": "HOME"}},
        {"auth": {**OAUTH2, "client_secret_env": "HOME"}},
        {"auth": {"type": "bearer"}},
        {"auth": {"type": "bearer", "token": 1}},
        {"client_cert_path": "/etc/ssl/private/x.pem"},
        {"client_key_path": "/etc/ssl/private/x.pem"},
    ],
)
async def test_variables_and_files_of_the_server_are_out_of_reach(bench: Bench, fields: dict[str, Any]) -> None:
    answer = await bench.ask("POST", "/api/webhooks", {"url": URL, "app_id": "1", **fields})
    assert answer.status == 422
    assert bench.registry.by_app("1") == ()


@pytest.mark.parametrize("url", FORBIDDEN)
async def test_no_token_url_may_lead_to_addresses_that_are_forbidden(bench: Bench, url: str) -> None:
    made = await bench.made()
    auth = {**OAUTH2, "token_url": "https" + url.removeprefix("http")}
    for method, path, body in (
        ("POST", "/api/webhooks", {"url": URL, "app_id": "1", "auth": auth}),
        ("PATCH", f"/api/webhooks/{made['uid']}", {"auth": auth}),
    ):
        answer = await bench.ask(method, path, body)
        assert answer.status == 422, url
        assert {problem["field"] for problem in answer.document["error"]["fields"]} == {"auth.token_url"}
    endpoint = bench.registry.by_uid(made["uid"])
    assert endpoint is not None
    assert endpoint.oauth2 is None
