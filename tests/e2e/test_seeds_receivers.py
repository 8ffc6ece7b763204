"""Live requests of every profile, checked by the receivers of the documents that this server has to satisfy.

Configuration, queue, worker and HTTPS are real; the receivers in JavaScript and Go run in Node and Go. Items of
tests/SEEDS.md are named p2, k10 ... in the tests.
"""

import asyncio
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sockudo_py.changes import Change, ChannelOccupied, ChannelVacated, ClientEventSent, MemberAdded, MemberRemoved
from sockudo_py.receiver import verify
from tests.support.node import installed_node
from tests.support.php import php
from tests.support.receiver import Received, Receiver
from tests.support.seeds import APP, APP_SECRET, KEY, SECRET, STANDARD_SECRET, Site, live
from tests.unit.webhooks import verifiers

PULSE_EVENTS = [
    "room.started", "room.ended", "participant.joined", "participant.left", "track.published", "track.unpublished",
    "egress.started", "egress.ended", "recording.completed",
]  # fmt: skip
REALCAST_EVENTS = ["stream.live", "stream.offline", "viewer.count.update", "recording.ready", "chat.message.new"]
REMOTEDEVAI_EVENTS = ["project.created", "session.started", "agent.status_changed", "storage.quota_warning"]
IRISX_EVENTS = ["call.initiated", "call.completed", "call.dtmf", "sms.received", "tenant.limit.warning"]

# Text and numbers that come out otherwise when a receiver parses and writes them, unless we send them stable.
DATA = {
    "room_name": "Grün ✓ \U0001f600", "text": "a\"b\\c/d\u2028\u007f", "empty": {}, "list": [1, 2.0, -0.0, None, True],
    "share": 0.25, "whole": 3.0, "large": 2**60, "10": "b", "2": "a", "nested": {"1": [], "x": {"y": "z"}},
}  # fmt: skip
NODE_DEADLINE = 120.0


