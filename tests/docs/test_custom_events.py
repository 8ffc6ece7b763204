"""docs/webhooks/custom-events.md: its programs trigger events, and its tables say what the code does."""

import asyncio
import os
import re
import shutil
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

import sockudo_py.management.deliveries.trigger
import sockudo_py.webhooks.trigger
from sockudo_py.webhooks.operators.kinds import KINDS
from sockudo_py.webhooks.trigger.asked import _KNOWN
from tests.docs.pages import blocks, code_words, page, section, table
from tests.support.hook_receiver import HookReceiver
from tests.support.server import TestApp, app_config, running, server_config

DOCUMENT = page("webhooks/custom-events.md")


def test_every_field_is_listed() -> None:
    assert {name for row in table(DOCUMENT, "field") for name in code_words(row["field"])} == _KNOWN


def test_every_code_of_an_error_is_listed() -> None:
    modules = [
        *Path(sockudo_py.webhooks.trigger.__path__[0]).glob("*.py"),
        Path(sockudo_py.management.deliveries.trigger.__file__),
    ]
    text = "".join(module.read_text() for module in modules)
    sent = set(re.findall(r'\b(?:NotTriggered|Refused)\(\s*\d{3}, "(\w+)"', text))
    sent |= set(re.findall(r'_refused\(\s*"(\w+)"', text))
    elsewhere = {"malformed", "unauthorized", "forbidden", "unavailable", "too_large"}  # the router and who admits
    said = {code for row in table(DOCUMENT, "status") for code in code_words(row["code"])}
    assert said == sent | elsewhere


@pytest.mark.parametrize("language", ["bash", "python"])
async def test_the_program_triggers_an_event(language: str, tmp_path: Path) -> None:
    missing = [program for program in ("bash", "curl", "openssl") if shutil.which(program) is None]
    if missing:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip
        give_up(f"THE SHELL EXAMPLE WAS NOT TESTED: there is no {missing}")
    app = TestApp()
    [code] = blocks(section(DOCUMENT, "With the app's key and secret"), language)
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "event_types": ["order.paid"]}
        with running(server_config(app_config(app, webhooks=[hook])), tmp_path) as server:
            code = code.replace('"1"', f'"{app.id}"').replace("/apps/1/", f"/apps/{app.id}/")
            code = code.replace("app-key", app.key).replace("app-secret", app.secret).replace("6001", str(server.port))
            values = {
                "PUSHER_HOST": server.host,
                "PUSHER_PORT": str(server.port),
                "PUSHER_APP_ID": app.id,
                "PUSHER_APP_KEY": app.key,
                "PUSHER_APP_SECRET": app.secret,
                "no_proxy": "*",
            }
            command = ["bash", "-eu", "-c", code] if language == "bash" else [sys.executable, "-c", code]
            process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, env={**os.environ, **values})
            out, _ = await process.communicate()
            assert b"order-17" in out
            assert b"1" in out
            [hook_request] = await asyncio.to_thread(receiver.wait_for, "/hook", 1)
    [event] = hook_request.events
    assert (event["name"], event["event_id"], event["data"]) == ("order.paid", "order-17", {"amount": "12.50"})


def test_every_kind_for_operators_is_listed() -> None:
    rows = table(section(page("webhooks/operation.md"), "Webhooks for operators"), "kind")
    assert [code_words(row["kind"])[0] for row in rows] == list(KINDS)
