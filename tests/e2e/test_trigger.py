"""An application's own events through a real server: the route, every envelope, and a kill right after the answer."""

import asyncio
import hashlib
import json
import ssl
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pusher
import pytest
import trustme
from pusher.http import POST, Request

from tests.e2e.test_seeds_receivers import IRISX_EVENTS, PULSE_EVENTS, REALCAST_EVENTS, REMOTEDEVAI_EVENTS
from tests.support.api import Api, Response
from tests.support.hook_receiver import HookReceiver
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.redis_server import redis_server as redis_server
from tests.support.redis_server import unique_prefix as unique_prefix
from tests.support.server import Config, Server, ServerDied, TestApp, app_config, running, server_config, start

APP = TestApp()
SECRET = "a-shared-secret-of-an-endpoint"
STANDARD_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
DOMAIN_EVENTS = {
    "pulse": PULSE_EVENTS,
    "realcast": REALCAST_EVENTS,
    "remotedevai": REMOTEDEVAI_EVENTS,
    "irisx": IRISX_EVENTS,
    "pusher": ["order.paid"],
    "standard": ["user.created"],
}


def trigger(api: Api, key: str | None = None, **fields: Any) -> Response:
    """Trigger an event, signed as Pusher's SDKs sign."""
    headers = {} if key is None else {"Idempotency-Key": key}
    body = json.dumps(fields).encode()
    return api.signed("POST", api.path("/webhook_events"), body, headers=headers)


async def test_p13_k6_d12_i9_the_route_triggers_every_domain_event_in_its_envelope(tmp_path: Path) -> None:
    authority = trustme.CA()
    bundle = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with Receiver(ssl_context=context) as receiver:
        webhooks = [
            {
                "url": receiver.url(f"/{profile}"),
                "profile": profile,
                "event_types": names,
                "rate_limit": {"per_second": 1000},
                "secret": STANDARD_SECRET if profile == "standard" else SECRET,
            }
            for profile, names in DOMAIN_EVENTS.items()
        ]
        everything = {"url": receiver.url("/all"), "event_types": ["*"]}
        config = server_config(
            app_config(APP, webhooks=[*webhooks, everything]),
            webhooks={"security": {"ca_bundle": str(bundle)}},
        )

        def post_all(server: Server) -> None:
            with Api(server, APP) as api:
                for profile, names in DOMAIN_EVENTS.items():
                    for name in names:
                        asked: dict[str, Any] = {
                            "remotedevai": {"eventType": name, "userId": "u1", "data": {"of": name}},
                            "irisx": {
                                "tenantId": APP.id,
                                "eventType": name,
                                "eventId": f"i_{name}",
                                "payload": {"of": name},
                            },
                        }.get(profile, {"event_type": name, "event_id": f"e_{name}", "data": {"of": name}})
                        answer = trigger(api, **asked)
                        assert (answer.status, answer.json["matched"]) == (202, 2), answer

        def serve() -> None:
            with running(config, tmp_path) as server:
                post_all(server)
                for profile, names in DOMAIN_EVENTS.items():
                    asyncio.run_coroutine_threadsafe(receiver.wait_for(len(names), f"/{profile}"), loop).result(60)
                total = sum(len(names) for names in DOMAIN_EVENTS.values())
                asyncio.run_coroutine_threadsafe(receiver.wait_for(total, "/all"), loop).result(60)

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(serve)
        for profile, names in DOMAIN_EVENTS.items():
            bodies = [one.json() for one in await receiver.wait_for(len(names), f"/{profile}")]
            if profile == "pusher":
                assert [set(body) for body in bodies] == [{"time_ms", "events"}]
                bodies = [event for body in bodies for event in body["events"]]
            name_field = (
                "name" if profile == "pusher" else "type" if profile in ("remotedevai", "standard") else "event"
            )
            assert sorted(body[name_field] for body in bodies) == sorted(names)
            assert all(body["data"] == {"of": body[name_field]} for body in bodies)
            if profile == "irisx":
                assert {body["event_id"] for body in bodies} == {f"i_{name}" for name in names}


def test_k6_pushers_python_sdk_signs_what_the_route_takes(tmp_path: Path) -> None:
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "event_types": ["order.paid"]}
        with running(server_config(app_config(APP, webhooks=[hook])), tmp_path) as server:
            sdk = pusher.Pusher(
                app_id=APP.id, key=APP.key, secret=APP.secret, host=server.host, port=server.port, ssl=False
            )
            request = Request(sdk._pusher_client, POST, f"/apps/{APP.id}/webhook_events", {"event_type": "order.paid"})
            answer = sdk._pusher_client.http.send_request(request)
            assert answer["matched"] == 1
            [came] = receiver.wait_for("/hook", 1)
            assert came.events[0]["event_id"] == answer["event_id"]
            assert came.events[0]["name"] == "order.paid"


