"""The commands of the five documents against the management API: as they stand, with hosts, keys and ids put in."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.client import eventually
from tests.support.hook_receiver import HookReceiver
from tests.support.management import KEY, admin_key, ask, managed
from tests.support.server import Server, TestApp, app_config, running, server_config

OTHER = "key-of-app-4"

# Pulse, step 2: "Set your webhook URL when creating/updating a project"
PULSE = r"""
curl -X PUT https://api.pulse.io/api/v1/projects/{PROJECT_ID} \
  -H "X-Pulse-Key: YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "webhook_url": "https://yourapp.com/webhooks/pulse"
  }'
"""
# Pulse, local testing: without a Content-Type
PULSE_LOCAL = r"""
curl -X PUT https://api.pulse.io/api/v1/projects/PROJECT_ID \
  -H "X-Pulse-Key: YOUR_KEY" \
  -d '{"webhook_url": "https://abc123.ngrok.io/webhooks/pulse"}'
"""
# RemoteDevAI, "Create webhook via API"
CREATE = r"""
curl -X POST http://localhost:3001/api/webhooks \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "Test Webhook",
    "url": "https://webhook.site/your-unique-id",
    "events": ["project.created", "session.started"],
    "description": "Testing webhook delivery"
  }'
"""
TEST = r"""
# Send test webhook
curl -X POST http://localhost:3001/api/webhooks/{webhook_id}/test \
  -H "Authorization: Bearer YOUR_API_KEY"
"""
SHOW = r"""
   curl http://localhost:3001/api/webhooks/{id} \
     -H "Authorization: Bearer YOUR_API_KEY"
"""
QUEUE = r"""
curl http://localhost:3001/api/webhooks/queue/stats \
  -H "Authorization: Bearer YOUR_API_KEY"
"""
RETRY_ALL = r"""
# Retry all failed
curl -X POST http://localhost:3001/api/webhooks/queue/retry-failed \
  -H "Authorization: Bearer YOUR_API_KEY"
"""
RETRY_ONE = r"""
# Retry for specific webhook
curl -X POST http://localhost:3001/api/webhooks/queue/retry-failed \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{"webhookId": "webhook_id_here"}'
"""
# IRISX, "Test Webhook Endpoint"
IRISX_TEST = r"""
curl -X POST https://api.irisx.com/v1/webhooks/123/test \
  -H "Authorization: Bearer YOUR_API_KEY" \
  -H "Content-Type: application/json"