async def in_node(*cases: tuple[str, Received, str]) -> list[Any]:
    """Return what the verifiers in JavaScript say of these (verifier, request, secret)."""
    node = await asyncio.to_thread(installed_node)
    program = Path(__file__).parent / "js" / "seeds.mjs"
    given = [
        {"verifier": name, "headers": request.headers, "body": request.body.decode(), "secret": secret}
        for name, request, secret in cases
    ]
    process = await asyncio.create_subprocess_exec(
        node, str(program), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(NODE_DEADLINE):
        out, _ = await process.communicate(json.dumps(given).encode())
    answers: list[Any] = json.loads(out)
    return answers


def wire_names(request: Received) -> dict[str, str]:
    """Return the headers by the names that were on the wire."""
    return {name.decode(): value.decode() for name, value in request.raw_headers}


async def send_all(site: Site, receiver: Receiver, events: list[str], path: str) -> list[Received]:
    """Trigger these events and return the requests that they became, in that order."""
    for name in events:
        await site.trigger(name, DATA)
    requests = await receiver.wait_for(len(events), path)

    def place(request: Received) -> int:
        body = request.json()
        return events.index(body.get("event") or body["type"])

    return sorted(requests, key=place)


# -- S1, the base project

CHANGES: list[Change] = [
    ChannelOccupied(APP, "presence-a"),
    MemberAdded(APP, "presence-a", "10", "1.2", '{"name":"Ünï"}'),
    ClientEventSent(APP, "presence-a", "client-typing", '{"on":true}', "1.2", "10"),
    MemberRemoved(APP, "presence-a", "10", "1.2"),
    ChannelVacated(APP, "presence-a"),
]


@pytest.mark.clients
@pytest.mark.parametrize("profile", [None, "sockudo"])
async def test_k1_k7_k10_the_base_projects_receivers_take_a_live_batch(tmp_path: Path, profile: str | None) -> None:
    async with live(tmp_path, {"path": "/hook", "profile": profile}) as (site, receiver):
        for change in CHANGES:
            site.service.add(change)
        [request] = await receiver.wait_for(1)
    assert request.headers["x-pusher-key"] == KEY
    assert request.headers["x-pusher-signature"].startswith("sha256=") is (profile == "sockudo")
    assert [event["name"] for event in request.json()["events"]] == [
        "channel_occupied", "member_added", "client_event", "member_removed", "channel_vacated",
    ]  # fmt: skip
    names = ("sockudo", "sockudoExpress")
    assert await in_node(*((name, request, APP_SECRET) for name in names)) == [True, True]
    assert await in_node(*((name, request, "wrong") for name in names)) == [False, False]
    assert verifiers.sockudo(wire_names(request), request.body, APP_SECRET)
    assert not verifiers.sockudo(wire_names(request), request.body, "wrong")


async def test_k7_every_field_of_the_table_is_there(tmp_path: Path) -> None:
    async with live(tmp_path, {"path": "/hook"}) as (site, receiver):
        for change in CHANGES:
            site.service.add(change)
        [request] = await receiver.wait_for(1)
    body = request.json()
    fields = {event["name"]: set(event) for event in body["events"]}
    assert set(body) == {"time_ms", "events"}
    assert fields == {
        "channel_occupied": {"name", "channel", "time_ms"},
        "channel_vacated": {"name", "channel", "time_ms"},
        "member_added": {"name", "channel", "user_id", "socket_id", "data", "time_ms"},
        "member_removed": {"name", "channel", "user_id", "socket_id", "time_ms"},
        "client_event": {"name", "channel", "event", "data", "socket_id", "user_id", "time_ms"},
    }
    added = body["events"][1]
    assert json.loads(added["data"]) == {"user_id": "10", "user_info": {"name": "Ünï"}}


@pytest.mark.parametrize("profile", [None, "sockudo"])
async def test_k10_laravels_controller_takes_a_live_batch(tmp_path: Path, profile: str | None) -> None:
    async with live(tmp_path, {"path": "/hook", "profile": profile}) as (site, receiver):
        for change in CHANGES:
            site.service.add(change)
        [request] = await receiver.wait_for(1)
    async with php(APP_SECRET) as post:
        status, said = await post("/webhooks/sockudo", wire_names(request), request.body)
        assert (status, said["said"]) == (200, "OK")
        assert said["called"] == ["handleChannelOccupied", "handleMemberRemoved", "handleChannelVacated"]
        assert [(row["channel"], row["user_id"]) for row in said["rows"]] == [("presence-a", "10")]
        changed = request.body.replace(b"presence-a", b"presence-b", 1)
        assert (await post("/webhooks/sockudo", wire_names(request), changed))[0] == 401
    async with php("wrong") as post:
        assert (await post("/webhooks/sockudo", wire_names(request), request.body))[0] == 401


# -- S0


@pytest.mark.clients
async def test_p2_p3_p13_pulses_receivers_in_javascript_and_python_take_every_event(tmp_path: Path) -> None:
    webhook = {"path": "/hook", "profile": "pulse", "event_types": PULSE_EVENTS}
    async with live(tmp_path, webhook) as (site, receiver):
        requests = await send_all(site, receiver, PULSE_EVENTS, "/hook")
    for name in ("pulseRaw", "pulseParsed"):
        assert await in_node(*((name, one, SECRET) for one in requests)) == [True] * len(PULSE_EVENTS)
        assert await in_node((name, requests[0], "wrong")) == [False]
    for request in requests:
        assert verifiers.pulse(wire_names(request), request.body, SECRET)
        assert not verifiers.pulse(wire_names(request), request.body, "wrong")


async def test_p2_pulses_receiver_in_go_takes_a_request(tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("PULSE'S GO RECEIVER WAS NOT TESTED: there is no go on PATH")
    async with live(tmp_path, {"path": "/hook", "profile": "pulse", "event_types": ["room.started"]}) as (
        site,
        receiver,
    ):
        [request] = await send_all(site, receiver, ["room.started"], "/hook")
    program = tmp_path / "pulse"
    environment = {**os.environ, "GO111MODULE": "off", "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    build = [go, "build", "-o", str(program), str(Path(__file__).parent / "go" / "pulse.go")]
    await asyncio.to_thread(subprocess.run, build, env=environment, check=True, timeout=240)
    signed = request.headers["x-webhook-signature"].encode() + b"\n" + request.body
    for secret, answer in ((SECRET, b"true"), ("wrong", b"false")):
        done = await asyncio.to_thread(
            subprocess.run, [str(program), secret], input=signed, capture_output=True, check=True, timeout=30
        )
        assert done.stdout == answer


async def test_p4_p5_a_pulse_request_is_one_event_in_its_envelope(tmp_path: Path) -> None:
    async with live(tmp_path, {"path": "/hook", "profile": "pulse", "event_types": PULSE_EVENTS}) as (site, receiver):
        requests = await send_all(site, receiver, PULSE_EVENTS[:2], "/hook")
    for request, name in zip(requests, PULSE_EVENTS, strict=False):
        body = request.json()
        assert list(body) == ["event", "project_id", "timestamp", "data"]
        assert (body["event"], body["project_id"]) == (name, APP)
        assert time.strptime(body["timestamp"], "%Y-%m-%dT%H:%M:%SZ")
        assert body["data"]["room_name"] == DATA["room_name"]


# -- S2


@pytest.mark.clients
async def test_r1_r2_r9_realcasts_receivers_take_every_event(tmp_path: Path) -> None:
    webhook = {"path": "/hook", "profile": "realcast", "event_types": REALCAST_EVENTS}
    async with live(tmp_path, webhook) as (site, receiver):
        requests = await send_all(site, receiver, REALCAST_EVENTS, "/hook")
    assert await in_node(*(("realcast", one, SECRET) for one in requests)) == [True] * len(REALCAST_EVENTS)
    assert await in_node(("realcast", requests[0], "wrong")) == [False]
    for request in requests:
        assert verifiers.realcast(wire_names(request), request.body, SECRET)
        assert list(request.json()) == ["event", "timestamp", "data"]
    ids = [request.headers["x-realcast-webhook-id"] for request in requests]
    assert len(set(ids)) == len(ids)


async def test_r1_realcasts_receiver_in_php_takes_every_event(tmp_path: Path) -> None:
    webhook = {"path": "/hook", "profile": "realcast", "event_types": REALCAST_EVENTS}
    async with live(tmp_path, webhook) as (site, receiver):
        requests = await send_all(site, receiver, REALCAST_EVENTS, "/hook")
    async with php(SECRET) as post:
        for name, request in zip(REALCAST_EVENTS, requests, strict=True):
            status, said = await post("/webhooks/realcast", wire_names(request), request.body)
            assert (status, said["event"]) == (200, name)
            assert (await post("/webhooks/realcast", wire_names(request), request.body + b" "))[0] == 401
    async with php("wrong") as post:
        assert (await post("/webhooks/realcast", wire_names(requests[0]), requests[0].body))[0] == 401


async def test_r8_an_endpoint_gets_the_events_that_it_selected(tmp_path: Path) -> None:
    webhooks = (
        {"path": "/live", "profile": "realcast", "event_types": ["stream.live"]},
        {"path": "/chat", "profile": "realcast", "event_types": ["chat.message.new"]},
    )
    async with live(tmp_path, *webhooks) as (site, receiver):
        for name in ("chat.message.new", "stream.live", "stream.offline", "chat.message.new"):
            await site.trigger(name, {})
        await receiver.wait_for(3)
        assert [one.json()["event"] for one in receiver.at("/live")] == ["stream.live"]
        assert [one.json()["event"] for one in receiver.at("/chat")] == ["chat.message.new"] * 2


# -- S3 and S4: the samples in JavaScript and in Python re-serialise the body, each in its way


@pytest.fixture
def timed(tmp_path: Path) -> Callable[..., Any]:
    """Send events of a profile to two endpoints, one in each style; return the requests of both."""

    async def send(profile: str, events: list[str]) -> tuple[list[Received], list[Received]]:
        webhooks = [
            {"path": f"/{style}", "profile": profile, "json_style": style, "event_types": events}
            for style in ("compact", "python")
        ]
        async with live(tmp_path, *webhooks) as (site, receiver):
            for name in events:
                await site.trigger(name, DATA)
            return await receiver.wait_for(len(events), "/compact"), await receiver.wait_for(len(events), "/python")

    return send


@pytest.mark.clients
async def test_d8_remotedevais_receivers_take_every_event(timed: Callable[..., Any]) -> None:
    compact, python = await timed("remotedevai", REMOTEDEVAI_EVENTS)
    assert await in_node(*(("remotedevai", one, SECRET) for one in compact)) == [True] * len(REMOTEDEVAI_EVENTS)
    assert await in_node(("remotedevai", compact[0], "wrong")) == [False]
    for request in python:
        assert verifiers.remotedevai(wire_names(request), request.body, SECRET, int(time.time()))
        assert not verifiers.remotedevai(wire_names(request), request.body, "wrong", int(time.time()))
        assert not verifiers.remotedevai(wire_names(request), request.body, SECRET, int(time.time()) + 302)


async def test_d9_a_remotedevai_body_has_id_type_time_and_data(timed: Callable[..., Any]) -> None:
    compact, _ = await timed("remotedevai", ["project.created"])
    body = compact[0].json()
    assert list(body) == ["id", "type", "timestamp", "data"]
    assert body["id"].startswith("evt_")
    assert body["type"] == "project.created"


@pytest.mark.clients
async def test_i1_i8_irisxs_receivers_take_every_event(timed: Callable[..., Any]) -> None:
    compact, python = await timed("irisx", IRISX_EVENTS)
    assert await in_node(*(("irisx", one, SECRET) for one in compact)) == [True] * len(IRISX_EVENTS)
    assert await in_node(("irisx", compact[0], "wrong")) == [False]
    for request in python:
        assert verifiers.irisx(wire_names(request), request.body, SECRET, int(time.time()))
        assert not verifiers.irisx(wire_names(request), request.body, "wrong", int(time.time()))
    for request in compact:
        assert list(request.json()) == ["event", "event_id", "timestamp", "data"]


# -- Standard Webhooks, and our own helper


async def test_standard_webhooks_reference_verifier_takes_live_requests(tmp_path: Path) -> None:
    webhook = {"path": "/hook", "profile": "standard", "event_types": ["user.created"]}
    async with live(tmp_path, webhook) as (site, receiver):
        [request] = await send_all(site, receiver, ["user.created"], "/hook")
    assert Webhook(STANDARD_SECRET).verify(request.body, request.headers) == request.json()
    with pytest.raises(WebhookVerificationError):
        Webhook(STANDARD_SECRET).verify(request.body + b" ", request.headers)


@pytest.mark.parametrize("profile", ["pusher", "sockudo", "pulse", "realcast", "remotedevai", "irisx", "standard"])
async def test_our_own_helper_takes_live_requests_of_every_profile(tmp_path: Path, profile: Any) -> None:
    secrets = {"pusher": APP_SECRET, "sockudo": APP_SECRET, "standard": STANDARD_SECRET}
    async with live(tmp_path, {"path": "/hook", "profile": profile, "event_types": ["user.created"]}) as (
        site,
        receiver,
    ):
        await site.trigger("user.created", DATA)
        [request] = await receiver.wait_for(1)
    delivery = verify(request.body, request.headers, profile=profile, secret=secrets.get(profile, SECRET))
    assert delivery.id == request.headers["webhook-id"]
    assert len(delivery.events) == 1