@pytest.fixture(params=["sqlite", "redis"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    """The configuration of a queue that outlives the process."""
    if request.param == "sqlite":
        yield {"driver": "sqlite", "sqlite": {"path": str(tmp_path / "queue.sqlite3")}}
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    prefix = request.getfixturevalue("unique_prefix")
    yield {
        "driver": "redis",
        "redis": {"url_override": server.url, "prefix": prefix},
        "reliability": {"lease_duration_ms": 1000, "lease_renew_interval_ms": 300},
    }


def test_a_kill_right_after_the_answer_loses_no_event_and_no_key(tmp_path: Path, durable: Config) -> None:
    names = [f"order.{number}" for number in range(20)]
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "event_types": ["*"], "uid": "wh_1"}
        config = server_config(app_config(APP, webhooks=[hook]), queue=durable)
        answers: dict[str, Response] = {}
        with running(config, tmp_path) as server:
            with Api(server, APP) as api:
                for name in names:
                    answers[name] = trigger(api, f"key-{name}", event_type=name, data=name)
            server.kill()
        assert {answer.status for answer in answers.values()} == {202}
        with running(config, tmp_path / "again") as server:
            with Api(server, APP) as api:
                for name in names:
                    again = trigger(api, f"key-{name}", event_type=name, data=name)
                    assert (again.status, again.json) == (202, answers[name].json)
                    assert again.headers["idempotent-replayed"] == "true"
                other = trigger(api, f"key-{names[0]}", event_type="another")
                assert (other.status, other.json["error"]["code"]) == (409, "idempotency_mismatch")
            receiver.wait_until(
                "/hook", lambda hooks: {one.events[0]["name"] for one in hooks} == set(names), "each event"
            )
            came: dict[str, set[str]] = {}
            for one in receiver.hooks("/hook"):
                came.setdefault(one.events[0]["name"], set()).add(one.header("webhook-id"))
        assert all(len(ids) == 1 for ids in came.values())  # what came twice has the same id
        assert {event["event_id"] for event in receiver.events("/hook")} == {
            answer.json["event_id"] for answer in answers.values()
        }


def test_the_same_key_at_the_same_time_triggers_once(tmp_path: Path, durable: Config) -> None:
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "event_types": ["*"]}
        with running(server_config(app_config(APP, webhooks=[hook]), queue=durable), tmp_path) as server:
            key = uuid.uuid4().hex

            def ask(_: int) -> Response:
                with Api(server, APP) as api:
                    return trigger(api, key, event_type="order.paid", data={"n": 1})

            with ThreadPoolExecutor(8) as pool:
                answers = list(pool.map(ask, range(16)))
            assert {answer.status for answer in answers} == {202}
            assert len({answer.body for answer in answers}) == 1
            assert sum("idempotent-replayed" not in answer.headers for answer in answers) == 1
            with Api(server, APP) as api:
                trigger(api, event_type="the.end")
            receiver.wait_for("/hook", 2)
        assert sorted(event["name"] for event in receiver.events("/hook")) == ["order.paid", "the.end"]


@pytest.mark.parametrize("served", [True, False])
def test_an_admin_key_triggers_where_the_management_api_is_served(tmp_path: Path, served: bool) -> None:
    key = {"sha256": hashlib.sha256(b"the-key").hexdigest()}
    config = server_config(app_config(APP), webhooks={"admin": {"enabled": served, "api_keys": [key]}})
    with running(config, tmp_path) as server, Api(server, APP) as api:
        headers = {"Authorization": "Bearer the-key", "Content-Type": "application/x-www-form-urlencoded"}
        keyed = api.raw("POST", api.path("/webhook_events"), b'{"event_type":"a"}', headers)
        assert (keyed.status, keyed.json["matched"]) == (202, 0)  # it is the application's own route
        assert trigger(api, event_type="a").status == 202
        other = api.raw("GET", "/api/webhooks", b"", headers)
        assert other.status == (200 if served else 404)