"""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def receiver(authority: trustme.CA) -> Iterator[HookReceiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HookReceiver(tls=context) as receiver:
        yield receiver


@pytest.fixture
def server(tmp_path: Path, authority: trustme.CA) -> Iterator[Server]:
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    section = managed(admin_key(apps=["3"]), admin_key(OTHER, apps=["4"]))
    section["security"]["ca_bundle"] = str(bundle)
    apps = [app_config(TestApp()), app_config(TestApp("4", "k4", "s4"))]
    with running(server_config(*apps, webhooks=section), tmp_path) as server:
        yield server


def run(server: Server, command: str, **put: str) -> tuple[int, Any]:
    """Run a command with bash; return the status and the JSON of the answer. ``put``: what stands for what."""
    missing = [program for program in ("bash", "curl") if shutil.which(program) is None]
    if missing:
        give_up = pytest.fail if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip
        give_up(f"A COMMAND OF THE DOCUMENTS WAS NOT RUN: there is no {missing}")
    for host in ("https://api.pulse.io", "http://localhost:3001", "https://api.irisx.com"):
        command = command.replace(host, f"http://127.0.0.1:{server.port}")
    replaced: Mapping[str, str] = {"YOUR_API_KEY": KEY, "YOUR_KEY": KEY, **put}
    for old, new in replaced.items():
        command = command.replace(old, new)
    command = command.replace("curl ", "curl -sS -w '\\n%{http_code}' ", 1)
    done = subprocess.run(
        ["bash", "-euc", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "no_proxy": "*"},
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


async def trigger(server: Server, event_type: str) -> None:
    body = {"event_type": event_type, "data": {"x": 1}}
    said = await asyncio.to_thread(ask, server, "POST", "/apps/3/webhook_events", body)
    assert said.status == 202, said


async def test_p1_the_url_of_a_project_is_set_and_events_arrive(server: Server, receiver: HookReceiver) -> None:
    url = {"https://yourapp.com": receiver.url, "https://abc123.ngrok.io": receiver.url}
    status, first = run(server, PULSE, **{"{PROJECT_ID}": "3"}, **url)
    assert status == 201
    assert first["secret"].startswith("whsec_")
    assert first["webhook_url"] == f"{receiver.url}/webhooks/pulse"
    status, again = run(server, PULSE_LOCAL, PROJECT_ID="3", **url)
    assert (status, again["webhook"]["uid"]) == (200, first["webhook"]["uid"])
    await trigger(server, "room.started")
    await eventually(lambda: len(receiver.hooks("/webhooks/pulse")) == 1, "the event")
    [hook] = receiver.hooks("/webhooks/pulse")
    assert (hook.json["event"], hook.json["project_id"]) == ("room.started", "3")
    assert hook.header("X-Webhook-Signature").startswith("sha256=")


async def test_d1_d2_d3_an_endpoint_is_made_shown_and_tested(server: Server, receiver: HookReceiver) -> None:
    put = {"https://webhook.site": receiver.url}
    status, made = run(server, CREATE, **put)
    assert status == 201
    assert isinstance(made["id"], str)
    assert isinstance(made["secret"], str)
    assert {name: made[name] for name in ("name", "events", "description", "active", "profile")} == {
        "name": "Test Webhook",
        "events": ["project.created", "session.started"],
        "description": "Testing webhook delivery",
        "active": True,
        "profile": "remotedevai",
    }
    status, shown = run(server, SHOW, **{"{id}": made["id"]})
    assert (status, shown["active"]) == (200, True)
    assert "secret" not in shown
    status, tested = await asyncio.to_thread(run, server, TEST, **{"{webhook_id}": made["id"]})
    assert (status, tested["success"], tested["status_code"]) == (200, True, 200)
    [hook] = receiver.hooks("/your-unique-id")
    assert hook.json["type"] == "project.created"
    assert len(hook.header("X-Webhook-Signature")) == 64


async def test_d6_d7_i2_failed_deliveries_are_counted_and_sent_again_by_hand(
    server: Server, receiver: HookReceiver
) -> None:
    uids = []
    for name in ("one", "two"):
        body = {"url": f"{receiver.url}/{name}", "events": ["call.completed"], "retry": {"max_retries": 0}}
        uids.append(ask(server, "POST", "/api/webhooks", body).json["id"])
        receiver.answer(f"/{name}", 500, 500)

    def failed() -> int:
        status, figures = run(server, QUEUE)
        assert status == 200
        assert {"waiting", "active", "failed", "lanes", "queue_depth"} <= set(figures)
        return int(figures["failed"])

    await trigger(server, "call.completed")
    await eventually(lambda: failed() == 2, "two dead letters")
    assert run(server, RETRY_ONE, webhook_id_here=uids[0]) == (202, {"retried": 1})
    await eventually(lambda: len(receiver.hooks("/one")) == 2 and failed() == 2, "it is tried again and fails again")
    assert len(receiver.hooks("/two")) == 1
    assert run(server, RETRY_ALL) == (202, {"retried": 2})
    await eventually(lambda: len(receiver.hooks("/one")) == 3 and len(receiver.hooks("/two")) == 2, "all of them")


async def test_i7_i10_a_test_by_number_and_not_for_strangers(server: Server, receiver: HookReceiver) -> None:
    made = ask(server, "POST", "/v1/webhooks", {"url": f"{receiver.url}/i", "events": ["call.completed"]}).json[
        "webhook"
    ]
    number = str(made["id"])
    status, tested = await asyncio.to_thread(run, server, IRISX_TEST, **{"webhooks/123/": f"webhooks/{number}/"})
    assert (status, tested["success"]) == (200, True)
    [hook] = receiver.hooks("/i")
    assert hook.header("X-IRISX-Signature").startswith("sha256=")
    status, refused = await asyncio.to_thread(
        run, server, IRISX_TEST, **{"webhooks/123/": f"webhooks/{number}/", "YOUR_API_KEY": OTHER}
    )
    assert (status, refused["error"]["code"]) == (404, "unknown_webhook")
    assert len(receiver.hooks("/i")) == 1


def test_i10_an_endpoint_is_not_there_for_other_apps(server: Server, receiver: HookReceiver) -> None:
    made = ask(server, "POST", "/v1/webhooks", {"url": f"{receiver.url}/i"}).json["webhook"]
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        for wanted in (made["id"], made["uid"]):
            said = ask(server, method, f"/v1/webhooks/{wanted}", {"url": receiver.url}, key=OTHER)
            assert (said.status, said.code) == (404, "unknown_webhook")
    assert ask(server, "GET", "/v1/webhooks", key=OTHER).json["webhooks"] == []
