"""The AWS client library itself, and then the whole server, talking to a receiver that stands in for AWS."""

import asyncio
import hashlib
import hmac
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sockudo_py.endpoints import LambdaTarget
from sockudo_py.webhooks.delivery.requests.attempt import requests_for
from sockudo_py.webhooks.targets.aws_lambda import LambdaInvoker
from sockudo_py.webhooks.targets.base import Delivered, Failure
from tests.support.client import connected
from tests.support.hook_receiver import Hook, HookReceiver
from tests.support.receiver import Answer, Hang, Receiver
from tests.support.server import TestApp, app_config, running, server_config
from tests.unit.webhooks.make import endpoint, job

PATH = "/2015-03-31/functions/sockudoEventHandler/invocations?Qualifier=PROD"
FUNCTION = LambdaTarget("sockudoEventHandler", "us-east-1", "Event", "PROD")


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", receiver.url(""))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield receiver


async def test_an_invocation_on_the_wire(aws: Receiver) -> None:
    aws.script(Answer(202, b""), path=PATH)
    target = LambdaInvoker()
    [request] = requests_for(endpoint(function=FUNCTION), job(), 1_700_000_000.0)
    outcome = await target.send(request)
    await target.close()
    assert isinstance(outcome, Delivered)
    [got] = aws.received
    assert got.path == PATH
    assert got.headers["x-amz-invocation-type"] == "Event"
    assert got.json()["body"] == request.body.decode()
    assert got.json()["headers"]["X-Pusher-Signature"] == dict(request.headers)["X-Pusher-Signature"]


async def test_a_throttled_invocation_is_not_repeated_by_the_library(aws: Receiver) -> None:
    aws.script(
        then=Answer(429, b'{"Type":"User"}', headers=(("x-amzn-ErrorType", "TooManyRequestsException"),)), path=PATH
    )
    target = LambdaInvoker()
    [request] = requests_for(endpoint(function=FUNCTION), job(), 1_700_000_000.0)
    outcome = await target.send(request)
    await target.close()
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "lambda_throttle"
    assert len(aws.received) == 1


async def test_an_invocation_that_hangs_is_given_up_and_not_repeated(aws: Receiver) -> None:
    aws.script(then=Hang(), path=PATH)
    target = LambdaInvoker()
    [request] = requests_for(endpoint(function=FUNCTION, request_timeout=1.0), job(), 1_700_000_000.0)
    outcome = await target.send(request)
    await target.close()
    assert isinstance(outcome, Failure)
    assert outcome.error_class == "timeout_read"
    assert len(aws.received) <= 1


# -- the whole server

APP = TestApp()
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-aws",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def lambda_handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """A function as the documentation shows one: it trusts a body whose signature is right."""
    body = event.get("body", "")
    signature = event.get("headers", {}).get("X-Pusher-Signature", "")
    expected = hmac.new(os.environ["PUSHER_SECRET"].encode("utf-8"), body.encode("utf-8"), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature.replace("sha256=", "")):
        return {"statusCode": 401, "body": "Unauthorized"}
    payload = json.loads(body)
    return {"statusCode": 200, "body": "OK", "seen": [(event["name"], event["channel"]) for event in payload["events"]]}


def endpoint_config(**fields: Any) -> dict[str, Any]:
    function = {"function_name": "sockudoEventHandler", "region": "us-east-1", **fields.pop("lambda", {})}
    return {"lambda": function, "event_types": ["channel_occupied"], **fields}


async def deliver(folder: Path, endpoint: dict[str, Any], *answers: int, count: int = 1) -> tuple[list[Hook], str]:
    """Let a server tell a function about a channel; return what was invoked and what the server logged."""
    function = endpoint["lambda"]
    qualifier = f"?Qualifier={function['qualifier']}" if "qualifier" in function else ""
    path = f"/2015-03-31/functions/{function['function_name']}/invocations{qualifier}"
    with HookReceiver() as aws:
        aws.answer(path, *answers)
        config = server_config(app_config(APP, webhooks=[endpoint]))
        with running(config, folder, {**CREDENTIALS, "AWS_ENDPOINT_URL": aws.url}) as server:
            async with connected(server, APP) as client:
                await client.subscribe("chat")
                hooks = await asyncio.to_thread(aws.wait_for, path, count)
        return hooks, server.log()


@pytest.mark.parametrize("profile", ["pusher", "sockudo"])
async def test_a_function_gets_what_its_documented_handler_accepts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str
) -> None:
    endpoint = endpoint_config(profile=profile, **{"lambda": {"invocation_type": "Event", "qualifier": "PROD"}})
    [hook], _ = await deliver(tmp_path, endpoint, 202)
    assert hook.header("X-Amz-Invocation-Type") == "Event"
    monkeypatch.setenv("PUSHER_SECRET", APP.secret)
    answer = lambda_handler(hook.json, None)
    assert (answer["statusCode"], answer["seen"]) == (200, [("channel_occupied", "chat")])
    monkeypatch.setenv("PUSHER_SECRET", "another secret")
    assert lambda_handler(hook.json, None)["statusCode"] == 401


async def test_a_throttled_function_is_invoked_again_with_the_same_delivery(tmp_path: Path) -> None:
    hooks, log = await deliver(tmp_path, endpoint_config(), 429, 202, count=2)
    first, second = (hook.json for hook in hooks)
    assert first["body"] == second["body"]
    assert [event["headers"]["X-Sockudo-Attempt"] for event in (first, second)] == ["1", "2"]
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    assert "a-secret-of-aws" not in log
    assert APP.secret not in log


async def test_the_pusher_format_hands_over_the_bare_body(tmp_path: Path) -> None:
    endpoint = endpoint_config(**{"lambda": {"payload_format": "pusher", "invocation_type": "RequestResponse"}})
    [hook], _ = await deliver(tmp_path, endpoint, 200)
    assert [event["name"] for event in hook.events] == ["channel_occupied"]
