"""The programs in docs/receiving.md run as they stand there, against requests that this server makes."""

import http.client
import json
import re
import sys
import threading
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import aiohttp.test_utils
import django.conf
import django.test
import httpx
import pytest

from sockudo_py.apps.definition import define_apps
from sockudo_py.config import load
from sockudo_py.endpoints import Endpoint, ProfileName, Secret
from sockudo_py.protocol.app import AppKey
from sockudo_py.receiver import Delivery, Reason, VerificationError, verify
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.endpoints.profiles import SCHEMES
from tests.unit.webhooks.make import APP_SECRET, endpoint, job

DOCUMENT = (Path(__file__).parents[2] / "docs" / "receiving.md").read_text()
STANDARD_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
PATH = "/webhooks"
Call = Callable[[bytes, dict[str, str]], Any]


def blocks(heading: str, language: str = "python") -> list[str]:
    """Return the code of a section."""
    [section] = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


class Handled:
    """Stands in for the program's own ``handle``: it remembers, and fails when told to."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self.fail = False

    def __call__(self, delivery: Delivery) -> None:
        if self.fail:
            raise RuntimeError("the database is away")
        self.deliveries.append(delivery)

    async def later(self, delivery: Delivery) -> None:
        self(delivery)


@pytest.fixture
def handled() -> Handled:
    return Handled()


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, handled: Handled) -> Callable[[str], types.ModuleType]:
    """Return the program of a section as a module, with ``handle`` replaced."""
    monkeypatch.setenv("WEBHOOK_SECRET", APP_SECRET.decode())

    def load_program(heading: str) -> types.ModuleType:
        [code] = blocks(heading)
        name = f"document_{re.sub('[^a-z]', '_', heading.lower())}"
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, name, "exec"), module.__dict__)  # noqa: S102 - our own document
        asynchronous = "async def handle" in code
        assert module.handle
        module.handle = handled.later if asynchronous else handled  # type: ignore[attr-defined]
        return module

    return load_program


def request(delivery_id: str = "dl_1", attempt: int = 0) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request for the app's receiver."""
    now = time.time()
    made = job(id=delivery_id, created_ms=int(now * 1000), attempt=attempt)
    [signed] = requests_for(endpoint(), made, now)
    return signed.body, dict(signed.headers)


async def converse(call: Call, handled: Handled) -> None:
    """Talk to a receiver as the server does: a delivery, its retry, a forgery, a delivery that it fails to handle."""
    body, headers = request()
    assert await call(body, headers) == 200
    assert [one.events[0]["name"] for one in handled.deliveries] == ["channel_occupied"]
    assert await call(body, {**headers, "X-Sockudo-Attempt": "2"}) == 200
    assert len(handled.deliveries) == 1, "a retry was handled twice"
    assert await call(body.replace(b"channel_occupied", b"channel_vacated"), headers) == 401
    assert await call(body, {**headers, "X-Pusher-Signature": "0" * 64}) == 401
    assert await call(body, {name: value for name, value in headers.items() if "Signature" not in name}) == 401
    assert len(handled.deliveries) == 1
    body, headers = request("dl_2")
    handled.fail = True
    assert await call(body, headers) == 500
    handled.fail = False
    assert await call(body, headers) == 200
    assert len(handled.deliveries) == 2


async def test_the_aiohttp_program(program: Callable[[str], types.ModuleType], handled: Handled) -> None:
    app = program("aiohttp").app
    async with aiohttp.test_utils.TestClient(aiohttp.test_utils.TestServer(app)) as client:

        async def call(body: bytes, headers: dict[str, str]) -> int:
            async with client.post(PATH, data=body, headers=headers) as response:
                return response.status

        await converse(call, handled)


