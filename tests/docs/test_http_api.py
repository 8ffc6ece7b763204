"""docs/http-api.md says what the HTTP API does."""

import asyncio
import json
import os
import re
import shutil
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

import sockudo_py.edge
import sockudo_py.http
from sockudo_py.http.handlers.events import check
from sockudo_py.http.routes import ROUTES
from sockudo_py.protocol.app import App, AppKey
from tests.docs.pages import blocks, code_words, page, section, table
from tests.support.site import Site

DOCUMENT = page("http-api.md")
STATUS = re.compile(r"(?:\berror\(\s*|_refuse\(\s*|BadHead\(.*, )([45]\d\d)\b")


def test_every_route_is_listed() -> None:
    said = [code_words(row["route"])[0] for row in table(DOCUMENT, "route")]
    assert said == [f"{route.method} {route.pattern}" for route in ROUTES]


def test_every_status_is_explained() -> None:
    sources = [
        file for package in (sockudo_py.http, sockudo_py.edge) for file in Path(package.__path__[0]).rglob("*.py")
    ]
    sent = {status for source in sources for status in STATUS.findall(source.read_text())}
    said = {status for row in table(DOCUMENT, "status") for status in re.findall(r"\d{3}", row["status"])}
    assert said == sent


def test_the_example_of_an_event_is_one_and_its_fields_are_explained() -> None:
    [code] = blocks(section(DOCUMENT, "Publish"), "json")
    event = json.loads(code)
    assert isinstance(check(event, App("1", (AppKey("k", b"s"),))), tuple)
    said = {name for row in table(DOCUMENT, "field") for name in code_words(row["field"])}
    assert said == {*event, "channel", "idempotency_key"}


async def test_the_shell_example_publishes(site: Site) -> None:
    missing = [program for program in ("bash", "curl", "openssl") if shutil.which(program) is None]
    if missing:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip
        give_up(f"THE SHELL EXAMPLE WAS NOT TESTED: there is no {missing}")
    [script] = blocks(section(DOCUMENT, "Signature"), "bash")
    where = {"PUSHER_HOST": site.server.host, "PUSHER_PORT": str(site.server.port)}
    app = {"PUSHER_APP_ID": site.app.id, "PUSHER_APP_KEY": site.app.key, "PUSHER_APP_SECRET": site.app.secret}
    async with site.connect() as client:
        await client.subscribe("news")
        process = await asyncio.create_subprocess_exec(
            "bash", "-eu", "-c", script, stdout=PIPE, env={**os.environ, "no_proxy": "*", **where, **app}
        )
        out, _ = await process.communicate()
        assert out == b"{}"
        frame = await client.expect("headline", "news")
        assert frame.data == {"text": "hello"}
