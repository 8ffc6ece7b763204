"""A running server is as its OpenAPI document says: Schemathesis makes up requests to all routes.

``make fuzz-api`` sends more of them. ``tests/support/openapi_hooks.py`` signs them.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.management import KEY, admin_key, ask, made, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

APP, OTHER = TestApp(), TestApp("4", "key-of-4", "secret-of-4")
EXAMPLES = os.environ.get("OPENAPI_EXAMPLES") or "3"
SEED = os.environ.get("OPENAPI_SEED") or "1"
PHASES = "examples,coverage,fuzzing" if "OPENAPI_EXAMPLES" in os.environ else "examples,fuzzing"
LONGEST = 3600.0 if "OPENAPI_EXAMPLES" in os.environ else 500.0  # seconds
# Not `positive_data_acceptance`: what must hold between fields, and of the rest of the world, is in no schema.
# Not `negative_data_rejection`: Pusher's API ignores parameters that it does not know.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    webhooks = managed(admin_key(), delivery={"history": 100_000})
    webhooks["admin"]["rate_limit"] = {"per_minute": 10_000_000}
    apps = [app_config(APP), app_config(OTHER)]
    with running(server_config(*apps, webhooks=webhooks), tmp_path) as found:
        yield found


def stocked(server: Server) -> dict[str, Any]:
    """Return what Schemathesis shall ask for: an endpoint, a delivery, a dead letter, and endpoints to delete."""
    url = f"http://127.0.0.1:{server.port}/nowhere"
    webhook = made(server, url, event_types=["*"], profile="standard", retry={"enabled": False})
    assert ask(server, "POST", f"/apps/{APP.id}/webhook_events", {"event_type": "order.paid"}).status == 202
    deadline = time.monotonic() + 30
    while not (failed := ask(server, "GET", "/api/webhooks/queue/failed").json["failed"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)  # polls, with a deadline
    delivery = failed[0]["id"]
    spare = [made(server, url)["id"] for _ in range(20)]
    ids = {"app": APP.id, "app_id": APP.id, "id": webhook["id"], "delivery": delivery, "letter": delivery}
    return {
        "key": KEY,
        "app_key": APP.key,
        "app_secret": APP.secret,
        "url": url,
        "spare": spare,
        "ids": {**ids, "name": "channel_occupied", "channel": "presence-room"},
    }


async def schemathesis(server: Server, folder: Path, *options: str) -> tuple[int, str]:
    """Run it, and return its exit code and what it says."""
    known = await asyncio.to_thread(stocked, server)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "schemathesis.cli", "run", f"http://{server.host}:{server.port}/openapi.json"),
        *("--exclude-path", "/api/live"),  # a stream without end
        *("--phases", PHASES, "--max-examples", EXAMPLES, "--seed", SEED, "--checks", ",".join(CHECKS)),
        *("--request-timeout", "60", "--warnings", "off", "--no-color", *options),
        cwd=folder,
        env={
            **os.environ,
            "OPENAPI_KNOWN": json.dumps(known),
            "SCHEMATHESIS_HOOKS": "tests.support.openapi_hooks",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "NO_PROXY": "*",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LONGEST):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, said.decode()


async def test_schemathesis_finds_no_violation_and_no_500(server: Server, tmp_path: Path) -> None:
    report = tmp_path / "report.har"
    code, said = await schemathesis(server, tmp_path, "--report", "har", "--report-har-path", str(report))
    assert code == 0, said[-20_000:]
    assert '"level": "error", "logger": "sockudo_py.management' not in server.log()
    assert "Traceback" not in server.log()
    # It has come to the handlers: most routes have said yes to something.
    statuses: dict[tuple[str, str], set[int]] = {}
    for entry in json.loads(report.read_text())["log"]["entries"]:
        path = entry["request"]["url"].partition("?")[0].partition(f":{server.port}")[2]
        statuses.setdefault((entry["request"]["method"], path), set()).add(entry["response"]["status"])
    good = [place for place, found in statuses.items() if min(found) < 300]
    assert len(good) > 60, sorted(statuses.items())


def test_the_document_is_open_and_says_where_it_is(tmp_path: Path) -> None:
    config = server_config(app_config(APP), webhooks=managed(), path_prefix="/realtime")
    with running(config, tmp_path) as server:
        said = ask(server, "GET", "/openapi.json", key=None)
        assert (said.status, said.headers["content-type"]) == (200, "application/json")
        assert said.json["servers"] == [{"url": "/realtime"}]
        assert server.get("/openapi.json")[0] == 404


def test_where_operators_may_not_ask_the_document_has_what_is_left(tmp_path: Path) -> None:
    webhooks = managed()
    webhooks["admin"] = {"enabled": False}
    with running(server_config(app_config(APP), webhooks=webhooks), tmp_path) as server:
        paths = ask(server, "GET", "/openapi.json", key=None).json["paths"]
    assert {"/apps/{app}/webhook_events", "/apps/{app_id}/events", "/up"} <= set(paths)
    assert not [path for path in paths if path.startswith(("/api/", "/v1/"))]