async def test_the_fastapi_program(program: Callable[[str], types.ModuleType], handled: Handled) -> None:
    transport = httpx.ASGITransport(program("FastAPI").app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://receiver.example") as client:

        async def call(body: bytes, headers: dict[str, str]) -> int:
            return (await client.post(PATH, content=body, headers=headers)).status_code

        await converse(call, handled)


async def test_the_flask_program(program: Callable[[str], types.ModuleType], handled: Handled) -> None:
    client = program("Flask").app.test_client()

    async def call(body: bytes, headers: dict[str, str]) -> int:
        return int(client.post(PATH, data=body, headers=headers).status_code)

    await converse(call, handled)


async def test_the_django_program(program: Callable[[str], types.ModuleType], handled: Handled) -> None:
    module = program("Django")
    middleware = ["django.middleware.csrf.CsrfViewMiddleware"]
    if not django.conf.settings.configured:
        django.conf.settings.configure(ALLOWED_HOSTS=["*"], MIDDLEWARE=middleware, SECRET_KEY="of a test")
    with django.test.override_settings(ROOT_URLCONF=module.__name__):
        client = django.test.Client(enforce_csrf_checks=True, raise_request_exception=False)

        async def call(body: bytes, headers: dict[str, str]) -> int:
            content_type = headers["Content-Type"]
            return int(client.post(PATH, data=body, content_type=content_type, headers=headers).status_code)

        await converse(call, handled)


async def test_the_http_server_program(program: Callable[[str], types.ModuleType], handled: Handled) -> None:
    module = program("http.server")
    module.Handler.log_message = lambda *_: None
    server = module.serve(0)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    port = server.server_address[1]

    async def call(body: bytes, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", PATH, body, headers)
            return connection.getresponse().status
        finally:
            connection.close()

    try:
        await converse(call, handled)
        assert await call(b"", {"Content-Length": str(10**9)}) == 413
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def signed(target: Endpoint) -> tuple[bytes, dict[str, str]]:
    now = time.time()
    [made] = requests_for(target, job(created_ms=int(now * 1000)), now)
    return made.body, dict(made.headers)


def run(line: str, target: Endpoint, **names: Any) -> Any:
    """Run a line of the document against a request to ``target``."""
    body, headers = signed(target)
    return eval(line, {"verify": verify, "body": body, "headers": headers, **names})  # noqa: S307


LINES = {
    found[1]: line for line in blocks("Profiles")[0].splitlines() if (found := re.search(r'profile="(\w+)"', line))
}


def test_every_profile_has_a_line() -> None:
    assert set(LINES) == set(SCHEMES)


@pytest.mark.parametrize("profile", SCHEMES)
def test_the_line_of_each_profile_takes_its_requests(profile: ProfileName) -> None:
    secret = STANDARD_SECRET if profile == "standard" else "an endpoint's secret"
    target = endpoint(profile=profile, secrets=(Secret(secret),))
    names = {"APP_SECRET": APP_SECRET.decode(), "ENDPOINT_SECRET": secret}
    assert run(LINES[profile], target, **names).id == "dl_1"
    with pytest.raises(VerificationError):
        run(LINES[profile], target, APP_SECRET="wrong", ENDPOINT_SECRET="whsec_" + "A" * 44)


def test_the_line_with_keys_refuses_other_apps() -> None:
    line = blocks("Profiles")[1].strip()
    assert run(line, endpoint(app_keys=(AppKey("other-key", b"other-secret"),))).key == "other-key"
    with pytest.raises(VerificationError, match="not a key of ours"):
        run(line, endpoint(app_keys=(AppKey("foreign-key", b"app-secret"),)))


@pytest.mark.parametrize("secret", ["old one", "new one"])
def test_the_line_for_a_rotation_takes_both_secrets(secret: str) -> None:
    target = endpoint(profile="irisx", secrets=(Secret(secret),))
    assert run(blocks("Profiles")[2].strip(), target, NEW_SECRET="new one", OLD_SECRET="old one").id == "dl_1"


def test_the_custom_endpoint_and_its_check_belong_together(tmp_path: Path) -> None:
    [written] = blocks("Profiles", "json")
    app = {"id": "1", "key": "k", "secret": "s" * 20, "webhooks": [json.loads(written)]}
    (tmp_path / "config.json").write_text(json.dumps({"app_manager": {"array": {"apps": [app]}}}))
    [definition] = define_apps(load(tmp_path / "config.json", {}))
    body, headers = signed(definition.endpoints[0])
    names: dict[str, Any] = {"verify": verify, "body": body, "headers": headers}
    exec(blocks("Profiles")[3], names)  # noqa: S102 - our own document
    with pytest.raises(VerificationError):
        exec(blocks("Profiles")[3], {**names, "body": body + b" "})  # noqa: S102


def test_the_document_names_every_reason_and_every_field() -> None:
    assert all(f"`{reason}`" in DOCUMENT for reason in get_args(Reason))
    listed = re.findall(r"^\| `(\w+)` \|", DOCUMENT.split("## What a delivery holds")[1].split("## Profiles")[0], re.M)
    assert {*listed, "profile"} == set(Delivery.__dataclass_fields__)