def test_errors_are_json_objects(tmp_path: Path) -> None:
    with running(server_config(app_config(APP)), tmp_path) as server, Api(server, APP) as api:
        for fields, status, code in (
            ({"event_type": "channel_occupied"}, 422, "reserved_event_type"),
            ({"event_type": "a", "data": 1, "payload": 2}, 422, "invalid_field"),
            ({"event_type": "a", "data": "x" * 1_050_000}, 413, None),
        ):
            answer = trigger(api, **fields)
            assert answer.status == status
            if code is not None:
                assert answer.json["error"]["code"] == code
                assert answer.json["error"]["fields"]
        unsigned = api.raw("POST", api.path("/webhook_events"), b'{"event_type":"a"}')
        assert (unsigned.status, unsigned.json["error"]["code"]) == (401, "unauthorized")
        malformed = api.signed("POST", api.path("/webhook_events"), b"{")
        assert (malformed.status, malformed.json["error"]["code"]) == (400, "malformed")


ORDER = {
    "name": "order.paid",
    "description": "An order was paid.",
    "schema": {"type": "object", "required": ["amount"], "properties": {"amount": {"type": "string"}, "events": {}}},
    "example": {"amount": "12.50"},
}


def test_registered_types_are_in_the_catalogue_and_their_data_is_checked(tmp_path: Path) -> None:
    key = {"sha256": hashlib.sha256(b"the-key").hexdigest(), "apps": [APP.id]}
    other = TestApp("4", "k4", "s4")
    config = server_config(
        app_config(APP, event_types=[ORDER]), app_config(other), webhooks={"admin": {"api_keys": [key]}}
    )
    with running(config, tmp_path) as server, Api(server, APP) as api:
        headers = {"Authorization": "Bearer the-key"}
        assert trigger(api, event_type="order.paid", data={"amount": "1"}).status == 202
        assert trigger(api, event_type="order.lost", data={"amount": 1}).status == 202
        wrong = trigger(api, event_type="order.paid", data={"amount": 1})
        assert (wrong.status, wrong.json["error"]["code"]) == (422, "invalid_data")
        assert wrong.json["error"]["fields"][0]["field"] == "data.amount"
        listed = api.raw("GET", "/api/webhooks/events?profile=irisx", b"", headers).json
        assert (listed["profile"], listed["next_cursor"]) == ("irisx", None)
        [own] = [one for one in listed["events"] if one["origin"] == "application"]
        assert (own["name"], own["description"]) == ("order.paid", "An order was paid.")
        assert own["example"]["data"] == {"amount": "12.50"}
        assert {"channel_occupied", "connection_terminated"} < {one["name"] for one in listed["events"]}
        page = api.raw("GET", "/apps/3/webhooks/events?limit=2", b"", headers).json
        assert (page["profile"], [one["name"] for one in page["events"]]) == (
            "pusher",
            ["channel_occupied", "channel_vacated"],
        )
        more = api.raw("GET", f"/apps/3/webhooks/events?limit=2&cursor={page['next_cursor']}", b"", headers).json
        assert [one["name"] for one in more["events"]] == ["member_added", "member_removed"]
        one = api.raw("GET", "/v1/webhooks/events/order.paid", b"", headers).json
        assert (one["profile"], one["schema"]["properties"]["data"]["required"]) == ("irisx", ["amount"])
        for target, status in (
            ("/apps/4/webhooks/events", 404),
            ("/api/webhooks/events/none", 404),
            ("/api/webhooks/events?profile=none", 422),
            ("/api/webhooks/events?payload=none", 422),
            ("/api/webhooks/events?cursor=none", 400),
            ("/api/webhooks/events?x=1", 422),
        ):
            assert api.raw("GET", target, b"", headers).status == status, target
        assert api.raw("GET", "/api/webhooks/events", b"").status == 401


def test_a_test_of_an_endpoint_sends_the_example_of_a_registered_type(tmp_path: Path) -> None:
    key = {"sha256": hashlib.sha256(b"the-key").hexdigest()}
    with HookReceiver() as receiver:
        hook = {"url": f"{receiver.url}/hook", "uid": "wh_1", "event_types": ["order.paid"]}
        config = server_config(
            app_config(APP, event_types=[ORDER], webhooks=[hook]), webhooks={"admin": {"api_keys": [key]}}
        )
        with running(config, tmp_path) as server, Api(server, APP) as api:
            tried = api.raw("POST", "/api/webhooks/wh_1/test", b"", {"Authorization": "Bearer the-key"})
            assert (tried.status, tried.json["event_type"]) == (200, "order.paid")
        [came] = receiver.wait_for("/hook", 1)
        assert came.events[0]["data"] == ORDER["example"]


def test_an_unusable_schema_stops_the_start(tmp_path: Path) -> None:
    config = server_config(app_config(APP, event_types=[{**ORDER, "schema": {"$ref": "http://127.0.0.1:9/x"}}]))
    with pytest.raises(ServerDied, match=r"order\.paid: schema: .*references to other documents are not followed"):
        start(config, tmp_path)
